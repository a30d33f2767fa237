"""The role of a manager of plain channels and patterns in a cluster: one node serves them all.

The cluster bus carries every PUBLISH to every node, so any node will do. The reader picks a node
each time it connects. A node that the cluster calls failing, that left the cluster or was forgotten
by the others, or that is out of touch with them, is given up at once.
"""

from __future__ import annotations

import random
from typing import Any

from actors.pubsub.cluster.promotions import NewPrimaries, PromotionReads
from actors.pubsub.cluster.shard_roles import RELAYED
from actors.pubsub.cluster.topology_watch import TopologyChecked, TopologyRequests
from actors.pubsub.cluster.transitions import BUS_LAG
from actors.pubsub.lifecycle.manager import RECONCILE_SECONDS, ReaderKeeper
from actors.pubsub.subscriptions.single_placement import SERVER, SinglePlacement
from actors.pubsub.table.state import NodeId
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


class AnyNodeRole:
    """Keeps all targets on one node of a cluster.

    Args:
        picker: knows which node that is.
        requests: reports looks at the topology.
    """

    def __init__(self, picker: NodePicker, requests: TopologyRequests) -> None:
        self.placement = self.events = SinglePlacement(BUS_LAG)
        self._picker = picker
        self._requests = requests
        self._new_primaries = NewPrimaries(picker.pool.topology)
        self._keeper: ReaderKeeper

    def start(self, keeper: ReaderKeeper) -> None:
        """Take reports."""
        self._keeper = keeper
        self._promotion_reads = PromotionReads(keeper.tree.registry, keeper.loop)
        self._requests.report = keeper.tell
        self._requests.used = lambda: (
            () if self._picker.current is None else (self._picker.current,)
        )

    def stop(self) -> None:
        """Take no more reports."""
        self._requests.report = lambda _: None
        self._promotion_reads.cancel()

    def place_readers(self) -> None:
        """Have the one reader."""
        self._keeper.keep_reader(SERVER, "connection")

    def server_of(self, node: NodeId) -> NodeId:
        """Return the node of the cluster that the one reader connected to last."""
        return self._picker.current or node

    def could_serve(self) -> list[NodeId]:
        """Return all nodes of the cluster: the reader goes on to the next one."""
        nodes = self._picker.pool.topology.nodes.values()
        return [node.id for node in nodes if node.addressable]

    def reader_ended(self, node: NodeId) -> None:
        """Nothing depends on it."""

    def targets_changed(self) -> None:
        """Any targets are served by the one reader."""

    def reconcile(self) -> None:
        """Let go what merges have held for too long; while a call is overdue, they wait longer."""
        reconciler = self._keeper.reconciler
        reconciler.clock.came()
        reconciler.clock.expect(self._keeper.loop.time() + RECONCILE_SECONDS)
        reconciler.expire()

    def receive(self, message: Any) -> None:
        """Take a report of the topology watch."""
        if isinstance(message, TopologyChecked):
            self._topology_checked(message)

    def _topology_checked(self, checked: TopologyChecked) -> None:
        reconciler, current = self._keeper.reconciler, self._picker.current or ""
        self._promotion_reads.take(self._new_primaries.take(checked.topology), RELAYED)
        subscriber, contacts = reconciler.subscribers.get(SERVER), self._picker.pool.contacts
        why = _why_left(checked.topology.nodes.get(current), current in contacts.cut_off)
        home = self._picker.home()
        if why is None and home is not None and home.id != current:
            why = f"{home.host}:{home.port} serves the fleet's slot"
        if subscriber is not None and why is not None:
            error = ConnectionError(f"{subscriber.connection.location}: {why}")
            # It may have answered ever since and heard nothing from the others.
            gone = current not in checked.topology.nodes
            proven_at = contacts.known_at(current) if gone else contacts.heard_at(current)
            reconciler.on_disconnected(subscriber, f"connection lost: {error}", proven_at=proven_at)
            subscriber.connection.abort(error)


def _why_left(node: Node | None, cut_off: bool) -> str | None:
    """Return why a node serves no subscriptions any more; None where it does."""
    if node is None:
        return "it left the cluster, or the other nodes have forgotten it"
    if node.failing:
        return "the cluster calls it failing"
    return "it is out of touch with the other nodes" if cut_off else None
