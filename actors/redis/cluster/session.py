"""What a cluster's pool has while it is entered: its connections, and the watch on the topology."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from actors.redis import exceptions
from actors.redis.cluster.discovery import ClusterObserver
from actors.redis.cluster.single_flight import SingleFlight
from actors.redis.cluster.stuck_commands import StuckCommandWatch
from actors.redis.pools.node_pools import NodePools
from actors.redis.topology.model import Address, Node, Topology
from actors.redis.topology.parse import AddressRemap
from actors.redis.topology.update import move_slot
from actors.redis.wire.connection import Connection
from supervisor.log import get_logger

__all__ = ["ClusterSession", "CurrentTopology"]

log = get_logger("mailslot.redis")

# Seconds between two looks in the background.
_PAUSE: Final = 0.05


class CurrentTopology:
    """The latest topology of a pool; it outlives the sessions."""

    def __init__(self) -> None:
        self.value: Topology | None = None

    def set(self, topology: Topology) -> Topology:
        """Keep ``topology`` and return it; an equal one is not replaced but returned."""
        if topology != self.value:
            self.value = topology
        assert self.value is not None
        return self.value


class ClusterSession:
    """From the first entry of a pool to the last exit."""

    def __init__(
        self,
        current: CurrentTopology,
        observer: ClusterObserver,
        pools: NodePools,
        remap: AddressRemap | None,
    ) -> None:
        self.pools = pools
        self._current = current
        self._observer = observer
        self._remap = remap
        self._patrol = StuckCommandWatch(pools, self.refresh_soon)
        self._loaded = False
        self._load = SingleFlight(self._find)
        self._refresh = SingleFlight(self._look)
        self._soon: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._prefer: set[str] = set()
        self._urgent = False
        # What was moved while the nodes were being asked: their answers may be older than that.
        self._moved: list[tuple[int, str]] = []

    async def load(self) -> None:
        """Find the cluster, unless that was done.

        Raises:
            RedisError: no node answered; each with the reason.
        """
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
        """End everything; who waits for a connection gets ``error``."""
        self._patrol.end()
        if self._soon is not None:
            self._soon.cancel()
        await self._load.close()
        await self._refresh.close()
        await self._observer.close()
        await self.pools.close(error)

    async def acquire(self, address: Address) -> Connection:
        """Lease a connection for commands; see :meth:`NodePools.lease`."""
        connection = await self.pools.lease(address)
        self._patrol.begin()
        return connection

    @property
    def consumers(self) -> int:
        """How many clients were subscribed on a node when one was last asked."""
        return self._observer.consumers

    def silent(self, address: Address) -> bool:
        """Whether the node at ``address`` did not answer when it was last asked."""
        return self._observer.silent(address)

    def address_of(self, node_id: str) -> Address:
        """Return where a node is reached.

        Raises:
            ConnectionError: it is unknown, or its address is.
        """
        topology = self._current.value
        node = topology.nodes.get(node_id) if topology is not None else None
        if node is None:
            raise exceptions.ConnectionError(
                f"there is no node {node_id} in the cluster, as far as is known: it left, or the "
                "topology needs a refresh"
            )
        if not node.addressable:
            raise exceptions.ConnectionError(
                f"the address of node {node_id} is not known to the cluster at the moment"
            )
        return node.address

    def note_moved(self, slot: int, address: Address, asked: Address | None) -> Address | None:
        """Act upon a MOVED; see :meth:`ClusterConnectionPool.note_moved`."""
        reached = self.resolve(address, asked)
        topology = self._current.value
        if reached is None or topology is None:
            return reached
        owner = topology.at(reached)
        if owner is not None:
            if self._refresh.busy:
                self._moved.append((slot, owner.id))
            self._current.set(move_slot(topology, slot, owner.id))
        return reached

    def resolve(self, address: Address, asked: Address | None) -> Address | None:
        """Return where to reach the node that a redirection names; None where that is unknown."""
        host, port = address
        topology = self._current.value
        if host in ("", "?"):
            if not host and asked is not None:
                host = asked[0]
            else:
                nodes: list[Node] = list(topology.nodes.values()) if topology is not None else []
                found = [node.address for node in nodes if node.port == port]
                return found[0] if len(found) == 1 else None
        return self._remap((host, port)) if self._remap is not None else (host, port)

    async def _find(self) -> None:
        if not self._loaded:
            self._adopt(await self._observer.load(self._current.value))
            self._loaded = True

    async def _look(self) -> Topology:
        prefer, self._prefer = self._prefer, set()
        urgent, self._urgent = self._urgent, False
        self._moved.clear()
        self._looked_at = asyncio.get_running_loop().time()
        known = self._current.value
        assert known is not None, "the first entry loads the topology"
        try:
            topology = await self._observer.look(known, prefer, urgent=urgent)
        except exceptions.RedisError as error:
            # Who asked in the background will not see it.
            log.debug("topology_refresh_failed", error=str(error))
            raise
        for slot, owner in self._moved:
            if owner in topology.nodes:
                topology = move_slot(topology, slot, owner)
        return self._adopt(topology)

    def _adopt(self, topology: Topology) -> Topology:
        self.pools.keep({node.address for node in topology.nodes.values()})
        self._patrol.topology_changed(topology)
        return self._current.set(topology)
