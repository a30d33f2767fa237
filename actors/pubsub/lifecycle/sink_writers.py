"""Failure sinks that must be awaited: one actor for each sink awaits it, in order.

The actor serves the handlers that use its sink. It ends after the last of them, once all their
failures are written.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from actors.pubsub.handlers.failure_sinks import (
    WRITER_PREFIX,
    HandlerFailure,
    HandlerFailureSink,
    SinkCall,
)
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.cell import Cell
from actors.runtime.death_watch import Terminated, watch
from actors.runtime.messages.envelopes import CellHost, Envelope, Lagged
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

_BOUND: Final = MailboxSpec(10_000, Overflow.DROP_OLDEST)
_QUIET: Final = 10.0


class SinkWriters:
    """The writers of one pub/sub object."""

    def __init__(self, tree: PubSubTree) -> None:
        self._tree = tree
        # By the id of their sink: those that further handlers may use.
        self._open: dict[int, _Entry] = {}
        self._all: set[_Entry] = set()

    def writer_of(self, sink: HandlerFailureSink, handler: ActorRef[Any]) -> ActorRef[Any]:
        """Return the writer of ``sink``, which lives at least as long as ``handler``.

        Raises:
            SupervisorError: the pub/sub object ends.
        """
        entry = self._open.get(id(sink))
        if entry is None or not entry.ref.alive:
            entry = _Entry(id(sink), self._remove)
            spec = ActorSpec(_SinkWriter, (sink, entry), mailbox=_BOUND, restart="permanent")
            entry.ref = self._tree.spawn_beside(spec, WRITER_PREFIX)
            self._open[entry.key] = entry
            self._all.add(entry)
        if handler._cell not in entry.handlers:
            entry.handlers.add(handler._cell)
            watch(entry.ref, handler)
        return entry.ref

    def _remove(self, entry: _Entry, *, ended: bool) -> None:
        """Forget a writer that has no handler any more, or has ended."""
        if self._open.get(entry.key) is entry:
            del self._open[entry.key]
        if ended:
            self._all.discard(entry)

    async def written(self) -> None:
        """Wait until all failures so far are written."""
        for entry in list(self._all):
            if entry.ref.alive:
                future: asyncio.Future[None] = self._tree.system.loop.create_future()
                entry.ref._cell.mailbox.put_last(_Flush(future))
                await future


class _Entry:
    """A writer and the handlers that it serves; it outlives the writer's restarts."""

    __slots__ = ("handlers", "key", "ref", "remove")

    ref: ActorRef[Any]

    def __init__(self, key: int, remove: Callable[..., None]) -> None:
        self.key = key
        self.remove = remove
        self.handlers: set[Cell] = set()


class _Flush(Envelope):
    """All failures before it in the mailbox are written, or never will be."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def deliver(self, cell: CellHost) -> None:
        cell.processed -= 1  # this is no failure
        self._resolve()

    def dead_letter(self, cell: CellHost) -> None:
        self._resolve()

    def _resolve(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class _SinkWriter(Actor[Any]):
    """Gives failures to a sink, one at a time, and awaits it."""

    resilient = True

    def __init__(self, sink: Callable[[HandlerFailure], Any], entry: _Entry) -> None:
        self._sink = sink
        self._entry = entry
        self._throttle = Throttle(monotonic, _QUIET)
        self._shed = 0

    async def receive(self, message: HandlerFailure | SinkCall | Terminated) -> None:
        """Write a failure, or note that a handler has ended."""
        match message:
            case Terminated(handler):
                entry = self._entry
                entry.handlers.discard(handler._cell)
                if not entry.handlers:
                    # Terminated passes what waits: the failures of those handlers are written next.
                    entry.remove(entry, ended=False)
                    entry.ref.request_stop(drain=True)
            case SinkCall(_, rest):
                await rest
            case _:
                result = self._sink(message)
                if result is not None and inspect.isawaitable(result):
                    await result

    def on_lagged(self, lagged: Lagged) -> None:
        """Log how many failures were shed, because handlers fail faster than the sink writes."""
        self._shed += lagged.count
        if self._throttle.passes(None) is not None:
            self._log_shed()

    def _log_shed(self) -> None:
        shed, self._shed = self._shed, 0
        log.warning(
            "failures_shed", failures=shed, sink=_name(self._sink), capacity=_BOUND.capacity
        )

    async def on_stop(self, reason: ExitReason) -> None:
        """Log how many failures were not written."""
        if self._shed:
            self._log_shed()
        if left := self.context.self_ref.waiting:
            log.error("failures_not_written", failures=left, sink=_name(self._sink))
        if reason.normal:
            self._entry.remove(self._entry, ended=True)


def _name(sink: Any) -> str:
    return getattr(sink, "__qualname__", None) or type(sink).__qualname__
