"""Connections to the nodes of a cluster, and who of them serves what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, Unpack

from actors.redis import exceptions
from actors.redis.cluster.discovery import ClusterObserver
from actors.redis.cluster.layout import ClusterLayout
from actors.redis.cluster.session import ClusterSession, CurrentTopology
from actors.redis.config.cluster_url import (
    StartupNode,
    checked_remap,
    options_of_url,
    startup_locations,
)
from actors.redis.config.settings import ConnectionOptions, check_limits
from actors.redis.pools.node_pools import NodePools
from actors.redis.pools.reservations import Reservation
from actors.redis.topology.model import Address, Topology
from actors.redis.topology.parse import AddressRemap
from actors.redis.wire.connection import Connection, ConnectionSettings

__all__ = ["ClusterConnectionPool"]

_MAX_CONNECTIONS: Final = 32


class ClusterConnectionPool:
    """Pools of connections to all nodes; an async context manager that can be entered often.

    The first entry finds the cluster. From then on :attr:`topology` says who serves what, as far
    as is known; :meth:`refresh` asks again.

    Args:
        startup_nodes: nodes to find the cluster by; one that answers is enough. Also ``host`` and
            ``port`` of one.
        max_connections: so many connections are open at most; None: 32. Those to ask for the
            topology by, at most one to each node, come on top.
        max_connections_per_node: that limit is for each node, not for all together.
        read_from_replicas: subscriptions go to replicas where there are any.
        address_remap: from the (host, port) that a node announces to the one that reaches it from
            here: for clusters behind containers or other address translation.
        timeout: seconds to wait for a connection, the making of a new one included; None: as long
            as it takes. ``pool_timeout``, the client's word for it, is accepted too.
        max_idle_time: seconds after which an unused connection is closed; None: never.
        skip_full_coverage_check: accepted for compatibility: a cluster that does not serve all
            slots is used as far as it goes.
        nodemanager_follow_cluster: accepted for compatibility: nodes that were found are always
            asked, and the startup nodes where none of them answers.
        reinitialize_steps: accepted for compatibility: each MOVED is acted upon.
        connection_class: makes the connections.
        options: those of ConnectionSettings.

    Raises:
        ValueError: an option has no meaning.
    """

    def __init__(
        self,
        startup_nodes: Iterable[StartupNode] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        max_connections: int | None = _MAX_CONNECTIONS,
        max_connections_per_node: bool = False,
        read_from_replicas: bool = False,
        address_remap: AddressRemap | None = None,
        timeout: float | None = None,
        pool_timeout: float | None = None,
        max_idle_time: float | None = None,
        skip_full_coverage_check: bool = False,
        nodemanager_follow_cluster: bool = True,
        reinitialize_steps: int | None = None,
        connection_class: type[Connection] = Connection,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if timeout is not None and pool_timeout is not None:
            raise ValueError("timeout and pool_timeout are the same option: give one of them")
        if options.get("db"):
            raise ValueError(
                f"db is {options['db']!r}: a cluster has database 0 only, leave it out"
            )
        self.startup_nodes = startup_locations(startup_nodes, host, port)
        self.settings = ConnectionSettings(location=self.startup_nodes[0], **options)
        self.max_connections = _MAX_CONNECTIONS if max_connections is None else max_connections
        self.max_connections_per_node = max_connections_per_node
        self.read_from_replicas = read_from_replicas
        self.address_remap = None if address_remap is None else checked_remap(address_remap)
        self.timeout = pool_timeout if timeout is None else timeout
        self.max_idle_time = max_idle_time
        self.skip_full_coverage_check = skip_full_coverage_check
        self.nodemanager_follow_cluster = nodemanager_follow_cluster
        self.reinitialize_steps = reinitialize_steps
        self.connection_class = connection_class
        check_limits(
            max_connections=self.max_connections,
            timeout=self.timeout,
            max_idle_time=max_idle_time,
        )
        #: Look-ups in the words of the reference API.
        self.cluster_layout = ClusterLayout(lambda: self.topology)
        self._options = options
        self._entries = 0
        self._session: ClusterSession | None = None
        self._current = CurrentTopology()

    @classmethod
    def from_url(cls, url: str, *, decode_components: bool = False, **options: Any) -> Self:
        """Return a pool for the cluster of the node that ``url`` names.

        What its query says goes before ``options``.

        Args:
            url: ``redis://[[user]:password@]host[:port][?option=value&...]``, ``rediss://`` for
                TLS.
            decode_components: undo the %-encoding of user, password and host.
            options: those of the pool, and the ``ssl_*`` options for rediss://; not ``host`` and
                ``port``: further nodes are ``startup_nodes``.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        first, merged = options_of_url(url, options, decode_components=decode_components)
        return cls([first, *(merged.pop("startup_nodes", None) or ())], **merged)

    @property
    def topology(self) -> Topology:
        """Who serves what, as far as is known; RuntimeError before the first entry."""
        if self._current.value is None:
            raise RuntimeError(
                "the cluster's topology is not known yet: enter the client or the pool first"
            )
        return self._current.value

    @property
    def encoding(self) -> str:
        """Codec of str in commands and replies."""
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
        return self._session.pools.in_use if self._session is not None else 0

    @property
    def idle(self) -> int:
        """How many connections wait for a user."""
        return self._session.pools.idle if self._session is not None else 0

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {', '.join(map(str, self.startup_nodes))}, "
            f"{self.in_use} in use, {self.idle} idle, at most {self.max_connections}"
            f"{' for each node' if self.max_connections_per_node else ''}>"
        )

    # --- The topology -----------------------------------------------------------------------------

    async def refresh(self, prefer: Iterable[str] = (), *, urgent: bool = False) -> Topology:
        """Ask who serves what; the answer becomes :attr:`topology`, and is returned.

        One node is asked, and others where its answer disagrees with what was known.

        Calls at the same time share their run, and none gets an answer older than its call. How
        long it takes: see :mod:`actors.redis.cluster.discovery`.

        Args:
            prefer: ids of nodes that are asked in turn; empty: all nodes are.
            urgent: a channel has no live source: more nodes may be asked in a second.

        Raises:
            RuntimeError: the pool was not entered.
            RedisError: no node answered, each with the reason; the topology stays as it was.
        """
        return await self._entered().refresh(prefer, urgent=urgent)

    @property
    def consumers(self) -> int:
        """How many clients were subscribed on a node when one was last asked; 0: not known."""
        return self._session.consumers if self._session is not None else 0

    def refresh_soon(self) -> None:
        """Have the topology refreshed in the background, if the pool is still entered."""
        if self._session is not None:
            self._session.refresh_soon()

    def note_moved(
        self, slot: int, address: Address, *, asked: Address | None = None
    ) -> Address | None:
        """Act upon a MOVED: correct the current topology at once.

        Args:
            slot: which one.
            address: its owner as the server said; an empty host means the node that was asked.
            asked: where that was.

        Returns:
            Where the owner is reached; None where that cannot be told from the address. The nodes
            should then be asked.
        """
        return self._entered().note_moved(slot, address, asked)

    def resolve(self, address: Address, *, asked: Address | None = None) -> Address | None:
        """Return where the node that an ASK names is reached, as :meth:`note_moved` does."""
        return self._entered().resolve(address, asked)

    def address_of(self, node_id: str) -> Address:
        """Return where a node is reached.

        Raises:
            RuntimeError: the pool was not entered.
            ConnectionError: there is no such node, or its address is not known.
        """
        return self._entered().address_of(node_id)

    def silent(self, node_id: str) -> bool:
        """Whether a node did not answer when it was last asked: where there is a choice, avoid it.

        That is known before the other nodes suspect it. Raises what :meth:`address_of` does.
        """
        return self._entered().silent(self.address_of(node_id))

    # --- Leases -----------------------------------------------------------------------------------

    async def acquire(self, node_id: str) -> Connection:
        """Return a connection to a node that nobody else uses until :meth:`release`.

        Raises:
            RuntimeError: the pool was not entered.
            TimeoutError: none within ``timeout``.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`; also where the
                node is unknown.
        """
        return await self.acquire_at(self.address_of(node_id))

    async def acquire_at(self, address: Address) -> Connection:
        """Return a connection to the node at ``address``, as :meth:`acquire`."""
        return await self._entered().acquire(address)

    async def open_dedicated(
        self, node_id: str, reservation: Reservation | None = None
    ) -> Connection:
        """Return a new connection that :meth:`release` will close: for subscriptions.

        Replies are on, also where the pool's are off. Raises what :meth:`acquire` does.

        Args:
            node_id: where to.
            reservation: has the place, and keeps it for the next connection; None: the
                place ends with the connection.
        """
        address = self.address_of(node_id)
        return await self._entered().pools.lease(address, dedicated=True, reservation=reservation)

    def has_room(self, node_id: str, reservation: Reservation) -> bool:
        """Whether ``reservation`` gets a connection to a node without waiting for others.

        Raises what :meth:`address_of` does.
        """
        return self._entered().pools.has_room(self.address_of(node_id), reservation)

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not leased."""
        if self._session is not None:
            self._session.pools.release(connection)

    @asynccontextmanager
    async def connection(self, node_id: str) -> AsyncIterator[Connection]:
        """Lease a connection to a node for the context."""
        connection = await self.acquire(node_id)
        try:
            yield connection
        finally:
            self.release(connection)

    def _entered(self) -> ClusterSession:
        if self._session is None:
            raise RuntimeError(
                f"{self!r} is used outside of its context: "
                "do so inside `async with client:` or `async with pool:`"
            )
        return self._session

    # --- The context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._entries += 1
        try:
            if self._session is None:
                self._session = self._new_session()
            await self._session.load()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave()

    def _new_session(self) -> ClusterSession:
        observer = ClusterObserver(
            self.connection_class, self.settings, self.startup_nodes, self.address_remap
        )
        pools = NodePools(
            self.max_connections,
            per_node=self.max_connections_per_node,
            timeout=self.timeout,
            options={
                "connection_class": self.connection_class,
                "max_idle_time": self.max_idle_time,
                **self._options,
            },
        )
        return ClusterSession(self._current, observer, pools, self.address_remap)

    async def _leave(self) -> None:
        self._entries -= 1
        if self._entries or self._session is None:
            return
        session, self._session = self._session, None
        await session.close(exceptions.ConnectionError("the cluster's connection pool was left"))
