"""The connections that somebody holds: counted, lent, kept for the next one who asks.

Each connection takes one of ``limit`` places, also while nobody holds the connection. Who comes
when all places are taken waits, first come, first served; a subscription never waits: see
:meth:`Places.force`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from actors.redis.config.locations import Location
from actors.redis.wire.connection import Connection


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many connections may be held, and for how long.

    Attributes:
        max_connections: how many connections may be held at the same time.
        per_node: whether that is the limit of each server, instead of all together.
        timeout: seconds to wait for a connection, the time to open one included; None: no limit.
        max_idle_time: seconds after which an unused connection is closed; None: never.
    """

    max_connections: int
    per_node: bool = False
    timeout: float | None
    max_idle_time: float | None


class Idle(NamedTuple):
    """A connection that nobody holds, and the loop's time since when."""

    connection: Connection
    since: float


class Places:
    """A number of places, and the idle connections in some of them.

    Attributes:
        taken: how many places are taken; more than ``limit`` after :meth:`force`.
        idle: the connections that nobody holds, that of longest ago first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.idle: deque[Idle] = deque()
        self._waiters: deque[tuple[Location, asyncio.Future[Connection | None]]] = deque()

    async def take(self, location: Location) -> Connection | None:
        """Take a place; return an idle connection to ``location``, or None: the place is empty.

        The connection may have ended while the loop was busy.
        """
        for entry in reversed(self.idle):
            # The latest first: so connections that are not needed stay idle until they are closed.
            if entry.connection.location == location:
                self.idle.remove(entry)
                return entry.connection
        if self.taken < self.limit:
            self.taken += 1
            return None
        if self.idle:
            # An idle connection to another server leaves its place.
            self.idle.popleft().connection.close()
            return None
        return await self._wait(location)

    def force(self) -> bool:
        """Take a place at once, beyond the limit if need be; return whether it was beyond."""
        if self.taken >= self.limit and self.idle:
            self.idle.popleft().connection.close()
            return False
        self.taken += 1
        return self.taken > self.limit

    async def _wait(self, location: Location) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        entry = (location, waiter)
        self._waiters.append(entry)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                if entry in self._waiters:
                    self._waiters.remove(entry)
            elif waiter.exception() is None:
                # The place came just before the cancellation.
                self.give_back(waiter.result())
            raise

    def give_back(self, connection: Connection | None) -> None:
        """Give a place back, with a connection in it that the next one can use, or without."""
        if self.taken > self.limit:
            self._leave(connection)
            return
        while self._waiters:
            location, waiter = self._waiters.popleft()
            if waiter.done():
                continue
            if connection is not None and connection.location != location:
                connection.close()
                connection = None
            waiter.set_result(connection)
            return
        if connection is None:
            self._leave(None)
        else:
            self.idle.append(Idle(connection, asyncio.get_running_loop().time()))

    def _leave(self, connection: Connection | None) -> None:
        self.taken -= 1
        if connection is not None:
            connection.close()

    def drop(self, unwanted: Callable[[Idle], bool]) -> None:
        """Close the idle connections that are ``unwanted``."""
        for entry in [entry for entry in self.idle if unwanted(entry)]:
            self.idle.remove(entry)
            self._leave(entry.connection)

    def close(self, error: BaseException) -> None:
        """Fail all who wait with ``error``, and close the idle connections."""
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
        while self.idle:
            self.idle.popleft().connection.close()
