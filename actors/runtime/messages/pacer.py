"""How long a busy actor may handle messages before it lets the event loop go on (A7)."""

from __future__ import annotations

import asyncio

#: Seconds that each busy actor has in a turn of the event loop.
SLICE = 0.000_25

# Seconds beyond that for all actors with full mailboxes together, in one turn of the event loop; a
# single actor gets half of it at most. A timer that comes due during a turn runs after the next.
_RELIEF = 0.003_5


class Pacer:
    """Gives an actor more time the fuller its mailbox is.

    Whatever fills a mailbox, such as the reader of a socket, runs in the same loop: if it runs too
    often, it floods an actor that could have kept up. All actors of a system share the time beyond
    their slices, and each gets at most half of the rest. So the loop waits for a few milliseconds
    at most, however many actors are flooded.
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
            self._loop.call_soon(self._refill)  # runs in the next turn, before the actors
        relief = min(_RELIEF * depth / capacity, self._left) / 2
        self._left -= relief
        return SLICE + relief

    def _refill(self) -> None:
        self._left = _RELIEF
