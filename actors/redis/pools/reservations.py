"""Places in a pool that are kept while the connections in them come and go.

A lease ends with its connection, and the next one queues anew. For a subscriber that would be too
late: others may hold on to the place that it had for as long as they live. So each of its
connections has a reservation, and the place is given back when the reservation is left.
"""

from __future__ import annotations

import asyncio

from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.permits import FairSemaphore, Waiter, granted
from actors.redis.wire.connect_progress import ConnectProgress

__all__ = ["Reservation", "Reservations"]


class Reservations:
    """The reservations of one user: at most one place for each, and places go round among them.

    A reservation whose connection is lost keeps its place, unless another one of them has none:
    that one's server may be the one to go on with, and the lost one's may be gone for long.
    """

    def __init__(self) -> None:
        self._used: dict[Reservation, None] = {}

    def reservation(self) -> Reservation:
        """Return one more; it holds nothing yet."""
        return Reservation(self._used)

    def timed_out(self, within: str) -> TimeoutError | None:
        """Return the error for who does without the first connection; None: nobody tried yet."""
        first = next(iter(self._used), None)
        return None if first is None else first.progress.timed_out(within)


class Reservation:
    """A place for one connection after another; see :class:`Reservations`.

    Attributes:
        progress: what the latest attempt to connect waits for.
    """

    __slots__ = ("_busy", "_left", "_mates", "_place", "_waiter", "_wanted", "progress")

    def __init__(self, mates: dict[Reservation, None]) -> None:
        self.progress = ConnectProgress()
        self._mates = mates
        # What its permit is of, None where it has none.
        self._place: FairSemaphore | None = None
        self._wanted: FairSemaphore | None = None
        self._waiter: Waiter | None = None
        # Whether there is a connection, or one is being made.
        self._busy = False
        self._left = False

    def holds(self, permits: FairSemaphore) -> bool:
        """Whether its place is among ``permits``."""
        return self._place is permits

    async def acquire(self, permits: FairSemaphore) -> None:
        """Have a place among ``permits`` for a connection, waiting where there is none.

        One among others is given back before: two who wait for each other's would do so for ever.

        Raises:
            BaseException: what the permits were closed with.
            ConnectionError: the reservation was left.
        """
        self._check()
        self._mates[self] = None
        self._busy = True
        try:
            if self._place is not permits:
                self._give_up_place()
                await self._take(permits)
                self._check()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Note that the connection is gone, or could not be had; the place is for the next one."""
        self._busy = False
        if self._left or self._waiting_mate() is not None:
            self._give_up_place()

    def leave(self) -> None:
        """Give the place back, now and for good, also while a connection is being made."""
        self._left = True
        self._mates.pop(self, None)
        self._give_up_place()

    def _check(self) -> None:
        if self._left:
            raise ConnectionError("nobody needs this connection any more")

    async def _take(self, permits: FairSemaphore) -> None:
        if not permits.take():
            spare = (mate for mate in self._mates if mate._place is permits and not mate._busy)
            mate = next(spare, None)
            if mate is None:
                await self._wait(permits)
            else:
                mate._place = None
        self._place = permits

    async def _wait(self, permits: FairSemaphore) -> None:
        waiter = permits.queue()
        self._waiter, self._wanted = waiter, permits
        try:
            await waiter
        except asyncio.CancelledError:
            if granted(waiter):
                # In the moment of the cancellation: it is ours.
                self._place = permits
            else:
                waiter.cancel()
            raise
        finally:
            self._waiter = self._wanted = None

    def _give_up_place(self) -> None:
        if self._place is None:
            return
        heir = self._waiting_mate()
        place, self._place = self._place, None
        if heir is None:
            place.release()
        else:
            # Its waiter is passed over in the queue, done as it is.
            heir.set_result(None)

    def _waiting_mate(self) -> Waiter | None:
        """Return the waiter of the first one who waits for a place like this one's."""
        if self._place is None:
            return None
        for mate in self._mates:
            waiter = mate._waiter
            if mate._wanted is self._place and waiter is not None and not waiter.done():
                return waiter
        return None
