"""News that travels in a consumer's queue, in its place between the messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from actors.pubsub.types import Gap
from actors.runtime.messages import Envelope
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.inlet import HandlerInlet
    from actors.runtime.cell import Cell

__all__ = ["GapNotice", "HandledNotice", "call_back"]

log = get_logger("mailslot.pubsub")


async def call_back(callback: Callable[[Any], Any] | None, argument: Any) -> None:
    """Call a user's hook, which may be ``async``; what it raises costs the call only."""
    if callback is None:
        return
    try:
        result = callback(argument)
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        log.error("hook_failed", hook=repr(callback), argument=repr(argument), error=repr(error))


class GapNotice(Envelope):
    """A gap, before the first message after it (P10). It is never shed."""

    __slots__ = ("callback", "gap", "told")

    def __init__(self, gap: Gap, callback: Callable[[Gap], Any] | None) -> None:
        self.gap = gap
        self.callback = callback
        self.told = False

    def extend(self, gap: Gap) -> None:
        """Tell of a later gap as well: one from the begin of the first to the end of the last."""
        self.gap = msgspec.structs.replace(self.gap, until=gap.until, reason=gap.reason)

    async def tell(self) -> None:
        """Call the hook."""
        self.told = True
        await call_back(self.callback, self.gap)

    async def deliver(self, cell: Cell) -> None:
        """Tell the handler's ``on_gap``."""
        cell.processed -= 1  # it is no message
        await self.tell()


class HandledNotice(Envelope):
    """Tells ``get_message`` that a handler was through with the messages before it."""

    __slots__ = ("inlet",)

    def __init__(self, inlet: HandlerInlet) -> None:
        self.inlet = inlet

    def deliver(self, cell: Cell) -> None:
        """Have as many calls return None."""
        cell.processed -= 1  # it is no message
        self.inlet.handled()
