"""Which nodes of a cluster have a reader: those that something is placed on, and stand-bys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from operator import attrgetter
from typing import Any

from actors.pubsub.cluster.placement_rules import standbys
from actors.pubsub.cluster.seconds import first_of, is_second
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId, TargetState
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.model import Topology
from actors.runtime.ref import ActorRef

__all__ = ["ShardReaders"]

_places_of_row, _nodes_of_row = attrgetter("places"), attrgetter("nodes")

#: Seconds after which a reader that nothing is placed on is let go.
_UNUSED = 5.0
#: Second connections are made where each node may have so many, and so many at a time.
_ROOMY, _MOST_SECONDS = 4, 2


class ShardReaders:
    """Has readers made, and lets go of them.

    Args:
        pool: says how many connections there may be.
        readers: those that there are.
        keep: makes one for a node, by a name.
        rows: returns the table's.
    """

    def __init__(
        self,
        pool: ClusterConnectionPool,
        readers: dict[NodeId, ActorRef[Any]],
        keep: Callable[[NodeId, str], None],
        rows: Callable[[], Mapping[Target, TargetState]],
    ) -> None:
        self._pool = pool
        self._readers = readers
        self._keep = keep
        self._rows = rows
        self._idle_since: dict[NodeId, float] = {}

    def place(self, topology: Topology, down: Collection[NodeId]) -> None:
        """Have a reader for each node in use, and for none that left the cluster."""
        known, readers = topology.nodes, self._readers
        used = self._used()
        for node in [*used, *self._standbys(used, topology, down)]:
            where = known.get(first_of(node))
            if where is not None and node not in readers and self._has_room(node):
                name = f"{where.host}:{where.port} {where.id[:8]}"
                self._keep(node, f"{name} (second)" if is_second(node) else name)
        for node in [node for node in readers if first_of(node) not in known]:
            readers[node].request_stop()

    def let_go_unused(self, topology: Topology, down: Collection[NodeId], now: float) -> None:
        """End the readers that were not needed for a while."""
        readers = self._readers
        if len(readers) == len(self._idle_since) == 0:
            return
        used = self._used()
        used |= self._standbys(used, topology, down)
        for node in list(readers):
            if node in used:
                self._idle_since.pop(node, None)
            elif now - self._idle_since.setdefault(node, now) > _UNUSED:
                self._idle_since.pop(node, None)
                readers[node].request_stop()

    def ended(self, node: NodeId) -> None:
        """The reader of ``node`` ended."""
        self._idle_since.pop(node, None)

    def _has_room(self, node: NodeId) -> bool:
        """Whether ``node`` may have a connection: a second one is never one that others lack."""
        if not is_second(node):
            return True
        pool, seconds = self._pool, sum(map(is_second, self._readers))
        if pool.max_connections_per_node:
            return pool.max_connections >= _ROOMY
        return len(self._readers) + 1 <= pool.max_connections // 2 and seconds < _MOST_SECONDS

    def _used(self) -> set[NodeId]:
        rows = self._rows().values()
        # Tens of thousands of rows, and a handful of nodes: without a line of ours for each row.
        return set().union(*set(map(_places_of_row, rows)), *map(_nodes_of_row, rows))

    def _standbys(
        self, used: set[NodeId], topology: Topology, down: Collection[NodeId]
    ) -> set[NodeId]:
        pool = self._pool
        most = None if pool.max_connections_per_node else pool.max_connections // 2
        firsts = {node for node in used if not is_second(node)}
        return standbys(topology, firsts, down, most)
