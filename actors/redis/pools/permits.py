"""A semaphore that is first come, first served, and can be closed."""

from __future__ import annotations

import asyncio
from collections import deque

Waiter = asyncio.Future[None]


class FairSemaphore:
    """A semaphore that can be closed, which fails all who wait.

    A released permit goes straight to whoever has waited longest: nobody who comes later can take
    it in between.
    """

    __slots__ = ("_closed", "_free", "_waiters")

    def __init__(self, total: int) -> None:
        self._free = total
        self._waiters: deque[Waiter] = deque()
        self._closed: BaseException | None = None

    @property
    def free(self) -> int:
        """How many permits are free."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return sum(not waiter.done() for waiter in self._waiters)

    async def acquire(self) -> None:
        """Take a permit, and wait for one if none is free; raises what :meth:`close` was given."""
        if self.take():
            return
        waiter = self.queue()
        try:
            await waiter
        except asyncio.CancelledError:
            if granted(waiter):
                # It was granted just before the cancellation.
                self.release()
            else:
                waiter.cancel()
            raise

    def take(self) -> bool:
        """Take a permit if one is free, and return whether one was; raises as :meth:`acquire`."""
        if self._closed is not None:
            raise self._closed
        if not self._free:
            return False
        self._free -= 1
        return True

    def queue(self) -> Waiter:
        """Queue for a permit and return a future, whose result is set to grant the permit."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def release(self) -> None:
        """Give a permit back."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def close(self, error: BaseException) -> None:
        """Fail all who wait, and all who ask later, with ``error``."""
        self._closed = error
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


def granted(waiter: Waiter) -> bool:
    """Whether ``waiter`` has its permit."""
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None
