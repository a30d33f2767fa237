"""The time in which the event loop listened: a late loop is no late node (pure).

Merges wait for what another node has yet to deliver, for fractions of a second. While the event
loop is held up, by a handler that computes or by a busy machine, nothing is read, and what nodes
deliver lies in sockets: that time says nothing about the nodes. So this clock stands still while a
periodic look is overdue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

#: Seconds by which a look may be late before the clock stands still, and for which it stands still
#: at most: whoever promised to look may have ended.
_ALLOWED, _LONGEST = 0.05, 10.0
#: Interruptions that are remembered, to tell real times.
_REMEMBERED = 64


class ListeningClock:
    """Seconds without those in which the loop was held up.

    Attributes:
        real: returns the real time in seconds.

    Args:
        real: see above.
    """

    def __init__(self, real: Callable[[], float]) -> None:
        self.real = real
        self._due = inf
        self._missed = 0.0
        # Of each interruption: when it was by this clock, and the seconds missed before.
        self._interruptions: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def expect(self, due: float) -> None:
        """Expect the next :meth:`came` at the real time ``due``, and not before."""
        self._due = due

    def came(self) -> None:
        """Take that the loop runs, and expect nothing until the next :meth:`expect`.

        If this is late, the time from when it was due until now does not count.
        """
        real, listened = self.real(), self.now()
        missed = real - listened
        if missed > self._missed:
            self._interruptions.append((listened, self._missed))
            self._missed = missed
        self._due = inf

    def now(self) -> float:
        """Return this clock's time in seconds; the real time if the loop was never late."""
        real = self.real()
        return max(min(real, self._due + _ALLOWED), real - _LONGEST) - self._missed

    def listened(self, real: float) -> float:
        """Return what this clock showed at the time ``real``."""
        for at, before in self._interruptions:
            if real <= at + before:
                return real - before
        return real - self._missed

    def earliest(self, listened: float) -> float:
        """Return the earliest real time at which this clock showed ``listened``."""
        missed = next((before for at, before in self._interruptions if at >= listened), None)
        return listened + (self._missed if missed is None else missed)

    def latest(self, listened: float) -> float:
        """Return the latest real time at which this clock showed ``listened``."""
        if listened >= self.now():
            return self.real()
        missed = next((before for at, before in self._interruptions if at > listened), None)
        return listened + (self._missed if missed is None else missed)
