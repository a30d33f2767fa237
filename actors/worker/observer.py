"""Looks at a running worker and says what it sees, as a snapshot."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from actors.pubsub.sinks import WRITER_PREFIX
from actors.pubsub.types import Kind
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.runtime.actor import Actor
from actors.worker.ages import AgeMeter
from actors.worker.engine import Engine
from actors.worker.journal import Journal
from actors.worker.lag import LagMeter
from actors.worker.probe import PROBE_PREFIX, path_states
from actors.worker.snapshot import HandlerState, PathState, Snapshot, State
from supervisor import TreeNode

__all__ = ["Observer", "Sampler"]

#: Seconds between two samples of the mailboxes: how exact an age is.
SAMPLE_SECONDS: Final = 0.5


class Observer:
    """Makes snapshots of one worker process.

    Args:
        name: the worker's.
        process: which process of several this is.
        journal: its counters.
    """

    def __init__(self, name: str, process: int, journal: Journal) -> None:
        self._name = name
        self.process = process
        self._journal = journal
        self._ages: dict[str, AgeMeter] = {}
        self._received: dict[str, tuple[int, int]] = {}
        self.engine: Engine | None = None
        self.lag: LagMeter | None = None
        self.up_since: float | None = None
        #: The age of the oldest message at the last look.
        self.oldest = 0.0

    def snapshot(self, state: State, tree: TreeNode) -> Snapshot:
        """Return what there is to see now."""
        engine, now, journal = self.engine, time.monotonic(), self._journal
        running = engine is not None and state in (State.RUNNING, State.DRAINING)
        stats = [pubsub.stats() for pubsub in engine.pubsubs] if engine and running else []
        return Snapshot(
            name=self._name,
            process=self.process,
            pid=os.getpid(),
            state=state,
            at=time.time(),
            uptime=0.0 if self.up_since is None else now - self.up_since,
            lag=0.0 if self.lag is None else self.lag.worst,
            partition=str(engine.options.partition) if engine else "0/1",
            unconfirmed=self._unconfirmed() if running else (),
            handlers=self.sample(tree),
            paths=self._paths(now) if running else (),
            probe_interval=engine.options.probe_interval if engine else None,
            received=self._received_so_far(),
            gaps=journal.gaps,
            reconnects=sum(one.reconnects for one in stats),
            restarts=journal.restarts,
            failed=journal.failed.total(),
            recent_gaps=tuple(journal.recent_gaps),
            recent_failures=tuple(journal.recent_failures),
            tree=tree,
        )

    def sample(self, tree: TreeNode) -> tuple[HandlerState, ...]:
        """Take note of each handler's mailbox, and return what they have been through."""
        now = time.monotonic()
        states: list[HandlerState] = []
        for pubsub in tree.children:
            handlers = next((child for child in pubsub.children if child.id == "handlers"), None)
            states += [
                self._handler(pubsub.id, node, now)
                for node in (() if handlers is None else handlers.children)
                if not node.id.startswith((PROBE_PREFIX, WRITER_PREFIX))
            ]
        self.oldest = max((state.age for state in states), default=0.0)
        if len(self._ages) > len(states):
            paths = {state.path for state in states}
            self._ages = {path: age for path, age in self._ages.items() if path in paths}
        return tuple(states)

    def _handler(self, pubsub: str, node: TreeNode, now: float) -> HandlerState:
        # A handler with lanes has handled what its lanes have.
        does = node.children or (node,)
        handled = sum(one.detail.get("processed", 0) for one in does)
        depth = sum(one.detail.get("mailbox", 0) for one in node.walk())
        depth += node.detail.get("parked", 0)
        shed = node.detail.get("shed", 0)
        age = self._ages.setdefault(node.path, AgeMeter()).note(now, handled + shed, depth)
        return HandlerState(
            name=node.id,
            pubsub=pubsub,
            path=node.path,
            status=node.status,
            depth=depth,
            age=age,
            handled=handled,
            failed=self._journal.failed[node.path],
            shed=shed,
            restarts=node.restarts,
            breaker=node.detail.get("breaker", "closed"),
        )

    def _unconfirmed(self) -> tuple[str, ...]:
        assert self.engine is not None
        return tuple(
            f"{Kind(target.kind).value} {target.name.decode('utf-8', 'backslashreplace')}"
            for pubsub in self.engine.pubsubs
            for target in pubsub.unconfirmed()
            if not target.name.startswith(PROBE_PREFIX.encode())
        )

    def _paths(self, now: float) -> tuple[PathState, ...]:
        assert self.engine is not None
        return tuple(
            state
            for pubsub, paths in self.engine.paths
            for state in path_states(pubsub, paths, now)
        )

    def _received_so_far(self) -> int:
        """Return a count that only grows, out of counts that begin anew with each connection."""
        for pubsub in self.engine.pubsubs if self.engine is not None else ():
            name = pubsub.name
            before, last = self._received.get(name, (0, 0))
            try:
                now = pubsub.stats().received
            except ConnectionError:  # it is closed: the last count stands
                now = last
            self._received[name] = (before + last if now < last else before, now)
        return sum(before + last for before, last in self._received.values())


class Sampler(Actor[str]):
    """Has an observer look at the mailboxes, on a timer."""

    def __init__(self, observer: Observer, tree: Any) -> None:
        self._observer = observer
        self._tree = tree

    async def on_start(self) -> None:
        """Begin."""
        self.context.timers.every(SAMPLE_SECONDS, "sample")

    def receive(self, message: str) -> None:
        """Take a sample."""
        self._observer.sample(self._tree())
