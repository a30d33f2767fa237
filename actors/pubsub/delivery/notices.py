"""News that travels in a consumer's queue, in its place between the messages."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from actors.pubsub.model.types import Gap
from actors.runtime.envelopes import CellHost, Envelope
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.delivery.mailbox_writer import HandlerWriter, MailboxWriter

__all__ = ["GapNotice", "HandledNotice", "begin_hook", "call_back"]

log = get_logger("mailslot.pubsub")


async def call_back(callback: Callable[[Any], Any] | None, argument: Any) -> None:
    """Call a user's hook, which may be ``async``; what it raises costs the call only."""
    rest = begin_hook(callback, argument)
    if rest is not None:
        await rest


def begin_hook(
    callback: Callable[[Any], Any] | None, argument: Any
) -> Coroutine[Any, Any, None] | None:
    """Call a user's hook; return what is left to await, where it is ``async``."""
    if callback is None:
        return None
    try:
        result = callback(argument)
    except (Exception, asyncio.CancelledError) as error:
        _failed(callback, argument, error)
        return None
    return _finish(callback, argument, result) if inspect.isawaitable(result) else None


async def _finish(callback: Any, argument: Any, result: Awaitable[Any]) -> None:
    try:
        await result
    except Exception as error:
        _failed(callback, argument, error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        _failed(callback, argument, error)  # its own, and nobody's wish


def _failed(callback: Any, argument: Any, error: BaseException) -> None:
    log.error("hook_failed", hook=repr(callback), argument=repr(argument), error=repr(error))


class GapNotice(Envelope):
    """A gap, before the first message after it (P10). It is never shed."""

    __slots__ = ("callback", "gap", "told", "writer")

    def __init__(self, gap: Gap, callback: Callable[[Gap], Any] | None) -> None:
        self.gap = gap
        self.callback = callback
        #: By which it came into the queue.
        self.writer: MailboxWriter | None = None
        #: Whether it has left the queue.
        self.told = False

    def extend(self, gap: Gap) -> None:
        """Tell of a later gap as well: one from the begin of the first to the end of the last."""
        self.gap = msgspec.structs.replace(self.gap, until=gap.until, reason=gap.reason)

    def take(self) -> Gap:
        """Return the gap: it has left the queue, and is told of."""
        if not self.told and self.writer is not None:
            self.writer.news -= 1
        self.told = True
        return self.gap

    async def deliver(self, cell: CellHost) -> None:
        """Tell the handler's ``on_gap``."""
        cell.processed -= 1  # it is no message
        await call_back(self.callback, self.take())

    def bury(self, cell: CellHost) -> None:
        """Nobody is there to be told."""
        self.take()


class HandledNotice(Envelope):
    """Tells ``get_message`` that a handler was through with the messages before it."""

    __slots__ = ("writer",)

    def __init__(self, writer: HandlerWriter) -> None:
        self.writer = writer

    def deliver(self, cell: CellHost) -> None:
        """Have as many calls return None."""
        cell.processed -= 1  # it is no message
        self.writer.handled()
