"""A clock that a test moves: minutes of back-off pass at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

# A timer counts as due in spite of rounding: 0.1 + 0.2 is a little more than 0.3.
_ROUNDING = 1e-9


class VirtualTimer:
    """A call at a given time of a :class:`VirtualClock`.

    Attributes:
        at: the time, in seconds on the clock.
    """

    __slots__ = ("_callback", "at")

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Cancel the call; do nothing if it ran already."""
        self._callback = None

    @property
    def pending(self) -> bool:
        """Whether the call will still run."""
        return self._callback is not None

    def run(self) -> None:
        """Run the call, unless it was cancelled or ran already."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class VirtualClock:
    """A :class:`supervisor.Clock` on which time passes only in :meth:`advance`.

    A supervisor and an actor system take it as ``clock=``. The event loop keeps its own time:
    ``asyncio.sleep``, ``asyncio.timeout`` and sockets do not follow this clock.

    Args:
        start: the first time on the clock, in seconds; only differences have a meaning.
        turns: how many turns the event loop gets before and after each timer, in which tasks go on
            and set timers of their own.
    """

    def __init__(self, start: float = 1000.0, *, turns: int = 20) -> None:
        self._now = start
        self._turns = turns
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return the seconds on the clock."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object]) -> VirtualTimer:
        """Run ``callback`` once, when the clock has advanced by ``delay`` seconds."""
        timer = VirtualTimer(self._now + max(0.0, delay), callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        """Wait until the clock has advanced by ``delay`` seconds."""
        over = asyncio.Event()
        timer = self.call_later(delay, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Advance the clock by ``seconds``, and run each timer that is due when its time comes.

        Timers that are set meanwhile run as well, so one call covers a series of back-offs. Timers
        for the same time run in the order in which they were set.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards: cannot advance by {seconds} s")
        end = self._now + seconds
        await self.settle()
        while (at := self.next_at) is not None and at <= end + _ROUNDING:
            self._now = max(self._now, at)
            heapq.heappop(self._timers)[2].run()
            await self.settle()
        self._now = max(self._now, end)

    async def settle(self) -> None:
        """Give the event loop some turns; no time passes."""
        for _ in range(self._turns):
            await asyncio.sleep(0)

    @property
    def next_at(self) -> float | None:
        """The time of the next timer, or None."""
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    @property
    def pending(self) -> int:
        """How many timers wait."""
        return sum(timer.pending for _, _, timer in self._timers)
