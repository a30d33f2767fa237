"""The connection pool of one server.

Each lease, of a connection for commands or of a dedicated one for a subscription, takes one of
``max_connections`` permits. Idle connections hold no permit; if one of them would make the open
connections exceed the limit, the pool closes the one that is idle for longest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, Unpack

from actors.redis import exceptions
from actors.redis.config.locations import Location, TCPLocation
from actors.redis.config.settings import (
    DEFAULT_LOCATION,
    ConnectionOptions,
    ConnectionSettings,
    check_limits,
)
from actors.redis.config.url import read_url
from actors.redis.pools.permits import FairSemaphore
from actors.redis.pools.reservations import Reservation
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection

_MAX_CONNECTIONS: Final = 64
# Seconds. A connection that was idle for longer may have ended while the loop was busy, unnoticed:
# the pool lets the loop read before it leases the connection.
_TRUSTED_IDLE: Final = 0.1
# Seconds that connections get to close in good order before they are aborted.
_CLOSE_TIMEOUT: Final = 0.5
# Seconds for a dedicated connection where the settings give no limit: whoever restores a lost one
# must not wait for ever for a server or a credential provider that hangs.
_DEDICATED_TIMEOUT: Final = 30.0


class ConnectionPool:
    """A pool of connections to one server; an async context manager.

    The pool may be entered several times at once; the last exit closes it.

    Args:
        location: where the server listens.
        host: the server's host, with ``port``, instead of ``location``.
        port: see ``host``.
        connection_class: the class of the connections.
        max_connections: how many connections may be open; None: 64.
        timeout: seconds to wait for a connection, the time to open one included; None: no limit.
        pool_timeout: the client's name of ``timeout``.
        max_idle_time: seconds after which an unused connection is closed; None: never.
        options: see ConnectionSettings.

    Raises:
        ValueError: an option has no meaning.
    """

    def __init__(
        self,
        *,
        location: Location | None = None,
        host: str | None = None,
        port: int | None = None,
        connection_class: type[Connection] = Connection,
        max_connections: int | None = None,
        timeout: float | None = None,
        pool_timeout: float | None = None,
        max_idle_time: float | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if location is None:
            location = TCPLocation(host or DEFAULT_LOCATION.host, port or DEFAULT_LOCATION.port)
        if timeout is not None and pool_timeout is not None:
            raise ValueError("timeout and pool_timeout are the same option: give one of them")
        self.settings = ConnectionSettings(location=location, **options)
        self.connection_class = connection_class
        self.max_connections = _MAX_CONNECTIONS if max_connections is None else max_connections
        self.timeout = pool_timeout if timeout is None else timeout
        self.max_idle_time = max_idle_time
        check_limits(
            max_connections=self.max_connections, timeout=self.timeout, max_idle_time=max_idle_time
        )
        self._entries = 0
        self._permits: FairSemaphore | None = None
        self._opening = 0
        self._open: set[Connection] = set()
        self._idle: deque[tuple[Connection, float]] = deque()
        # Each leased connection, and the giver of its permit: the semaphore of the context in which
        # it was leased, which the lease may outlive, or a reservation, which keeps the permit.
        self._leased: dict[Connection, FairSemaphore | Reservation] = {}
        self._reaper: asyncio.TimerHandle | None = None

    @classmethod
    def from_url(cls, url: str, *, decode_components: bool = False, **options: Any) -> Self:
        """Return a pool for ``url``; an option in its query overrules the argument.

        Args:
            url: see :func:`actors.redis.config.url.parse_url`.
            decode_components: undo the %-encoding of user, password, host and path.
            options: those of the pool except ``host`` and ``port`` (the URL says where the server
                is), and with rediss:// the ``ssl_*`` ones.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        location, merged = read_url(url, options, decode_components=decode_components)
        return cls(location=location, **merged)

    @property
    def location(self) -> Location:
        """Where the server listens."""
        return self.settings.location

    @property
    def encoding(self) -> str:
        """The codec of str in commands and replies."""
        return self.settings.encoding

    @property
    def decode_responses(self) -> bool:
        """Whether clients of this pool return str."""
        return self.settings.decode_responses

    @property
    def pool_timeout(self) -> float | None:
        """Seconds to wait for a connection."""
        return self.timeout

    @property
    def in_use(self) -> int:
        """How many connections are leased."""
        return len(self._leased)

    @property
    def idle(self) -> int:
        """How many connections are open and not leased."""
        return len(self._idle)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.location}, {self.in_use} in use, {self.idle} idle, "
            f"at most {self.max_connections}>"
        )

    # --- Leases -----------------------------------------------------------------------------------

    async def acquire(self) -> Connection:
        """Return a connection that nobody else uses until :meth:`release`.

        Raises:
            RuntimeError: the pool was not entered.
            TimeoutError: there was none within ``timeout``.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`.
        """
        return await self._lease(self._reuse_or_connect)

    async def open_dedicated(self, reservation: Reservation | None = None) -> Connection:
        """Return a new connection, for subscriptions: :meth:`release` will close it.

        The server answers on it, whatever the pool's ``noreply`` is. Raises what :meth:`acquire`
        does.

        Args:
            reservation: holds the connection's place in the pool, and keeps the place for the next
                connection; None: the place ends with the connection.
        """
        progress = None if reservation is None else reservation.progress
        return await self._lease(partial(self._connect_dedicated, progress=progress), reservation)

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not leased.

        The pool closes a connection that is tainted or still has replies to come.
        """
        place = self._leased.pop(connection, None)
        if place is None:
            return
        if connection.pending:
            connection.abort()
        elif connection.tainted or not connection.usable or place is not self._permits:
            connection.close()
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))
            self._schedule_reaper()
        place.release()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lease a connection for the context."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)

    async def _lease(
        self,
        get: Callable[[FairSemaphore], Awaitable[Connection]],
        reservation: Reservation | None = None,
    ) -> Connection:
        permits = self._permits
        if permits is None:
            raise RuntimeError(
                f"{type(self).__name__} of {self.location} is used outside of its context: "
                "do so inside `async with client:` or `async with pool:`"
            )
        missing = f"all {self.max_connections} are in use; raise max_connections, or release sooner"
        place: FairSemaphore | Reservation = permits
        try:
            async with asyncio.timeout(self.timeout) as limit:
                if reservation is None:
                    await permits.acquire()
                else:
                    place = reservation
                    reservation.progress.waits(self.location, missing)
                    await reservation.acquire(permits)
                missing = "the server did not accept a new one in time"
                try:
                    connection = await get(permits)
                except BaseException:
                    place.release()
                    raise
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(
                f"no connection to {self.location} within {self.timeout} s (pool_timeout): "
                f"{missing}"
            ) from None
        self._leased[connection] = place
        return connection

    async def _reuse_or_connect(self, permits: FairSemaphore) -> Connection:
        while self._idle:
            # The latest first: so connections that are not needed stay idle until they are closed.
            connection, since = self._idle.pop()
            if asyncio.get_running_loop().time() - since > _TRUSTED_IDLE:
                await self._let_loop_read(connection)
            if connection.usable and not connection.pending:
                return connection
            connection.close()
        return await self._connect(permits, self.settings)

    async def _let_loop_read(self, connection: Connection) -> None:
        """Let the loop handle the bytes, or the end, that have arrived for ``connection``."""
        try:
            # The first round polls the sockets, the second calls the handlers.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except BaseException:
            connection.close()
            raise

    async def _connect_dedicated(
        self, permits: FairSemaphore, progress: ConnectProgress | None
    ) -> Connection:
        limit = self.settings.connect_timeout or _DEDICATED_TIMEOUT
        settings = replace(self.settings, noreply=False, connect_timeout=limit)
        connection = await self._connect(permits, settings, progress)
        connection.tainted = True
        return connection

    async def _connect(
        self,
        permits: FairSemaphore,
        settings: ConnectionSettings,
        progress: ConnectProgress | None = None,
    ) -> Connection:
        if self._idle and len(self._open) + self._opening >= self.max_connections:
            self._idle.popleft()[0].close()
        self._opening += 1
        try:
            connection = await self.connection_class.open(settings, progress=progress)
        finally:
            self._opening -= 1
        if permits is not self._permits:
            connection.abort()
            raise self._left()
        self._open.add(connection)
        connection.add_close_callback(self._forget)
        return connection

    def _forget(self, connection: Connection, cause: BaseException) -> None:
        self._open.discard(connection)
        if any(idle is connection for idle, _ in self._idle):
            self._idle = deque(entry for entry in self._idle if entry[0] is not connection)

    # --- Idle connections -------------------------------------------------------------------------

    def _schedule_reaper(self) -> None:
        if self.max_idle_time is None or self._reaper is not None or not self._idle:
            return
        loop = asyncio.get_running_loop()
        self._reaper = loop.call_at(self._idle[0][1] + self.max_idle_time, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        limit = asyncio.get_running_loop().time() - (self.max_idle_time or 0)
        while self._idle and self._idle[0][1] <= limit:
            self._idle.popleft()[0].close()
        self._schedule_reaper()

    # --- The context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._entries += 1
        if self._permits is None:
            self._permits = FairSemaphore(self.max_connections)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entries -= 1
        if self._entries or self._permits is None:
            return
        permits, self._permits = self._permits, None
        permits.close(self._left())
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        idle, self._idle = self._idle, deque()
        for connection, _ in idle:
            connection.close()
        connections = list(self._open)
        for connection in self._leased.keys() & self._open:
            connection.abort(self._left())
        await self._wait_closed(connections)

    async def _wait_closed(self, connections: list[Connection]) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                for connection in connections:
                    await connection.wait_closed()
        except TimeoutError:
            # The peer does not answer the close of TLS, or does not read the bytes to send.
            pass
        finally:
            for connection in connections:
                connection.abort()
        for connection in connections:
            await connection.wait_closed()

    def _left(self) -> exceptions.ConnectionError:
        return exceptions.ConnectionError(f"the connection pool of {self.location} was left")
