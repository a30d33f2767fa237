"""The connection pool of a cluster: connections to its nodes, and its topology."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, Unpack

from actors.redis import exceptions
from actors.redis.cluster.layout import ClusterLayout
from actors.redis.cluster.session import ClusterSession, KnownTopology, Owner
from actors.redis.config.cluster_url import (
    StartupNode,
    checked_remap,
    options_of_url,
    startup_locations,
)
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import (
    DEFAULT_POOL_TIMEOUT,
    ConnectionOptions,
    ConnectionSettings,
    check_limits,
    one_timeout,
)
from actors.redis.discovery.bus_contacts import BusContacts
from actors.redis.discovery.cluster_observer import ClusterObserver
from actors.redis.pools.connections import Connections, to_its_end
from actors.redis.pools.places import Limits
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.topology.model import Address, AddressRemap, Topology
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection
from supervisor.checks import require_loop

_MAX_CONNECTIONS: Final = 32


class ClusterConnectionPool:
    """Connections to the nodes of one cluster; an async context manager.

    Commands to a node share one connection, see :mod:`actors.redis.shared`. Besides those the pool
    lends connections to whoever needs one alone: subscriptions, commands that block, and the
    callers of :meth:`acquire`.

    The pool may be entered several times at once; the last exit closes it. The first entry finds
    the cluster. From then on :attr:`topology` is the latest known one; :meth:`refresh` asks the
    nodes again.

    Args:
        startup_nodes: nodes to find the cluster by; one that answers is enough.
        host: one more startup node, with ``port``.
        port: see ``host``.
        max_connections: how many connections may be lent at the same time; None: 32. Subscriptions
            do not wait: beyond this number they get theirs, and the pool logs one warning. The pool
            opens one more to each node that it asks for the topology.
        max_connections_per_node: whether that is the limit of each node, instead of all together.
        read_from_replicas: subscribe on replicas where there are any.
        address_remap: returns, for the (host, port) that a node announces, the one that reaches the
            node from here: for clusters behind containers or other address translation.
        timeout: seconds to wait for a connection, the time to open one included; None: no limit.
        pool_timeout: the client's name of ``timeout``.
        max_idle_time: seconds after which an unused connection is closed; None: never.
        skip_full_coverage_check: accepted for compatibility: the pool never checks that all slots
            are served.
        nodemanager_follow_cluster: accepted for compatibility: the pool always follows the
            cluster's changes.
        reinitialize_steps: accepted for compatibility: the pool acts upon each MOVED.
        connection_class: the class of the connections.
        options: see ConnectionSettings.

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
        timeout: float | None = DEFAULT_POOL_TIMEOUT,
        pool_timeout: float | None = DEFAULT_POOL_TIMEOUT,
        max_idle_time: float | None = None,
        skip_full_coverage_check: bool = False,
        nodemanager_follow_cluster: bool = True,
        reinitialize_steps: int | None = None,
        connection_class: type[Connection] = Connection,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.timeout = one_timeout(timeout, pool_timeout)
        self.startup_nodes = startup_locations(startup_nodes, host, port)
        self.settings = ConnectionSettings.of(self.startup_nodes[0], options)
        self.max_connections = _MAX_CONNECTIONS if max_connections is None else max_connections
        self.max_connections_per_node = max_connections_per_node
        self.read_from_replicas = read_from_replicas
        self.address_remap = None if address_remap is None else checked_remap(address_remap)
        self.max_idle_time = max_idle_time
        self.skip_full_coverage_check = skip_full_coverage_check
        self.nodemanager_follow_cluster = nodemanager_follow_cluster
        self.reinitialize_steps = reinitialize_steps
        self.connection_class = connection_class
        check_limits(
            max_connections=self.max_connections, timeout=self.timeout, max_idle_time=max_idle_time
        )
        #: The topology in the terms of the reference API.
        self.cluster_layout = ClusterLayout(lambda: self.topology)
        self._entries = 0
        self._session: ClusterSession | None = None
        self._known = KnownTopology(self.address_remap)

    @classmethod
    def from_url(cls, url: str, *, decode_components: bool = False, **options: Any) -> Self:
        """Return a pool for the cluster that ``url`` names a node of.

        An option in the URL's query overrules the argument.

        Args:
            url: ``redis://[[user]:password@]host[:port][/db][?option=value&...]``, ``rediss://``
                for TLS, or the same with ``valkey://`` and ``valkeys://``. Databases other than 0
                are there since Valkey 9 (``cluster-databases``).
            decode_components: undo the %-encoding of user, password and host.
            options: those of the pool except ``host`` and ``port`` (the URL says where the first
                node is, ``startup_nodes`` where others are), and with ``rediss://`` or
                ``valkeys://`` the ``ssl_*`` ones.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        first, merged = options_of_url(url, options, decode_components=decode_components)
        return cls([first, *(merged.pop("startup_nodes", None) or ())], **merged)

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
        return self._session.connections.in_use if self._session is not None else 0

    @property
    def idle(self) -> int:
        """How many connections are open and not in use."""
        return self._session.connections.idle if self._session is not None else 0

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {', '.join(map(str, self.startup_nodes))}, "
            f"{self.in_use} in use, {self.idle} idle, at most {self.max_connections}"
            f"{' for each node' if self.max_connections_per_node else ''}>"
        )

    # --- The topology -----------------------------------------------------------------------------

    @property
    def topology(self) -> Topology:
        """The latest known topology; RuntimeError before the first entry."""
        if self._known.value is None:
            raise RuntimeError(
                "the cluster's topology is not known yet: enter the client or the pool first"
            )
        return self._known.value

    async def refresh(self, prefer: Iterable[str] = (), *, urgent: bool = False) -> Topology:
        """Ask for the topology, make it :attr:`topology`, and return it.

        The pool asks one node, and others only if the answer disagrees with the known topology.
        Concurrent calls share one round of questions; no call gets an answer that is older than
        the call. How long a round takes: see :mod:`actors.redis.discovery.cluster_observer`.

        Args:
            prefer: the ids of the nodes to ask, in turn; empty: all nodes.
            urgent: a channel has no live source, so that more questions a second are allowed.

        Raises:
            RuntimeError: the pool was not entered.
            RedisError: no node answered, each with the reason; the topology stays as it was.
        """
        return await self._entered().refresh(prefer, urgent=urgent)

    @property
    def consumers(self) -> int:
        """How many clients were subscribed on the latest node that was asked; 0: unknown."""
        return self._session.observer.consumers if self._session is not None else 0

    def refresh_soon(self) -> None:
        """Have the topology refreshed in the background, if the pool is still entered."""
        if self._session is not None:
            self._session.refresh_soon()

    def note_moved(
        self, slot: int, address: Address, *, asked: Address | None = None
    ) -> Address | None:
        """Act upon a MOVED: correct the topology at once.

        Args:
            slot: the slot that the MOVED names.
            address: the owner's, as the MOVED says; an empty host means the node that was asked.
            asked: where that node is reached.

        Returns:
            Where the owner is reached; None if the address does not tell. Then call
            :meth:`refresh`.
        """
        return self._entered().note_moved(slot, address, asked)

    def note_owner(self, slot: int, node_id: str) -> None:
        """Correct the current topology at once: the node ``node_id`` of it serves ``slot``."""
        self._entered().note_owner(slot, node_id)

    def resolve(self, address: Address, *, asked: Address | None = None) -> Address | None:
        """Return where the node that an ASK names is reached, as :meth:`note_moved` does."""
        return self._entered().known.resolve(address, asked)

    def address_of(self, node_id: str) -> Address:
        """Return where a node is reached.

        Raises:
            RuntimeError: the pool was not entered.
            ConnectionError: no such node is known, or its address is not.
        """
        return self._entered().known.address_of(node_id)

    @property
    def contacts(self) -> BusContacts:
        """Which nodes are out of touch with the others; RuntimeError before the first entry."""
        return self._entered().observer.contacts

    def silent(self, node_id: str) -> bool:
        """Whether a node did not answer this pool's latest question.

        The pool knows that before other nodes suspect the node. Raises what :meth:`address_of`
        does.
        """
        return self._entered().observer.silent(self.address_of(node_id))

    # --- Connections ------------------------------------------------------------------------------

    def shared_at(self, address: Address) -> SharedConnection:
        """Return the connection to the node at ``address`` that commands share.

        Raises:
            RuntimeError: the pool was not entered.
        """
        return self._entered().shared_at(address)

    def shared_by_owner(self, slot: int) -> Owner | None:
        """Return the healthy primary of ``slot``, if there is an open connection to it."""
        return self._entered().shared_by_owner(slot)

    async def acquire(self, node_id: str) -> Connection:
        """Return a connection to a node that nobody else uses until :meth:`release`.

        Raises:
            RuntimeError: the pool was not entered.
            TimeoutError: there was none within ``timeout``.
            ConnectionError: the node is unknown.
            ConnectionError, AuthenticationError...: see :meth:`Connection.open`.
        """
        return await self.acquire_at(self.address_of(node_id))

    async def acquire_at(self, address: Address) -> Connection:
        """Return a connection to the node at ``address``, as :meth:`acquire`."""
        return await self._entered().connections.hold(TCPLocation(*address))

    async def open_dedicated(
        self, node_id: str, progress: ConnectProgress | None = None
    ) -> Connection:
        """Return a new connection, for subscriptions: :meth:`release` will close it.

        The call never waits for others to release theirs. The server answers on the connection,
        whatever the pool's ``noreply`` is. Raises what :meth:`Connection.open` does.

        Args:
            node_id: the node to connect to.
            progress: is kept up to date, for a caller with a time limit of its own.
        """
        location = TCPLocation(*self.address_of(node_id))
        return await self._entered().connections.hold_for_subscriptions(location, progress)

    def release(self, connection: Connection) -> None:
        """Take ``connection`` back; does nothing for one that is not lent."""
        if self._session is not None:
            self._session.connections.release(connection)

    @asynccontextmanager
    async def connection(self, node_id: str) -> AsyncIterator[Connection]:
        """Lend a connection to a node for the context."""
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
        if asyncio.get_running_loop() is not self._loop:
            require_loop(self._loop, "the cluster's client")
        return self._session

    # --- The context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._entries += 1
        try:
            if self._session is None:
                self._loop = asyncio.get_running_loop()
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
        limits = Limits(
            max_connections=self.max_connections,
            per_node=self.max_connections_per_node,
            timeout=self.timeout,
            max_idle_time=self.max_idle_time,
        )
        connections = partial(Connections, self.connection_class, self.settings, limits)
        return ClusterSession(self._known, observer, connections)

    async def _leave(self) -> None:
        self._entries -= 1
        if self._entries or self._session is None:
            return
        session, self._session = self._session, None
        left = exceptions.ConnectionError("the cluster's connection pool was left")
        await to_its_end(session.close(left))
