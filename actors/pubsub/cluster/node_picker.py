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

    Args:
        pool: the cluster's.
        replicas: whether replicas are preferred.
        slot: the slot whose primary is preferred to every other node, so that several processes
            agree on a node; None: there is none.
    """

    def __init__(
        self, pool: ClusterConnectionPool, replicas: bool, slot: int | None = None
    ) -> None:
        self.pool = pool
        self.replicas = replicas
        self._slot = slot
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

    def home(self) -> Node | None:
        """Return the node that is preferred to every other one; None: none is, or it is not well.

        It counts as well as long as no connection to it has failed lately.
        """
        if self._slot is None:
            return None
        node = self.pool.topology.primary_for(self._slot)
        return node if node is not None and node.addressable and self._good(node) else None

    def _pick(self, topology: Topology) -> Node:
        if (home := self.home()) is not None:
            return home
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
