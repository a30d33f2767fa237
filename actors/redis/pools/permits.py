"""A counted number of permits, given first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["FairSemaphore", "Waiter", "granted"]

Waiter = asyncio.Future[None]


class FairSemaphore:
    """Like a semaphore, and its waiters can be told that there will be no more.

    A permit that is released goes straight to the one who waited longest: nobody who comes later
    can take it in between.
    """

    __slots__ = ("_closed", "_free", "_waiters")

    def __init__(self, total: int) -> None:
        self._free = total
        self._waiters: deque[Waiter] = deque()
        self._closed: BaseException | None = None

    @property
    def free(self) -> int:
        """How many can be had at once."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not waiter.done() for waiter in self._waiters)

    async def acquire(self) -> None:
        """Take a permit, waiting for it where none is free.

        Raises:
            BaseException: what :meth:`close` was given.
        """
        if self.take():
            return
        waiter = self.queue()
        try:
            await waiter
        except asyncio.CancelledError:
            if granted(waiter):
                # In the moment of the cancellation.
                self.release()
            else:
                waiter.cancel()
            raise

    def take(self) -> bool:
        """Take a permit if one is free, and return whether one was.

        Raises:
            BaseException: what :meth:`close` was given.
        """
        if self._closed is not None:
            raise self._closed
        if not self._free:
            return False
        self._free -= 1
        return True

    def queue(self) -> Waiter:
        """Queue for a permit: it is granted by the result of the future that is returned."""
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
