"""What lies in a consumer's queue between the messages: a gap, or a handler's progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.model.types import Gap
from actors.runtime.messages.envelopes import CellHost, Envelope


class GapNotice(Envelope):
    """A gap, in the queue before the first message after the gap (P10). It is never shed.

    Attributes:
        callback: the ``on_gap`` to call; None: nobody asked for gaps.
        on_taken: called when the notice leaves the queue.
        reported: whether the notice has left the queue.
    """

    __slots__ = ("callback", "gap", "on_taken", "reported")

    def __init__(self, gap: Gap, callback: Callable[[Gap], Any] | None) -> None:
        self.gap = gap
        self.callback = callback
        self.on_taken: Callable[[], None] | None = None
        self.reported = False

    def extend(self, gap: Gap) -> None:
        """Make this one gap, from the start of the first to the end of ``gap``."""
        self.gap = msgspec.structs.replace(self.gap, until=gap.until, reason=gap.reason)

    def take(self) -> Gap:
        """Note that the notice has left the queue; return its gap."""
        if not self.reported and self.on_taken is not None:
            self.on_taken()
        self.reported = True
        return self.gap

    async def deliver(self, cell: CellHost) -> None:
        """Call ``on_gap`` between two messages of a handler."""
        cell.processed -= 1  # a notice is no message
        await call_hook(self.callback, self.take())

    def dead_letter(self, cell: CellHost) -> None:
        """Note that the handler has ended: nobody is left to hear of the gap."""
        self.take()


class HandledNotice(Envelope):
    """Comes after a batch in a handler's mailbox: the handler has handled what lay before it."""

    __slots__ = ("_handled",)

    def __init__(self, handled: Callable[[], None]) -> None:
        self._handled = handled

    def deliver(self, cell: CellHost) -> None:
        """Say that the messages before this notice are handled."""
        cell.processed -= 1  # a notice is no message
        self._handled()
