"""The connections of one pool: to each server one that commands share, and those that are held."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from actors.redis.config.locations import Location
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import ConnectionError  # noqa: A004 - the library's
from actors.redis.pools.places import Idle, Limits, Places
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

# Seconds. A connection that was idle for longer may have ended while the loop was busy, unnoticed:
# the loop reads before the connection is lent.
_TRUSTED_IDLE: Final = 0.1
# Seconds to open a connection for subscriptions where the settings give no limit: whoever restores
# a lost one must not wait for ever for a server or a credential provider that hangs.
_SUBSCRIPTIONS_TIMEOUT: Final = 30.0
# Seconds that connections get to close in good order before they are aborted.
_CLOSE_TIMEOUT: Final = 0.5


class Connections:
    """Opens, lends and closes connections; exists from a pool's first entry to its last exit.

    Args:
        connection_class: the class of the connections.
        settings: those of each connection, apart from the location.
        limits: how many connections there may be.
        late: called now and then while a command has waited long for its reply.
    """

    def __init__(
        self,
        connection_class: type[Connection],
        settings: ConnectionSettings,
        limits: Limits,
        late: Callable[[], None] | None = None,
    ) -> None:
        self._class = connection_class
        self._settings = settings
        self._limits = limits
        self._late = late
        self._shared: dict[Location, SharedConnection] = {}
        self._places: defaultdict[Location | None, Places] = defaultdict(
            lambda: Places(limits.max_connections)
        )
        # The connections that somebody holds, each with its place.
        self._held: dict[Connection, Places] = {}
        self._open: set[Connection] = set()
        # Shared connections to servers that left: their last replies are still to come.
        self._leaving: set[SharedConnection] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._warned = False
        self._closed: ConnectionError | None = None

    @property
    def in_use(self) -> int:
        """How many connections are held, or have commands in flight."""
        return len(self._held) + sum(shared.busy for shared in self._shared.values())

    @property
    def idle(self) -> int:
        """How many connections are open and not in use."""
        shared = sum(each.connected and not each.busy for each in self._shared.values())
        return shared + sum(len(places.idle) for places in self._places.values())

    # --- Commands ---------------------------------------------------------------------------------

    def shared(self, location: Location) -> SharedConnection:
        """Return the connection to ``location`` that commands share; it may not be open yet."""
        shared = self._shared.get(location)
        if shared is None:
            limits = self._limits
            shared = self._shared[location] = SharedConnection(
                lambda: self._open_in_time(location),
                location,
                timeout=self._settings.stream_timeout,
                max_idle_time=limits.max_idle_time,
                late=self._late,
            )
        return shared

    async def _open_in_time(self, location: Location) -> Connection:
        async with self._in_time() as progress:
            return await self._connect(location, self._settings, progress)

    # --- Held connections -------------------------------------------------------------------------

    async def hold(self, location: Location) -> Connection:
        """Return a connection to ``location`` that nobody else uses until :meth:`release`.

        Raises:
            TimeoutError: there was none within the limit.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`.
        """
        places = self._places_of(location)
        async with self._in_time() as progress:
            progress.waits(location, self._full())
            connection = await places.take(location)
            try:
                if connection is None or not await self._still_usable(connection):
                    connection = await self._connect(location, self._settings, progress)
            except BaseException:
                places.give_back(None)
                raise
        self._held[connection] = places
        return connection

    async def hold_for_subscriptions(
        self, location: Location, progress: ConnectProgress | None = None
    ) -> Connection:
        """Return a new connection, which :meth:`release` closes; it never waits for a place.

        The server answers on it, whatever ``noreply`` is.
        """
        places = self._places_of(location)
        if places.force() and not self._warned:
            self._warned = True
            log.warning(
                "max_connections_exceeded",
                max_connections=self._limits.max_connections,
                needed=places.taken,
                cure="subscriptions get their connections all the same; "
                "give a max_connections that they and all commands that block fit in",
            )
        try:
            limit = self._settings.connect_timeout or _SUBSCRIPTIONS_TIMEOUT
            settings = replace(self._settings, noreply=False, connect_timeout=limit)
            connection = await self._connect(location, settings, progress)
        except BaseException:
            places.give_back(None)
            raise
        connection.tainted = True
        self._held[connection] = places
        return connection

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not held."""
        places = self._held.pop(connection, None)
        if places is None:
            return
        if connection.pending:
            connection.abort()
        elif connection.tainted or not connection.usable:
            connection.close()
        places.give_back(connection if connection.usable else None)
        self._schedule_reaper()

    def _places_of(self, location: Location) -> Places:
        return self._places[location if self._limits.per_node else None]

    def _full(self) -> str:
        scope = " of this node" if self._limits.per_node else ""
        return (
            f"all {self._limits.max_connections} connections{scope} are held, by subscriptions and "
            "by commands that block; raise max_connections, or release sooner"
        )

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[ConnectProgress]:
        timeout, progress = self._limits.timeout, ConnectProgress()
        try:
            async with asyncio.timeout(timeout) as limit:
                yield progress
        except TimeoutError:
            if not limit.expired():
                raise
            raise progress.timed_out(f"{timeout} s (pool_timeout)") from None

    async def _still_usable(self, connection: Connection) -> bool:
        """Whether an idle connection can be lent; close it otherwise."""
        usable = False
        try:
            if asyncio.get_running_loop().time() - connection.last_read > _TRUSTED_IDLE:
                # The first round polls the sockets, the second calls the handlers.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            usable = connection.usable and not connection.pending
        finally:
            if not usable:
                connection.close()
        return usable

    async def _connect(
        self,
        location: Location,
        settings: ConnectionSettings,
        progress: ConnectProgress | None = None,
    ) -> Connection:
        connection = await self._class.open(replace(settings, location=location), progress=progress)
        if self._closed is not None:
            connection.abort(self._closed)
            raise self._closed
        self._open.add(connection)
        connection.add_close_callback(self._ended)
        return connection

    def _ended(self, connection: Connection, cause: BaseException) -> None:
        # What ended takes no place, also where nobody has released it yet.
        self._open.discard(connection)
        self.release(connection)
        self._drop_idle(lambda entry: entry.connection is connection)

    # --- Idle connections -------------------------------------------------------------------------

    def _schedule_reaper(self) -> None:
        if self._limits.max_idle_time is None or self._reaper is not None:
            return
        since = [places.idle[0].since for places in self._places.values() if places.idle]
        if since:
            loop = asyncio.get_running_loop()
            self._reaper = loop.call_at(min(since) + self._limits.max_idle_time, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        limit = asyncio.get_running_loop().time() - (self._limits.max_idle_time or 0)
        self._drop_idle(lambda entry: entry.since <= limit)
        self._schedule_reaper()

    def _drop_idle(self, unwanted: Callable[[Idle], bool]) -> None:
        for places in self._places.values():
            places.drop(unwanted)

    # --- Servers come and go ----------------------------------------------------------------------

    def keep(self, locations: set[Location]) -> None:
        """Close what is not in use of other servers, and the rest when it is not used any more."""
        self._leaving = {shared for shared in self._leaving if not shared.ended}
        for location in self._shared.keys() - locations:
            shared = self._shared.pop(location)
            shared.retire()
            self._leaving.add(shared)
        for connection in self._held:
            connection.tainted |= connection.location not in locations
        self._drop_idle(lambda entry: entry.connection.location not in locations)

    def fail(self, location: Location, error: ConnectionError) -> None:
        """End the connections for commands to a server; pending commands fail with ``error``.

        Connections of subscriptions stay: their users watch them.
        """
        if location in self._shared:
            self._shared[location].abort(error)
        for connection in list(self._open):
            if connection.location == location and not connection.tainted:
                connection.abort(error)

    # --- The end ----------------------------------------------------------------------------------

    async def close(self, error: ConnectionError) -> None:
        """Close all connections; whoever waits for one gets ``error``."""
        self._closed = error
        if self._reaper is not None:
            self._reaper.cancel()
        connections = list(self._open)
        for places in self._places.values():
            places.close(error)
        for connection in self._held:
            connection.abort(error)
        for shared in (*self._shared.values(), *self._leaving):
            await shared.close(error)
        await _wait_closed(connections)


async def _wait_closed(connections: list[Connection]) -> None:
    """Wait until connections are closed, and abort those that take too long."""
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


async def to_its_end(closing: Coroutine[Any, Any, None]) -> None:
    """Await ``closing``, which takes bounded time, to its end; a cancellation comes after that.

    A cancellation in its midst would leave connections open.
    """
    task = asyncio.create_task(closing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
