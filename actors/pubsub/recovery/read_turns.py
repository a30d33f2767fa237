"""Which histories are read next: in turn, in batches, with pauses after failures (pure)."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

#: Reads in one batch at the most.
MOST_IN_BATCH = 128
#: Seconds before a read that failed is tried again: at first, and at the most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Turn(Generic[T]):
    """One history's turns, as long as something is to be read of it.

    Attributes:
        what: whose history it is.
        pages: how many pages were read.
        failures: how many reads in a row brought nothing.
        failing_since: when the first of these failed; None: none did.
    """

    __slots__ = ("failing_since", "failures", "pages", "what")

    def __init__(self, what: T) -> None:
        self.what = what
        self.pages = self.failures = 0
        self.failing_since: float | None = None

    def succeeded(self) -> None:
        """Note that a read brought something."""
        self.pages += 1
        self.failures = 0
        self.failing_since = None

    def pause(self) -> float:
        """Return the seconds before the next attempt, longer each time."""
        self.failures += 1
        return float(min(_FIRST_PAUSE * 2 ** min(self.failures - 1, 10), _LONGEST_PAUSE))


class ReadTurns(Generic[T]):
    """The turns of one group of histories."""

    def __init__(self) -> None:
        self._ready: deque[Turn[T]] = deque()
        self._later: list[tuple[float, int, Turn[T]]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._ready or self._later)

    def add(self, turn: Turn[T]) -> None:
        """Have ``turn`` come as soon as those before it have."""
        self._ready.append(turn)

    def postpone(self, turn: Turn[T], due: float) -> None:
        """Have ``turn`` come at the time ``due``."""
        heapq.heappush(self._later, (due, next(self._numbers), turn))

    def take(self, now: float) -> list[Turn[T]]:
        """Return the turns that come next; none: wait until :meth:`due`."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        return [self._ready.popleft() for _ in range(min(len(self._ready), MOST_IN_BATCH))]

    def take_all(self) -> list[Turn[T]]:
        """Return all turns that would come next, however many."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    def due(self) -> float | None:
        """Return when the next turn comes that was postponed; None: none was."""
        return self._later[0][0] if self._later else None
