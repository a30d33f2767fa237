"""How long a busy actor may handle messages before it lets the event loop go on (A7)."""

from __future__ import annotations

import asyncio

__all__ = ["SLICE", "Pacer"]

#: Seconds that every busy actor has in each turn of the loop.
SLICE = 0.000_25

# Seconds that actors with full mailboxes have beyond that, all of them together: two milliseconds
# at most for a single one. A timer that comes due during a turn runs after the next one.
_RELIEF = 0.003_5


class Pacer:
    """Gives actors more time the fuller their mailboxes are.

    What fills a mailbox runs in the same loop, a socket's reader for instance. Let in too often, it
    floods an actor that could have kept up. But what actors get beyond their slices is shared by
    all of one system, and none gets more than half of what is left: however many are flooded, the
    loop waits for a few milliseconds only.
    """

    __slots__ = ("_left", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = _RELIEF

    def slice(self, depth: int, capacity: int) -> float:
        """Return the seconds for an actor with ``depth`` messages waiting, of ``capacity``."""
        if depth * 8 < capacity:
            return SLICE
        if self._left == _RELIEF:
            self._loop.call_soon(self._refill)  # in the loop's next turn, ahead of the actors
        relief = min(_RELIEF * depth / capacity, self._left) / 2
        self._left -= relief
        return SLICE + relief

    def _refill(self) -> None:
        self._left = _RELIEF
