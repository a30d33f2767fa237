"""The answers of /live and /ready, from a snapshot alone (pure)."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.worker.observe.snapshot import ProcessState, Snapshot, State, WorkerSnapshot

#: Seconds of event loop lag, or without a sign of life, from which on a process is not live.
MOST_LAG: Final = 5.0
_NAMED: Final = 5


class Verdict(msgspec.Struct, frozen=True):
    """Yes, or no with reasons."""

    ok: bool
    reasons: tuple[str, ...] = ()  # against it, one sentence each
    warnings: tuple[str, ...] = ()  # what somebody should look after, though it decides nothing


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
            reasons.append("the supervisor has ended")
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
    warnings = (
        f"{_where(worker, one)}a node refuses: {said}"
        for one in worker.snapshots
        for said in one.refusing[:_NAMED]
    )
    return Verdict(not reasons, tuple(reasons), tuple(warnings))


def _problems(one: Snapshot) -> list[str]:
    if one.state is not State.RUNNING:
        return [f"it is {one.state.value}"]
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
