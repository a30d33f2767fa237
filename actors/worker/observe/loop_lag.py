"""The lag of the event loop: how late it runs timers, for instance because a handler blocks."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

_EVERY: Final = 0.1
_WINDOW: Final = 5.0


class LagMeter:
    """Sets a timer ten times a second and notes how late each one runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late: deque[tuple[float, float]] = deque()
        self._due = loop.time() + _EVERY
        self._timer = loop.call_at(self._due, self._called)

    @property
    def worst(self) -> float:
        """The longest delay of a timer within the last five seconds, in seconds."""
        now = self._loop.time()
        late = [lag for at, lag in self._late if now - at <= _WINDOW]
        return max([*late, now - self._due, 0.0])

    def close(self) -> None:
        """Stop measuring: what is late from now on is not seen."""
        self._timer.cancel()
        self._due = math.inf

    def _called(self) -> None:
        now = self._loop.time()
        lag = now - self._due
        # A delay is kept only while it may still become the longest of a window.
        while self._late and self._late[-1][1] <= lag:
            self._late.pop()
        while self._late and now - self._late[0][0] > _WINDOW:
            self._late.popleft()
        self._late.append((now, lag))
        self._due = now + _EVERY
        self._timer = self._loop.call_at(self._due, self._called)
