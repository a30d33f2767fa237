"""The manager of a cluster's plain channels and patterns: one node at a time serves them all.

The cluster bus carries every PUBLISH to every node, so any node will do. The reader picks one anew
each time it connects; one that the cluster calls failing, or that left it, is given up at once.
"""

from __future__ import annotations

import random
from typing import Any

from actors.pubsub.cluster.topology_watch import TopologyChecked, TopologyRequests
from actors.pubsub.lifecycle.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.reservations import Reservation
from actors.redis.topology.model import Node, Topology
from actors.redis.wire.connection import Connection
from supervisor import ExitReason

__all__ = ["ClusterManager", "NodePicker"]

#: Seconds by which the cluster bus may be late at a node: seen were 32 ms, under load.
_BUS_LAG = 0.05


class NodePicker:
    """Opens a connection to a node that can be expected to work.

    Attributes:
        current: the node of the latest connection.
    """

    def __init__(self, pool: ClusterConnectionPool, replicas: bool) -> None:
        self.pool = pool
        self.replicas = replicas
        self.current: str | None = None
        self._failed: set[str] = set()

    async def open(self, _: str, reservation: Reservation) -> Connection:
        """Connect to one of the nodes; not to those that failed, as long as there are others."""
        node = self._pick(self.pool.topology, reservation)
        self.current = node.id
        try:
            connection = await self.pool.open_dedicated(node.id, reservation)
        except BaseException:
            self._failed.add(node.id)
            raise
        self._failed.clear()
        return connection

    def _pick(self, topology: Topology, reservation: Reservation) -> Node:
        nodes = [node for node in topology.nodes.values() if node.addressable]
        wanted = [node for node in nodes if node.is_primary is not self.replicas]
        well = [node for node in wanted if self._good(node)]
        spare = [node for node in nodes if self._good(node)]
        if not (well or spare):
            self._failed.clear()
        # The node of the latest connection may have been lost with it, and nobody knows it yet.
        fresh = [node for node in well if node.id != self.current]
        # Where the limit is for each node, one may stay full for as long as others like.
        roomy = [
            [n for n in some if self.pool.has_room(n.id, reservation)]
            for some in (fresh, well, spare)
        ]
        candidates = next(filter(None, (*roomy, fresh, well, spare, wanted, nodes)), None)
        if not candidates:
            raise ConnectionError("the cluster has no node that can be connected to")
        return random.choice(candidates)

    def _good(self, node: Node) -> bool:
        return not node.failing and node.id not in self._failed and not self.pool.silent(node.id)


class ClusterManager(SubscriptionManager):
    """Keeps all targets on one node of a cluster."""

    def __init__(
        self, options: ManagerOptions, picker: NodePicker, requests: TopologyRequests
    ) -> None:
        super().__init__(options)
        self.picker = picker
        self.requests = requests
        # When the cluster was last asked and called a node well, by node.
        self._well_at: dict[str, float] = {}

    async def on_start(self) -> None:
        """Make a reconciler; take reports."""
        await super().on_start()
        self.requests.report = self.context.self_ref.tell

    async def on_stop(self, reason: ExitReason) -> None:
        """Take no more reports."""
        self.requests.report = lambda _: None
        await super().on_stop(reason)

    async def reconcile(self) -> None:
        """Look at what no event brings up."""
        await super().reconcile()
        self.reconciler.expire()

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        """Return until when ``node`` delivered all that any node accepted: the bus is late."""
        return heard - _BUS_LAG

    async def receive(self, message: Any) -> None:
        """Take a report, or do what every manager does."""
        if not isinstance(message, TopologyChecked):
            await super().receive(message)
            return
        nodes = message.topology.nodes
        former, self._well_at = self._well_at, {}
        for known in nodes.values():
            well_at = former.get(known.id) if known.failing else message.asked_at
            if well_at is not None:
                self._well_at[known.id] = well_at
        subscriber, current = self.reconciler.subscribers.get(self.NODE), self.picker.current or ""
        node = nodes.get(current)
        if subscriber is not None and (node is None or node.failing):
            why = "it left the cluster" if node is None else "the cluster calls it failing"
            error = ConnectionError(f"{subscriber.connection.location}: {why}")
            # It may have answered ever since and heard nothing from the others.
            self.reconciler.on_disconnected(
                subscriber, f"connection lost: {error}", proven_at=former.get(current)
            )
            subscriber.connection.abort(error)
