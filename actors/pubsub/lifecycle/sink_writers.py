"""Failure sinks that must be awaited: an actor for each gives them their failures, in order.

It serves the handlers that it was hired for, and ends after the last of them, once it is through
with what they left.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from actors.pubsub.handlers.failure_sinks import (
    WRITER_PREFIX,
    Begun,
    HandlerFailure,
    HandlerFailureSink,
)
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.cell import Cell
from actors.runtime.death_watch import Terminated, watch
from actors.runtime.envelopes import CellHost, Envelope, Lagged
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

__all__ = ["Writers"]

log = get_logger("mailslot.pubsub")

_BOUND: Final = MailboxSpec(10_000, Overflow.DROP_OLDEST)
_QUIET: Final = 10.0


class Writers:
    """The writers of one pub/sub object.

    Args:
        tree: where they live.
    """

    def __init__(self, tree: PubSubTree) -> None:
        self._tree = tree
        # By sink, those that handlers may still be given to; and all that have work.
        self._open: dict[int, _Post] = {}
        self._all: set[_Post] = set()

    def hire(self, sink: HandlerFailureSink, handler: ActorRef[Any]) -> ActorRef[Any]:
        """Return the writer of ``sink``, which lasts as long as ``handler`` at least.

        Raises:
            SupervisorError: all of this ends.
        """
        post = self._open.get(id(sink))
        if post is None or not post.ref.alive:
            post = _Post(self._leave)
            spec = ActorSpec(_Writer, (sink, post), mailbox=_BOUND, restart="permanent")
            post.ref = self._tree.spawn_beside(spec, WRITER_PREFIX)
            post.key = id(sink)
            self._open[post.key] = post
            self._all.add(post)
        if handler._cell not in post.serves:
            post.serves.add(handler._cell)
            watch(post.ref, handler)
        return post.ref

    def _leave(self, post: _Post, *, ended: bool) -> None:
        """``post`` serves nobody any more, or has ended."""
        if self._open.get(post.key) is post:
            del self._open[post.key]
        if ended:
            self._all.discard(post)

    async def written(self) -> None:
        """Wait until all failures so far are with their sinks."""
        for post in list(self._all):
            if post.ref.alive:
                future: asyncio.Future[None] = self._tree.system.loop.create_future()
                post.ref._cell.mailbox.put_last(_Through(future))
                await future


class _Post:
    """A writer, and whom it serves; it outlives the writer's restarts."""

    __slots__ = ("key", "leave", "ref", "serves")

    ref: ActorRef[Any]
    key: int

    def __init__(self, leave: Callable[..., None]) -> None:
        self.leave = leave
        self.serves: set[Cell] = set()


class _Through(Envelope):
    """All failures before it are written, or never will be."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def deliver(self, cell: CellHost) -> None:
        cell.processed -= 1  # it is no failure
        self._tell()

    def bury(self, cell: CellHost) -> None:
        self._tell()

    def _tell(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _Writer(Actor[Any]):
    """Gives failures to a sink that must be awaited, one at a time."""

    resilient = True

    def __init__(self, sink: Callable[[HandlerFailure], Any], post: _Post) -> None:
        self._sink = sink
        self._post = post
        self._throttle = Throttle(monotonic, _QUIET)
        self._shed = 0

    async def receive(self, message: HandlerFailure | Begun | Terminated) -> None:
        """Write one; or take note that a handler has ended."""
        match message:
            case Terminated(handler):
                post = self._post
                post.serves.discard(handler._cell)
                if not post.serves:
                    # This news has passed all that waits: the failures of those that ended.
                    post.leave(post, ended=False)
                    post.ref.request_stop(drain=True)
            case Begun(_, rest):
                await rest
            case _:
                result = self._sink(message)
                if result is not None and inspect.isawaitable(result):
                    await result

    def on_lagged(self, lagged: Lagged) -> None:
        """Say how many failures were shed: handlers fail faster than the sink takes it."""
        self._shed += lagged.count
        if self._throttle.passes(None) is not None:
            self._say_shed()

    def _say_shed(self) -> None:
        shed, self._shed = self._shed, 0
        log.warning(
            "failures_shed", failures=shed, sink=_name(self._sink), capacity=_BOUND.capacity
        )

    async def on_stop(self, reason: ExitReason) -> None:
        """Say what is not written."""
        if self._shed:
            self._say_shed()
        if left := self.context.self_ref.waiting:
            log.error("failures_not_written", failures=left, sink=_name(self._sink))
        if reason.normal:
            self._post.leave(self._post, ended=True)


def _name(sink: Any) -> str:
    return getattr(sink, "__qualname__", None) or type(sink).__qualname__
