"""Looks at a running worker and makes snapshots of it."""

from __future__ import annotations

import os
import time
from typing import Final

import msgspec

from actors.pubsub.api.introspection import PubSubStats
from actors.pubsub.delivery.handling_times import BOUNDS, Histogram
from actors.pubsub.handlers.concurrent_actor import WORKER_PREFIX
from actors.pubsub.handlers.failure_span import FailureSpan
from actors.pubsub.model.types import Kind
from actors.runtime.actor import Actor
from actors.worker.fleet.reports import Report
from actors.worker.observe.counters import Counters
from actors.worker.observe.health_limits import Health
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.observe.recent import Counts, Recent
from actors.worker.observe.snapshot import (
    Durations,
    FleetState,
    HandlerState,
    MemberState,
    RecoveryState,
    Snapshot,
    State,
    as_text,
)
from actors.worker.run.backlog import NOT_HANDLERS, Backlog
from actors.worker.run.components import RunComponents
from actors.worker.run.delivery_probe import PROBE_PREFIX, path_states, probes_waiting
from supervisor import TreeNode

#: Seconds between two looks at the mailboxes; ages are exact to within this.
SAMPLE_SECONDS: Final = 0.5
#: Levels of the tree in a snapshot: JSON is written and read by recursion.
_LEVELS: Final = 100


class Observer:
    """Makes snapshots of one worker process; its attributes are set while the worker starts."""

    def __init__(self, name: str, counters: Counters) -> None:
        self.process = 0
        self.backlog: Backlog | None = None
        self.components: RunComponents | None = None
        self.lag: LagMeter | None = None
        self.recent: Recent | None = None
        self.up_since: float | None = None
        self._name = name
        self._counters = counters
        self._received = 0

    def snapshot(self, state: State, tree: TreeNode, gave_up: str | None) -> Snapshot:
        """Return the state of the process now."""
        self.look()
        now, counters = time.monotonic(), self._counters
        components = self.components
        settings = None if components is None else components.settings
        running = components if state in (State.RUNNING, State.DRAINING) else None
        pubsubs = [] if running is None else running.pubsubs
        paths = [] if running is None else running.paths
        stats = {pubsub.name: pubsub.stats() for pubsub in pubsubs}
        return Snapshot(
            name=self._name,
            process=self.process,
            pid=os.getpid(),
            state=state,
            at=time.time(),
            uptime=0.0 if self.up_since is None else now - self.up_since,
            lag=0.0 if self.lag is None else self.lag.worst,
            partition="0/1" if settings is None else str(settings.partition),
            unconfirmed=tuple(
                f"{Kind(target.kind).value} {as_text(target.name)}"
                for pubsub in pubsubs
                for target in pubsub.unconfirmed()
                if not target.name.startswith(PROBE_PREFIX.encode())
            ),
            handlers=self._handlers(tree),
            paths=tuple(
                state for pubsub, known in paths for state in path_states(pubsub, known, now)
            ),
            probe_interval=None if settings is None else settings.probe_interval,
            received=self._received,
            gaps=counters.gaps,
            reconnects=sum(one.reconnects for one in stats.values()),
            restarts=counters.restarts,
            failed=counters.failed.total(),
            recent_gaps=tuple(counters.recent_gaps),
            recent_failures=counters.recent_failures,
            tree=cut(tree, _LEVELS),
            refusing=tuple(
                f"{pubsub.name}: {said}"
                for pubsub in pubsubs
                for said in pubsub.refusing().values()
            ),
            recoveries=tuple(
                _recovery(name, one)
                for name, one in stats.items()
                if one.recovering or one.history_reads
            ),
            gave_up=gave_up,
            health=Health() if settings is None else settings.health,
            bounds=BOUNDS,
            fleet=None if running is None else _fleet_state(running),
        )

    def handled_until(self) -> float:
        """Return the time (Unix seconds) until which no message was missed or left unhandled."""
        now = time.time()
        if self.backlog is None:
            return now
        self.backlog.look()
        seconds = [time.monotonic() - self.backlog.handled_until]
        if self.components is not None:
            loop_time = self.components.system.loop.time()
            open_gaps = [pubsub.missing_since() for pubsub in self.components.pubsubs]
            seconds += [loop_time - since for since in open_gaps if since is not None]
        return now - max(seconds)

    def received(self) -> int:
        """Return how many messages came, without probes."""
        if self.components is not None:
            self._count_received(self.components)
        return self._received

    def waiting(self) -> int:
        """Return how many messages wait for handlers and actors."""
        return 0 if self.components is None else self.components.left()

    def look(self) -> None:
        """Update the ages of messages, the count of those received, and handlers' counts."""
        if self.backlog is not None:
            self.backlog.look()
            self._note_counts(self.backlog, time.monotonic())
        if self.components is not None:
            self._count_received(self.components)

    def _note_counts(self, backlog: Backlog, now: float) -> None:
        if self.recent is None or not self.recent.due(now):
            return
        failed = self._counters.failed
        changed = backlog.changed().items()
        self.recent.note(
            now, {path: Counts(handled, failed[path], shed) for path, (handled, shed) in changed}
        )

    def _handlers(self, tree: TreeNode) -> tuple[HandlerState, ...]:
        return tuple(
            self._handler(pubsub.id, node)
            for pubsub in tree.children
            for handlers in pubsub.children
            if handlers.id == "handlers"
            for node in handlers.children
            if not node.id.startswith(NOT_HANDLERS)
        )

    def _handler(self, pubsub: str, node: TreeNode) -> HandlerState:
        waiting = sum(one.detail.get("mailbox", 0) for one in node.walk())
        # The workers of a concurrent handler handle its messages; others handle them themselves.
        workers = [one for one in node.children if one.id.startswith(WORKER_PREFIX)] or [node]
        counts = Counts(
            handled=sum(one.detail.get("processed", 0) for one in workers),
            failed=self._counters.failed[node.path],
            shed=node.detail.get("shed", 0),
        )
        times = self._counters.times.get(node.path)
        return HandlerState(
            name=node.id,
            pubsub=pubsub,
            path=node.path,
            status=node.status,
            depth=node.detail.get("parked", 0) + waiting,
            age=0.0 if self.backlog is None else self.backlog.ages.get(node.path, 0.0),
            handled=counts.handled,
            failed=counts.failed,
            shed=counts.shed,
            restarts=node.restarts,
            last_exit=node.last_exit,
            breaker=node.detail.get("breaker", "closed"),
            paused=node.detail.get("paused", False),
            failures=self._failures(node),
            recent=counts if self.recent is None else self.recent.of(node.path, counts),
            waiting=None if times is None else _durations(times.waiting),
            handling=None if times is None else _durations(times.handling),
        )

    def _failures(self, node: TreeNode) -> FailureSpan | None:
        detail = node.detail
        if "first_error" not in detail:  # there is no breaker, or it is closed
            return self._counters.latest_failures(node.path, time.time())
        return FailureSpan(
            detail["failures"],
            detail["first_error"],
            detail["first_at"],
            detail["last_error"],
            detail["last_at"],
        )

    def _count_received(self, components: RunComponents) -> None:
        received = sum(pubsub.stats().received for pubsub in components.pubsubs)
        self._received = received - sum(
            paths.came_back + probes_waiting(pubsub, paths.channels)
            for pubsub, paths in components.paths
        )


