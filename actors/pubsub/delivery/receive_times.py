"""When each message was received: for traces, whose spans begin with the receipt.

A message carries no time. Where a handler is traced, the writer of its mailbox notes the time of
each batch for the messages in it; other handlers pay nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

# Nobody asks for the time of a message that was shed: beyond so many the oldest are forgotten.
_MOST = 65_536


class ReceiveTimes:
    """The time of each message, from its receipt until somebody takes it."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        # By identity. An id() can be used again after its message was shed; the newer note then
        # replaces the older one.
        self._times: OrderedDict[int, int] = OrderedDict()

    def note(self, messages: Iterable[Any]) -> None:
        """Note that ``messages`` are received now."""
        now, times = time.time_ns(), self._times
        for message in messages:
            times[id(message)] = now
            times.move_to_end(id(message))
        while len(times) > _MOST:
            times.popitem(last=False)

    def take(self, message: Any) -> int | None:
        """Return when ``message`` was received, in Unix nanoseconds, and forget it.

        None: its receipt was not noted.
        """
        return self._times.pop(id(message), None)
