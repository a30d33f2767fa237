"""The answers of /live and /ready, from a snapshot alone (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from actors.worker.observe.health_limits import Health
from actors.worker.observe.snapshot import (
    HandlerState,
    ProcessState,
    Snapshot,
    State,
    WorkerSnapshot,
)

#: Seconds of event loop lag, or without a sign of life, from which on a process is not live.
MOST_LAG: Final = 5.0
_NAMED: Final = 5


class Verdict(msgspec.Struct, frozen=True):
    """Yes, or no with reasons."""

    ok: bool
    reasons: tuple[str, ...] = ()  # against it, one sentence each
    warnings: tuple[str, ...] = ()  # what somebody should look after, though it decides nothing
    degraded: tuple[str, ...] = ()  # handlers that fail or shed; reasons only if the user says so


def is_live(worker: WorkerSnapshot) -> Verdict:
    """Return whether the event loop turns and the supervisor runs.

    The broker does not count: a restart of the worker would not bring it back.
    """
    up = ("starting", "running", "stopping")
    reasons = []
    if worker.processes and worker.tree.status not in up:
        reasons.append("the supervisor of the processes has ended")
    silent = [process for process in worker.processes if _is_silent(process)]
    reasons += [f"{_silence(one)}: something blocks it, or has stopped it" for one in silent]
    known_silent = {process.index for process in silent}
    for one in worker.snapshots:
        if one.lag > MOST_LAG and one.process not in known_silent:
            late = f"the event loop was {one.lag:.1f} s late: something blocks it"
            reasons.append(_where(worker, one) + late)
        if one.state is State.STOPPED and not worker.processes:
            why = "" if one.gave_up is None else f": {one.gave_up}"
            reasons.append(f"the supervisor has ended{why}")
    return Verdict(not reasons, tuple(reasons))


def is_ready(worker: WorkerSnapshot) -> Verdict:
    """Return whether every required subscription is confirmed and delivery is proven."""
    reasons = []
    by_index = {one.process: one for one in worker.snapshots}
    for process in worker.processes:
        reasons += _process_problems(process, by_index.get(process.index))
    for one in worker.snapshots:
        reasons += [_where(worker, one) + problem for problem in _problems(one)]
    if len(worker.snapshots) < worker.expected and not reasons:
        reasons.append("not all processes have reported yet")
    degraded = []
    for one in worker.snapshots:
        found = [_where(worker, one) + problem for problem in _degraded(one)]
        degraded += found
        if one.health.unready:
            reasons += found
    warnings = (
        f"{_where(worker, one)}a node refuses: {said}"
        for one in worker.snapshots
        for said in one.refusing[:_NAMED]
    )
    return Verdict(not reasons, tuple(reasons), tuple(warnings), tuple(degraded))


def _problems(one: Snapshot) -> list[str]:
    if one.state is not State.RUNNING:
        return [_why_not_running(one)]
    reasons = []
    if one.fleet is not None and not one.fleet.is_in_view:
        reasons.append(f"it is not in the committed view of fleet {one.fleet.fleet}")
    if one.unconfirmed:
        shown = ", ".join(one.unconfirmed[:_NAMED])
        more = len(one.unconfirmed) - _NAMED
        reasons.append(f"not subscribed: {shown}" + (f" and {more} more" if more > 0 else ""))
    down = [handler for handler in one.handlers if handler.status != "running"]
    for handler in down[:_NAMED]:
        why = f": {handler.last_exit}" if handler.last_exit else ""
        reasons.append(f"handler {handler.name} is {handler.status}{why}")
    if len(down) > _NAMED:
        reasons.append(f"and {len(down) - _NAMED} more handlers are not up")
    if one.probe_interval is None:
        return reasons
    for path in one.paths:
        if path.proof_age is None:
            reasons.append(f"{path.pubsub} from {path.node}: no proof of delivery yet")
        elif path.proof_age > one.probe_interval:
            reasons.append(
                f"{path.pubsub} from {path.node}: the last proof of delivery is"
                f" {path.proof_age:.1f} s old"
            )
    return reasons


def _why_not_running(one: Snapshot) -> str:
    if one.gave_up is None:
        return f"it is {one.state.value}"
    again = ", and is starting again" if one.state is State.STARTING else ""
    return f"it gave up: {one.gave_up}{again}"


def _degraded(one: Snapshot) -> list[str]:
    """Return what is wrong with handlers that are up."""
    found = [
        f"handler {handler.name} {problem}"
        for handler in one.handlers
        for problem in _of_handler(handler, one.health)
    ]
    more = len(found) - _NAMED
    return found if more <= 0 else [*found[:_NAMED], f"and {more} more about handlers"]


def _of_handler(handler: HandlerState, limits: Health) -> Iterator[str]:
    recent = handler.recent
    if handler.paused:
        waiting = "1 message waits" if handler.depth == 1 else f"{handler.depth} messages wait"
        yield f"is paused: {waiting}"
    errors = "" if handler.failures is None else f": {handler.failures}"
    handled = max(recent.handled, recent.failed)
    if handler.breaker != "closed":
        yield f"is not called, its breaker is {handler.breaker}{errors}"
    elif _reaches(recent.failed, handled, limits.failing):
        yield (
            f"failed on {recent.failed} of its {handled} messages"
            f" of the last {limits.over:g} s{errors}"
        )
    if _reaches(recent.shed, handled + recent.shed, limits.shedding):
        yield (
            f"shed {recent.shed} of its {handled + recent.shed} messages"
            f" of the last {limits.over:g} s: its mailbox was full"
        )


def _reaches(count: int, of: int, share: float | None) -> bool:
    return share is not None and count > 0 and count >= share * of


def _process_problems(process: ProcessState, snapshot: Snapshot | None) -> list[str]:
    if process.pid is None:
        return [f"process {process.index} is down"]
    if snapshot is None or process.seen is None:
        return [f"process {process.index} is starting"]
    return [_silence(process)] if _is_silent(process) else []


def _is_silent(process: ProcessState) -> bool:
    return process.pid is not None and process.seen is not None and process.seen > MOST_LAG


def _silence(process: ProcessState) -> str:
    return f"process {process.index}: no sign of life for {process.seen:.1f} s"


def _where(worker: WorkerSnapshot, one: Snapshot) -> str:
    return f"process {one.process}: " if worker.processes else ""