def _durations(histogram: Histogram) -> Durations | None:
    counts = tuple(histogram.counts)
    return Durations(counts, histogram.seconds) if any(counts) else None


def _fleet_state(components: RunComponents) -> FleetState | None:
    if components.fleet is None:
        return None
    membership = components.fleet.membership
    view = membership.view
    members = () if view is None else view.members
    reports = membership.reports
    return FleetState(
        fleet=membership.fleet,
        member=str(membership.me),
        phase="drained" if membership.drained else membership.member.phase.value,
        is_in_view=membership.is_in_view,
        view=0 if view is None else view.number,
        owns=membership.shown_names(),
        names=len(membership.names),
        members=tuple(_member_state(str(member), reports.get(str(member))) for member in members),
    )


def _member_state(member: str, report: Report | None) -> MemberState:
    if report is None:
        return MemberState(member)
    return MemberState(member, report.at, report.owned, report.rate, report.waiting)


def _recovery(name: str, stats: PubSubStats) -> RecoveryState:
    return RecoveryState(
        pubsub=name,
        channels=stats.recovering,
        behind=stats.behind,
        behind_seconds=stats.behind_seconds,
        held=stats.held,
        recovered=stats.recovered,
        resumed=stats.resumed,
        lost=stats.lost,
        unknown=stats.unknown,
        reads=stats.history_reads,
        seconds=stats.recovery_seconds,
    )


def cut(tree: TreeNode, levels: int) -> TreeNode:
    """Return ``tree`` with so many levels below its root.

    Where nodes are left out, ``detail`` has ``below``: how many.
    """
    if not tree.children:
        return tree
    if levels == 0:
        below = sum(1 for _ in tree.walk()) - 1
        return msgspec.structs.replace(tree, children=(), detail={**tree.detail, "below": below})
    children = tuple(cut(child, levels - 1) for child in tree.children)
    same = all(one is other for one, other in zip(children, tree.children, strict=True))
    return tree if same else msgspec.structs.replace(tree, children=children)


class Sampler(Actor[str]):
    """Has an observer look at the mailboxes on a timer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def on_start(self) -> None:
        """Start the timer."""
        self.context.timers.every(SAMPLE_SECONDS, "sample")

    def receive(self, message: str) -> None:
        """Look at the mailboxes."""
        self._observer.look()
