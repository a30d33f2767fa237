"""Which node of a cluster serves the plain channels and patterns of a pub/sub object."""

from __future__ import annotations

import random

from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.topology.model import Node, Topology
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection


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

    async def open(self, _: str, progress: ConnectProgress) -> Connection:
        """Connect to one of the nodes; not to those that failed, as long as there are others."""
        node = self._pick(self.pool.topology)
        self.current = node.id
        try:
            connection = await self.pool.open_dedicated(node.id, progress)
        except BaseException:
            self._failed.add(node.id)
            raise
        self._failed.clear()
        return connection

    def _pick(self, topology: Topology) -> Node:
        nodes = [node for node in topology.nodes.values() if node.addressable]
        wanted = [node for node in nodes if node.is_primary is not self.replicas]
        well = [node for node in wanted if self._good(node)]
        spare = [node for node in nodes if self._good(node)]
        if not (well or spare):
            self._failed.clear()
        # The node of the latest connection may have been lost with it, and nobody knows it yet.
        fresh = [node for node in well if node.id != self.current]
        candidates = next(filter(None, (fresh, well, spare, wanted, nodes)), None)
        if not candidates:
            raise ConnectionError("the cluster has no node that can be connected to")
        return random.choice(candidates)

    def _good(self, node: Node) -> bool:
        if node.failing or node.id in self.pool.contacts.cut_off:
            return False
        return node.id not in self._failed and not self.pool.silent(node.id)
