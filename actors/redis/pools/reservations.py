"""Places in a pool that outlive the connections in them.

A lease ends with its connection, and the next lease queues for a permit anew. For a subscriber that
lost its connection that could mean to wait for ever, since other subscribers keep their permits as
long as they live. So each connection of a subscriber has a reservation, which keeps the permit (the
place) until the reservation is left.
"""

from __future__ import annotations

import asyncio

from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.permits import FairSemaphore, Waiter, granted
from actors.redis.wire.connect_progress import ConnectProgress


class Reservations:
    """The reservations of one user, at most one place each; they hand places to each other.

    A reservation whose connection is lost keeps its place, unless another of the same user waits
    for one: the server of the lost connection may be gone for long.
    """

    def __init__(self) -> None:
        self._used: dict[Reservation, None] = {}

    def reservation(self) -> Reservation:
        """Return a new reservation, without a place."""
        return Reservation(self._used)

    def timed_out(self, within: str) -> TimeoutError | None:
        """Return the error of the first attempt to connect; None: there was no attempt."""
        first = next(iter(self._used), None)
        return None if first is None else first.progress.timed_out(within)


class Reservation:
    """A place for one connection after another; see :class:`Reservations`.

    Attributes:
        progress: how far the latest attempt to connect has come.
    """

    __slots__ = ("_busy", "_left", "_peers", "_place", "_waiter", "_wanted", "progress")

    def __init__(self, peers: dict[Reservation, None]) -> None:
        self.progress = ConnectProgress()
        self._peers = peers
        # The semaphore that gave the permit; None without a permit.
        self._place: FairSemaphore | None = None
        self._wanted: FairSemaphore | None = None
        self._waiter: Waiter | None = None
        # How many connections there are, those included that are being opened: more than one for a
        # moment, where a second one is to replace the first.
        self._busy = 0
        self._left = False

    def holds(self, permits: FairSemaphore) -> bool:
        """Whether this reservation has a permit of ``permits``."""
        return self._place is permits

    async def acquire(self, permits: FairSemaphore) -> None:
        """Take a permit of ``permits`` for a connection, and wait for one if none is free.

        A permit of another semaphore is given back before: two reservations that wait for each
        other's permits would wait for ever.

        Raises:
            BaseException: the error that ``permits`` was closed with.
            ConnectionError: the reservation was left.
        """
        self._check()
        self._peers[self] = None
        self._busy += 1
        try:
            if self._place is not permits:
                self._give_up_place()
                await self._take(permits)
                self._check()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Note that a connection is gone; after the last one the place stays for the next one."""
        self._busy -= 1
        if self._busy:
            return
        if self._left or self._waiting_peer() is not None:
            self._give_up_place()

    def leave(self) -> None:
        """Give the place back for good, also while a connection is being opened."""
        self._left = True
        self._peers.pop(self, None)
        self._give_up_place()

    def _check(self) -> None:
        if self._left:
            raise ConnectionError("nobody needs this connection any more")

    async def _take(self, permits: FairSemaphore) -> None:
        if not permits.take():
            spare = (peer for peer in self._peers if peer._place is permits and not peer._busy)
            peer = next(spare, None)
            if peer is None:
                await self._wait(permits)
            else:
                peer._place = None
        self._place = permits

    async def _wait(self, permits: FairSemaphore) -> None:
        waiter = permits.queue()
        self._waiter, self._wanted = waiter, permits
        try:
            await waiter
        except asyncio.CancelledError:
            if granted(waiter):
                # It was granted just before the cancellation.
                self._place = permits
            else:
                waiter.cancel()
            raise
        finally:
            self._waiter = self._wanted = None

    def _give_up_place(self) -> None:
        if self._place is None:
            return
        heir = self._waiting_peer()
        place, self._place = self._place, None
        if heir is None:
            place.release()
        else:
            # The semaphore skips waiters that are done.
            heir.set_result(None)

    def _waiting_peer(self) -> Waiter | None:
        """Return the first peer's waiter that waits for a permit of the same semaphore."""
        if self._place is None:
            return None
        for peer in self._peers:
            waiter = peer._waiter
            if peer._wanted is self._place and waiter is not None and not waiter.done():
                return waiter
        return None
