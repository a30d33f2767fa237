"""The connection pools of a cluster's nodes, with one limit for all."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.pools.permits import FairSemaphore
from actors.redis.pools.reservations import Reservation
from actors.redis.topology.model import Address
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection

# A node's pool has no limit of its own: NodePools keeps the limit.
_NO_LIMIT: Final = sys.maxsize


class _NodePool(ConnectionPool):
    """The pool of one node; NodePools keeps its limit."""

    def __init__(self, make_room: Callable[[_NodePool], None], **options: Any) -> None:
        super().__init__(max_connections=_NO_LIMIT, **options)
        self.make_room = make_room
        self.retired = False

    @property
    def open_connections(self) -> int:
        """How many connections are open or being opened."""
        return len(self._open) + self._opening

    @property
    def busy(self) -> bool:
        """Whether connections are leased or being opened."""
        return bool(self.in_use or self._opening)

    @property
    def idle_since(self) -> float:
        """The loop's time since when the oldest idle connection is idle."""
        return self._idle[0][1] if self._idle else math.inf

    def drop_idle(self) -> None:
        """Close the connection that has been idle for longest."""
        if self._idle:
            self._idle.popleft()[0].close()

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back."""
        connection.tainted |= self.retired
        super().release(connection)

    async def connect(self, progress: ConnectProgress | None) -> Connection:
        """Open a dedicated connection."""
        return await self._lease(partial(self._connect_dedicated, progress=progress))

    async def _connect(
        self,
        permits: FairSemaphore,
        settings: ConnectionSettings,
        progress: ConnectProgress | None = None,
    ) -> Connection:
        self.make_room(self)
        return await super()._connect(permits, settings, progress)


class _Lease(NamedTuple):
    """One leased connection, and the giver of its permit, who may have been replaced since."""

    pool: _NodePool
    place: FairSemaphore | Reservation
    since: float
    dedicated: bool


class NodePools:
    """Leases connections to any address, at most ``max_connections`` at the same time.

    Args:
        max_connections: the limit of all nodes together; with ``per_node``, of each node.
        per_node: see ``max_connections``.
        timeout: seconds to wait for a connection; None: no limit.
        options: the options of each node's ConnectionPool.
    """

    def __init__(
        self,
        max_connections: int,
        *,
        per_node: bool,
        timeout: float | None,
        options: dict[str, Any],
    ) -> None:
        self.max_connections = max_connections
        self.per_node = per_node
        self.timeout = timeout
        self._options = options
        self._pools: dict[Address, _NodePool] = {}
        self._retired: set[_NodePool] = set()
        self._permits: dict[Address | None, FairSemaphore] = {}
        self._leased: dict[Connection, _Lease] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> int:
        """How many connections are leased."""
        return len(self._leased)

    @property
    def idle(self) -> int:
        """How many connections are open and not leased."""
        return sum(pool.idle for pool in self._pools.values())

    # --- Leases -----------------------------------------------------------------------------------

    async def lease(
        self, address: Address, *, dedicated: bool = False, reservation: Reservation | None = None
    ) -> Connection:
        """Return a connection to ``address``.

        Args:
            address: where the node is reached.
            dedicated: return a new connection, which is tainted.
            reservation: holds the place, and keeps it when the connection is released.

        Raises:
            TimeoutError: there was none within ``timeout``.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`.
        """
        permits = self._permits_for(address)
        where = TCPLocation(*address)
        place: FairSemaphore | Reservation = permits
        scope = "of this node" if self.per_node else "of the cluster"
        missing = (
            f"all {self.max_connections} {scope} are in use; raise max_connections, "
            "or release sooner"
        )
        try:
            async with asyncio.timeout(self.timeout) as limit:
                if reservation is None:
                    await permits.acquire()
                else:
                    place = reservation
                    reservation.progress.waits(where, missing)
                    await reservation.acquire(permits)
                missing = "the server did not accept a new one in time"
                pool = await self._pool_at(address)
                progress = None if reservation is None else reservation.progress
                try:
                    connection = await (pool.connect(progress) if dedicated else pool.acquire())
                except BaseException:
                    place.release()
                    self._leave_if_unused(pool)
                    raise
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(
                f"no connection to {where} within {self.timeout} s (pool_timeout): {missing}"
            ) from None
        now = asyncio.get_running_loop().time()
        self._leased[connection] = _Lease(pool, place, now, dedicated)
        return connection

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not leased."""
        lease = self._leased.pop(connection, None)
        if lease is None:
            return
        lease.pool.release(connection)
        lease.place.release()
        self._leave_if_unused(lease.pool)

    def has_room(self, address: Address, reservation: Reservation) -> bool:
        """Whether ``reservation`` gets a connection to ``address`` without waiting for a place."""
        permits = self._permits_for(address)
        return reservation.holds(permits) or permits.free > 0

    def _permits_for(self, address: Address) -> FairSemaphore:
        key = address if self.per_node else None
        return self._permits.setdefault(key, FairSemaphore(self.max_connections))

    async def _pool_at(self, address: Address) -> _NodePool:
        pool = self._pools.get(address)
        if pool is None:
            location = TCPLocation(*address)
            pool = _NodePool(self._make_room, location=location, **self._options)
            self._pools[address] = pool
            # This awaits nothing: no other task runs in between.
            await pool.__aenter__()
        return pool

    def _make_room(self, pool: _NodePool) -> None:
        pools = [pool] if self.per_node else [*self._pools.values(), *self._retired]
        if sum(each.open_connections for each in pools) >= self.max_connections:
            min(pools, key=lambda each: each.idle_since).drop_idle()

    def longest_wait(self) -> float | None:
        """The age in seconds of the oldest lease for commands; None: there is none."""
        since = [lease.since for lease in self._leased.values() if not lease.dedicated]
        return asyncio.get_running_loop().time() - min(since) if since else None

    # --- Nodes come and go ------------------------------------------------------------------------

    def keep(self, addresses: set[Address]) -> None:
        """Close the idle connections to other addresses, and leased ones when they are released."""
        for address in self._pools.keys() - addresses:
            pool = self._pools.pop(address)
            pool.retired = True
            self._retired.add(pool)
            self._leave_if_unused(pool)
        for key in self._permits.keys() - addresses - {None}:
            # Leases refer to their semaphore themselves; close() has to find those with waiters.
            if not self._permits[key].waiting:
                del self._permits[key]

    def fail(self, address: Address, error: exceptions.ConnectionError) -> None:
        """End the connections for commands to ``address``; pending commands get ``error``.

        Dedicated connections stay: their users watch them.
        """
        pool = self._pools.get(address)
        if pool is None:
            return
        while pool.idle:
            pool.drop_idle()
        for connection, lease in self._leased.items():
            if lease.pool is pool and not lease.dedicated:
                connection.abort(error)

    def _leave_if_unused(self, pool: _NodePool) -> None:
        if pool not in self._retired:
            return
        while pool.idle:
            pool.drop_idle()
        if pool.busy:
            return
        self._retired.discard(pool)
        task = asyncio.get_running_loop().create_task(_leave(pool))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self, error: exceptions.ConnectionError) -> None:
        """Close all connections; whoever waits for one gets ``error``."""
        for permits in self._permits.values():
            permits.close(error)
        pools = [*self._pools.values(), *self._retired]
        self._pools.clear()
        self._retired.clear()
        await asyncio.gather(*map(_leave, pools), *self._leaving)


async def _leave(pool: _NodePool) -> None:
    await pool.__aexit__(None, None, None)
