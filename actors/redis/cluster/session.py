"""A cluster's pool: what it knows, and while it is entered its connections and the refreshes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from actors.redis import exceptions
from actors.redis.config.locations import Location, TCPLocation
from actors.redis.discovery.cluster_observer import ClusterObserver
from actors.redis.discovery.single_flight import SingleFlight
from actors.redis.pools.connections import Connections
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.topology.model import Address, AddressRemap, Health, Topology, is_address
from actors.redis.topology.update import move_slot
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

# Seconds from the start of one refresh in the background to the next.
_PAUSE: Final = 0.05


class KnownTopology:
    """Outlives the sessions of its pool: a pool that is entered again starts with it."""

    def __init__(self, remap: AddressRemap | None) -> None:
        #: None before the pool was entered for the first time.
        self.value: Topology | None = None
        self._remap = remap

    def set(self, topology: Topology) -> Topology:
        """Make ``topology`` the latest one and return it; an equal one stays the same object."""
        if self.value is None or topology != self.value:
            self.value = topology
        return self.value

    def address_of(self, node_id: str) -> Address:
        """Return where a node is reached.

        Raises:
            ConnectionError: no such node is known, or its address is not.
        """
        node = self.value.nodes.get(node_id) if self.value is not None else None
        if node is None:
            raise exceptions.ConnectionError(
                f"there is no node {node_id} in the cluster, as far as is known: it left, or the "
                "topology needs a refresh"
            )
        if not node.addressable:
            raise exceptions.ConnectionError(
                f"the cluster does not know the address of node {node_id} at the moment"
            )
        return node.address

    def resolve(self, address: Address, asked: Address | None) -> Address | None:
        """Return where to reach the node that a MOVED or ASK names; None where nobody can tell.

        An empty host in ``address`` stands for the node that sent the redirection, which is reached
        at ``asked``; ``?`` stands for a node without a host name. What is no address tells nothing.
        """
        host, port = address
        if not host and asked is not None:
            host = asked[0]
        elif host in ("", "?"):
            nodes = self.value.nodes.values() if self.value is not None else ()
            found = [node.address for node in nodes if node.port == port]
            return found[0] if len(found) == 1 else None
        if not is_address((host, port)):
            return None
        return self._remap((host, port)) if self._remap is not None else (host, port)


class Owner(NamedTuple):
    """A slot's primary: where it is reached, and the connection that commands to it share."""

    address: Address
    shared: SharedConnection


class ClusterSession:
    """Begins when a pool is entered first and ends when the pool is left last."""

    def __init__(
        self,
        known: KnownTopology,
        observer: ClusterObserver,
        connections: Callable[[Callable[[], None]], Connections],
    ) -> None:
        self.known = known
        self.observer = observer
        # A stopped process accepts commands and never answers. Only the other nodes notice, and
        # the topology tells: so it is looked at while a reply is late.
        self.connections = connections(self.refresh_soon)
        # The owners of slots, as long as the topology is the one by which they were found.
        self._owners: dict[int, Owner] = {}
        self._owners_of: Topology | None = None
        self._loaded = False
        self._load = SingleFlight(self._find)
        self._refresh = SingleFlight(self._look)
        self._soon: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._prefer: set[str] = set()
        self._urgent = False
        # The (slot, owner) of each MOVED that came while nodes are being asked: their answers may
        # be older than the redirection.
        self._moved: list[tuple[int, str]] = []

    async def load(self) -> None:
        """Find the cluster, unless this session has found it before. Raises what a look raises."""
        while not self._loaded:
            await self._load()

    async def refresh(self, prefer: Iterable[str], *, urgent: bool = False) -> Topology:
        """Ask the nodes; see :meth:`ClusterConnectionPool.refresh`."""
        self._prefer.update(prefer)
        self._urgent |= urgent
        return await self._refresh()

    def refresh_soon(self) -> None:
        """Ask the nodes in the background: at once, or when the pause after the last look is over.

        Without the pause, many commands that fail would have the nodes asked all the time.
        """
        if self._soon is None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_at(self._looked_at + _PAUSE, self._start_look)

    def _start_look(self) -> None:
        self._soon = None
        self._refresh.start()

    async def close(self, error: exceptions.ConnectionError) -> None:
        """Close all connections; whoever waits for one gets ``error``."""
        if self._soon is not None:
            self._soon.cancel()
        await self._load.close()
        await self._refresh.close()
        await self.observer.close()
        await self.connections.close(error)

    def shared_at(self, address: Address) -> SharedConnection:
        """Return the connection to ``address`` that commands share; it may not be open yet."""
        return self.connections.shared(TCPLocation(*address))

    def shared_by_owner(self, slot: int) -> Owner | None:
        """Return the healthy primary of ``slot``, if there is an open connection to it."""
        topology = self.known.value
        if topology is not self._owners_of:
            self._owners, self._owners_of = {}, topology
        owner = self._owners.get(slot)
        if owner is None:
            node = topology.primary_for(slot) if topology is not None else None
            if node is None or node.failing or not node.addressable:
                return None
            owner = self._owners[slot] = Owner(node.address, self.shared_at(node.address))
        if not owner.shared.connected or self.observer.silent(owner.address):
            return None
        return owner

    def note_moved(self, slot: int, address: Address, asked: Address | None) -> Address | None:
        """Act upon a MOVED; see :meth:`ClusterConnectionPool.note_moved`."""
        reached = self.known.resolve(address, asked)
        topology = self.known.value
        if reached is None or topology is None:
            return reached
        owner = topology.at(reached)
        if owner is not None:
            self.note_owner(slot, owner.id)
        return reached

    def note_owner(self, slot: int, node_id: str) -> None:
        """Correct the topology: the node ``node_id``, one of its nodes, serves ``slot``."""
        assert self.known.value is not None
        if self._refresh.busy:
            self._moved.append((slot, node_id))
        self.known.set(move_slot(self.known.value, slot, node_id))

    async def _find(self) -> None:
        if not self._loaded:
            self._adopt(await self.observer.load(self.known.value))
            self._loaded = True

    async def _look(self) -> Topology:
        prefer, self._prefer = self._prefer, set()
        urgent, self._urgent = self._urgent, False
        self._moved.clear()
        self._looked_at = asyncio.get_running_loop().time()
        assert self.known.value is not None, "the first entry loads the topology"
        try:
            topology = await self.observer.look(self.known.value, prefer, urgent=urgent)
        except exceptions.RedisError as error:
            # Nobody sees the error of a refresh in the background.
            log.debug("topology_refresh_failed", error=str(error))
            raise
        for slot, owner in self._moved:
            if owner in topology.nodes:
                topology = move_slot(topology, slot, owner)
        return self._adopt(topology)

    def _adopt(self, topology: Topology) -> Topology:
        healthy: set[Location] = set()
        failed: set[Location] = set()
        for node in topology.nodes.values():
            (failed if node.health is Health.FAILED else healthy).add(TCPLocation(*node.address))
        self.connections.keep(healthy | failed)
        for location in failed - healthy:
            self.connections.fail(
                location,
                exceptions.ConnectionError("the other nodes of the cluster call it failed"),
            )
        return self.known.set(topology)
