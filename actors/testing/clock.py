"""A clock that stands still until a test moves it: minutes of back-off pass in no time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

__all__ = ["VirtualClock", "VirtualTimer"]

# 0.1 + 0.2 seconds are 0.3 seconds.
_ROUNDING = 1e-9


class VirtualTimer:
    """A call that waits for a :class:`VirtualClock` to reach its time.

    Attributes:
        at: that time, in seconds on the clock.
    """

    __slots__ = ("_callback", "at")

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""
        self._callback = None

    @property
    def pending(self) -> bool:
        """Whether it will still run."""
        return self._callback is not None

    def run(self) -> None:
        """Run the call, unless it was called off or ran before."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class VirtualClock:
    """A :class:`supervisor.Clock` on which time passes only in :meth:`advance`.

    Pass it as ``clock=`` to a supervisor or an actor system. What waits for the event loop itself
    (``asyncio.sleep``, ``asyncio.timeout``, sockets) does not see it.

    Args:
        start: the time it begins at, in seconds; only differences mean anything.
        turns: turns that the event loop gets before and after each timer, for tasks to go as far
            as they can and to set timers of their own.
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
        """Run ``callback`` once, when ``delay`` more seconds have been advanced over."""
        timer = VirtualTimer(self._now + max(0.0, delay), callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        """Wait until the clock has been advanced by ``delay`` seconds."""
        over = asyncio.Event()
        timer = self.call_later(delay, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: run what is due in between, in order, each at its own time.

        Timers set by what runs count, too, so that one call covers a series of back-offs. Timers
        for the same time run in the order in which they were set.

        Raises:
            ValueError: ``seconds`` is negative: time runs one way.
        """
        if seconds < 0:
            raise ValueError(f"time runs one way: cannot advance by {seconds} s")
        end = self._now + seconds
        await self.settle()
        while (at := self.next_at) is not None and at <= end + _ROUNDING:
            self._now = max(self._now, at)
            heapq.heappop(self._timers)[2].run()
            await self.settle()
        self._now = max(self._now, end)

    async def settle(self) -> None:
        """Give the event loop some turns without any time passing."""
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
