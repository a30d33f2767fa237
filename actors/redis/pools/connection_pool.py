"""The connection pool of one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, Unpack

from actors.redis import exceptions
from actors.redis.config.locations import Location, TCPLocation
from actors.redis.config.settings import (
    DEFAULT_LOCATION,
    DEFAULT_POOL_TIMEOUT,
    ConnectionOptions,
    ConnectionSettings,
    check_limits,
    one_timeout,
)
from actors.redis.config.url import read_url
from actors.redis.pools.connections import Connections, to_its_end
from actors.redis.pools.places import Limits
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection
from supervisor.checks import require_loop

_MAX_CONNECTIONS: Final = 64


class ConnectionPool:
    """The connections to one server; an async context manager.

    Commands share one connection, see :mod:`actors.redis.shared`. Besides that one
    the pool lends connections to whoever needs one alone: subscriptions, commands that block, and
    the callers of :meth:`acquire`. The pool may be entered several times at once; the last exit
    closes it.

    Args:
        location: where the server listens.
        host: the server's host, with ``port``, instead of ``location``.
        port: see ``host``.
        connection_class: the class of the connections.
        max_connections: how many connections may be lent at the same time; None: 64. Subscriptions
            do not wait: beyond this number they get theirs, and the pool logs one warning.
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
        timeout: float | None = DEFAULT_POOL_TIMEOUT,
        pool_timeout: float | None = DEFAULT_POOL_TIMEOUT,
        max_idle_time: float | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if location is None:
            location = TCPLocation(host or DEFAULT_LOCATION.host, port or DEFAULT_LOCATION.port)
        self.timeout = one_timeout(timeout, pool_timeout)
        self.settings = ConnectionSettings.of(location, options)
        self.connection_class = connection_class
        self.max_connections = _MAX_CONNECTIONS if max_connections is None else max_connections
        self.max_idle_time = max_idle_time
        check_limits(
            max_connections=self.max_connections, timeout=self.timeout, max_idle_time=max_idle_time
        )
        self._entries = 0
        self._connections: Connections | None = None
        self._shared: SharedConnection | None = None

    @classmethod
    def from_url(cls, url: str, *, decode_components: bool = False, **options: Any) -> Self:
        """Return a pool for ``url``; an option in its query overrules the argument.

        Args:
            url: see :func:`actors.redis.config.url.parse_url`.
            decode_components: undo the %-encoding of user, password, host and path.
            options: those of the pool except ``host`` and ``port`` (the URL says where the server
                is), and with ``rediss://`` or ``valkeys://`` the ``ssl_*`` ones.

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
        """How many connections are lent, or have commands in flight."""
        return self._connections.in_use if self._connections is not None else 0

    @property
    def idle(self) -> int:
        """How many connections are open and not in use."""
        return self._connections.idle if self._connections is not None else 0

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.location}, {self.in_use} in use, {self.idle} idle, "
            f"at most {self.max_connections}>"
        )

    # --- Connections ------------------------------------------------------------------------------

    def shared(self) -> SharedConnection:
        """Return the connection that commands share; RuntimeError if the pool was not entered."""
        shared = self._shared
        if shared is None or asyncio.get_running_loop() is not self._loop:
            return self._entered().shared(self.location)
        return shared

    async def acquire(self) -> Connection:
        """Return a connection that nobody else uses until :meth:`release`.

        Raises:
            RuntimeError: the pool was not entered.
            TimeoutError: there was none within ``timeout``.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`.
        """
        return await self._entered().hold(self.location)

    async def open_dedicated(self, progress: ConnectProgress | None = None) -> Connection:
        """Return a new connection, for subscriptions: :meth:`release` will close it.

        The call never waits for others to release theirs. The server answers on the connection,
        whatever the pool's ``noreply`` is. Raises what :meth:`Connection.open` does.

        Args:
            progress: is kept up to date, for a caller with a time limit of its own.
        """
        return await self._entered().hold_for_subscriptions(self.location, progress)

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not lent.

        The pool closes a connection that is tainted or still has replies to come.
        """
        if self._connections is not None:
            self._connections.release(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for the context."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)

    def _entered(self) -> Connections:
        if self._connections is None:
            raise RuntimeError(
                f"{type(self).__name__} of {self.location} is used outside of its context: "
                "do so inside `async with client:` or `async with pool:`"
            )
        require_loop(self._loop, f"the client of {self.location}")
        return self._connections

    # --- The context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._entries += 1
        if self._connections is None:
            limits = Limits(
                max_connections=self.max_connections,
                timeout=self.timeout,
                max_idle_time=self.max_idle_time,
            )
            self._loop = asyncio.get_running_loop()
            self._connections = Connections(self.connection_class, self.settings, limits)
            self._shared = self._connections.shared(self.location)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entries -= 1
        if self._entries or self._connections is None:
            return
        connections, self._connections = self._connections, None
        self._shared = None
        error = exceptions.ConnectionError(f"the connection pool of {self.location} was left")
        await to_its_end(connections.close(error))
