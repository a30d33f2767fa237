"""Looks at a running worker and says what it sees, as a snapshot."""

from __future__ import annotations

import os
import time
from typing import Final

from actors.pubsub.handlers.failure_sinks import WRITER_PREFIX
from actors.pubsub.model.types import Kind
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.runtime.actor import Actor
from actors.worker.observe.counters import Counters
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.observe.snapshot import HandlerState, PathState, Snapshot, State
from actors.worker.run.backlog import Backlog
from actors.worker.run.components import RunComponents
from actors.worker.run.delivery_probe import PROBE_PREFIX, path_states
from supervisor import TreeNode

__all__ = ["Observer", "Sampler"]

#: Seconds between two samples of the mailboxes: how exact an age is.
SAMPLE_SECONDS: Final = 0.5


class Observer:
    """Makes snapshots of one worker process.

    Args:
        name: the worker's.
        process: which process of several this is.
        counters: its counters.
    """

    def __init__(self, name: str, process: int, counters: Counters) -> None:
        self._name = name
        self.process = process
        self._journal = counters
        self._received: dict[str, tuple[int, int]] = {}
        self._received_shown = 0
        self.backlog: Backlog | None = None
        self.components: RunComponents | None = None
        self.lag: LagMeter | None = None
        self.up_since: float | None = None

    def snapshot(self, state: State, tree: TreeNode) -> Snapshot:
        """Return what there is to see now."""
        self.look()
        components, now, counters = self.components, time.monotonic(), self._journal
        running = components is not None and state in (State.RUNNING, State.DRAINING)
        stats = [pubsub.stats() for pubsub in components.pubsubs] if components and running else []
        return Snapshot(
            name=self._name,
            process=self.process,
            pid=os.getpid(),
            state=state,
            at=time.time(),
            uptime=0.0 if self.up_since is None else now - self.up_since,
            lag=0.0 if self.lag is None else self.lag.worst,
            partition=str(components.options.partition) if components else "0/1",
            unconfirmed=self._unconfirmed() if running else (),
            handlers=self._handlers(tree),
            paths=self._paths(now) if running else (),
            probe_interval=components.options.probe_interval if components else None,
            received=self._received_so_far(),
            gaps=counters.gaps,
            reconnects=sum(one.reconnects for one in stats),
            restarts=counters.restarts,
            failed=counters.failed.total(),
            recent_gaps=tuple(counters.recent_gaps),
            recent_failures=tuple(counters.recent_failures),
            tree=tree,
        )

    def look(self) -> None:
        """Take note of what changes between two snapshots."""
        if self.backlog is not None:
            self.backlog.look()
        self._received_so_far()

    def _handlers(self, tree: TreeNode) -> tuple[HandlerState, ...]:
        return tuple(
            self._handler(pubsub.id, node)
            for pubsub in tree.children
            for handlers in pubsub.children
            if handlers.id == "handlers"
            for node in handlers.children
            if not node.id.startswith((PROBE_PREFIX, WRITER_PREFIX))
        )

    def _handler(self, pubsub: str, node: TreeNode) -> HandlerState:
        # A handler with lanes has handled what its lanes have.
        does = node.children or (node,)
        ages = {} if self.backlog is None else self.backlog.ages
        return HandlerState(
            name=node.id,
            pubsub=pubsub,
            path=node.path,
            status=node.status,
            depth=node.detail.get("parked", 0)
            + sum(one.detail.get("mailbox", 0) for one in node.walk()),
            age=ages.get(node.path, 0.0),
            handled=sum(one.detail.get("processed", 0) for one in does),
            failed=self._journal.failed[node.path],
            shed=node.detail.get("shed", 0),
            restarts=node.restarts,
            last_exit=node.last_exit,
            breaker=node.detail.get("breaker", "closed"),
        )

    def _unconfirmed(self) -> tuple[str, ...]:
        assert self.components is not None
        return tuple(
            f"{Kind(target.kind).value} {target.name.decode('utf-8', 'backslashreplace')}"
            for pubsub in self.components.pubsubs
            for target in pubsub.unconfirmed()
            if not target.name.startswith(PROBE_PREFIX.encode())
        )

    def _paths(self, now: float) -> tuple[PathState, ...]:
        assert self.components is not None
        return tuple(
            state
            for pubsub, paths in self.components.paths
            for state in path_states(pubsub, paths, now)
        )

    def _received_so_far(self) -> int:
        """Return a count that only grows, out of counts that begin anew with each connection."""
        components = self.components
        if components is None:
            return 0
        for pubsub in components.pubsubs:
            name = pubsub.name
            before, last = self._received.get(name, (0, 0))
            try:
                now = pubsub.stats().received
            except ConnectionError:  # it is closed: the last count stands
                now = last
            self._received[name] = (before + last if now < last else before, now)
        came = sum(before + last for before, last in self._received.values())
        came -= sum(paths.came_back for _, paths in components.paths)
        # A probe is counted a moment before it is known to be one.
        self._received_shown = max(self._received_shown, came)
        return self._received_shown


class Sampler(Actor[str]):
    """Has an observer look at the mailboxes, on a timer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def on_start(self) -> None:
        """Begin."""
        self.context.timers.every(SAMPLE_SECONDS, "sample")

    def receive(self, message: str) -> None:
        """Take a look."""
        self._observer.look()
