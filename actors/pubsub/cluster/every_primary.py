"""The role of a manager whose channels and patterns are subscribed on every primary of a cluster.

For what a node publishes to its own subscribers alone, as keyspace notifications are. Each node has
subscriptions of its own (:class:`NodeTarget`): messages are not merged, and each node has gaps of
its own. A look at the topology shows which nodes are primaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.pubsub.cluster.promotions import NewPrimaries, PromotionReads
from actors.pubsub.cluster.shard_manager import NodeFailed
from actors.pubsub.cluster.shard_roles import RELAYED
from actors.pubsub.cluster.topology_watch import TopologyChecked, TopologyRequests
from actors.pubsub.lifecycle.manager import ReaderKeeper
from actors.pubsub.model.types import NodeTarget, Target
from actors.pubsub.subscriptions.placement import PlacementEvents, Revocation
from actors.pubsub.subscriptions.spreading import spread
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.exceptions import RedisError
from actors.redis.topology.model import Topology


class PrimaryPlacement:
    """Every target belongs on its own node; answers all questions and takes all events.

    Attributes:
        nodes: the primaries, each with its address.
        down: nodes that have no connection, and cannot be connected to at the moment.
    """

    def __init__(self) -> None:
        self.nodes: dict[NodeId, str] = {}
        self.down: set[NodeId] = set()

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return the target's node, as long as it is a primary."""
        if isinstance(target, NodeTarget) and target.node in self.nodes:
            return (target.node,)
        return ()

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return the node of each target."""
        return [self.places(target) for target in targets]

    def hopeless(self, target: Target) -> bool:
        """Return whether the target's node is no primary, or cannot be connected to."""
        places = self.places(target)
        return not places or places[0] in self.down

    def unserved(self, target: Target) -> str | None:
        """Return in words that the target's node is no primary any more; None where it is one."""
        return None if self.places(target) else "its node is no primary any more"

    def address_of(self, node: NodeId) -> str:
        """Return the address of ``node``; its id where that is unknown."""
        return self.nodes.get(node, node)

    def group(self, target: Target) -> int:
        """Return one number: any targets of a node may share a command."""
        return 0

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return False: plain channels have no slots."""
        return False

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return False: plain channels have no slots."""
        return False

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return False: each node's messages are its own."""
        return False

    def trusted(self, node: NodeId) -> bool:
        """Return True: what a node has to say nobody else says."""
        return True

    def complete(self, node: NodeId, heard: float) -> float:
        """Return when the node was heard last: its messages come over no cluster bus."""
        return heard

    def linger(self, handover: Handover) -> float | None:
        """Return 0: nothing is handed over."""
        return 0.0

    def lost(self, node: NodeId) -> bool:
        """Take that the connection to ``node`` ended; places stay."""
        self.down.add(node)
        return False

    def found(self, node: NodeId) -> bool:
        """Take that ``node`` is connected; places stay."""
        self.down.discard(node)
        return False

    def revoked(self, node: NodeId, target: Target) -> Revocation:
        """Take that ``node`` ended a subscription: the table asks again."""
        return Revocation()

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Return False: no error says where else to ask."""
        return False


class EveryPrimaryRole:
    """Keeps all targets on all primaries.

    Args:
        pool: the cluster's.
        requests: reports looks at the topology.
    """

    def __init__(self, pool: ClusterConnectionPool, requests: TopologyRequests) -> None:
        self.placement = PrimaryPlacement()
        self.events: PlacementEvents = self.placement
        self._pool = pool
        self._requests = requests
        self._new_primaries = NewPrimaries(pool.topology)
        self._keeper: ReaderKeeper
        # When the cluster was asked for the look before the latest one, and for the latest one.
        self._asked_before = self._asked_at = 0.0
        # The table's version when every name was last seen on every primary.
        self._spread_version = -1

    def start(self, keeper: ReaderKeeper) -> None:
        """Take reports."""
        self._keeper = keeper
        self._promotion_reads = PromotionReads(keeper.tree.registry, keeper.loop)
        self._asked_before = self._asked_at = keeper.loop.time()
        self._requests.report = keeper.tell
        self._requests.used = lambda: list(keeper.reconciler.subscribers)
        nodes = self.placement.nodes = _primaries(self._pool.topology)
        keeper.tree.registry.nodes = nodes

    def stop(self) -> None:
        """Take no more reports."""
        self._requests.report = lambda _: None
        self._promotion_reads.cancel()

    def place_readers(self) -> None:
        """Have a reader for each primary, and for no other node."""
        keeper, nodes = self._keeper, self.placement.nodes
        for node, address in nodes.items():
            keeper.keep_reader(node, f"{address} {node[:8]}")
        for node in [node for node in keeper.readers if node not in nodes]:
            keeper.readers[node].request_stop()

    def server_of(self, node: NodeId) -> NodeId:
        """Return ``node``: each reader has a node of its own."""
        return node

    def could_serve(self) -> list[NodeId]:
        """Return the primaries."""
        return list(self.placement.nodes)

    def reader_ended(self, node: NodeId) -> None:
        """Take that a reader ended for good: its node may be a primary again by now."""
        self._keeper.tree.refusing.forget(node)
        self.placement.down.discard(node)
        self.place_readers()

    def targets_changed(self) -> None:
        """Any primaries take any targets; a node that joins meanwhile is found in a second."""

    def reconcile(self) -> None:
        """Look often at the topology while a node has not what it should."""
        self._spread()
        requests, urgent = self._requests, bool(self._keeper.reconciler.homeless())
        if urgent and not requests.urgent:
            requests.look()
        requests.urgent = urgent

    def receive(self, message: Any) -> None:
        """Take a report of the topology watch or of a reader."""
        match message:
            case TopologyChecked(topology, asked_at):
                self._asked_before, self._asked_at = self._asked_at, asked_at
                self._follow(topology)
            case NodeFailed():
                self.placement.down.add(message.node)
                self._keeper.reconciler.calls.queue_hopeless("no connection could be had")
                self._requests.look()

    def _follow(self, topology: Topology) -> None:
        """Have everything on the nodes that are primaries now."""
        promoted = self._new_primaries.take(topology, self.placement.down)
        self._promotion_reads.take(promoted, RELAYED)
        former, nodes = self.placement.nodes, _primaries(topology)
        if nodes != former:
            registry = self._keeper.tree.registry
            self.placement.nodes = nodes
            registry.nodes = {**former, **nodes}  # what has left is still to be spoken of
            self._spread_version = -1
            self._spread()
            registry.nodes = nodes
        self.place_readers()

    def _spread(self) -> None:
        reconciler, nodes = self._keeper.reconciler, self.placement.nodes
        if reconciler.table.version != self._spread_version:
            spread(reconciler, nodes.keys(), self._asked_before, self._keeper.loop.time())
            self._spread_version = reconciler.table.version


def _primaries(topology: Topology) -> dict[NodeId, str]:
    """Return the nodes that have keys, or may get some, with their addresses.

    A primary that was replaced, and has not come back yet, is none of them.
    """
    serving = {shard.primary.id for shard in topology.shards if shard.primary and shard.slots}
    return {
        node.id: f"{node.host}:{node.port}"
        for node in topology.nodes.values()
        if node.is_primary and node.addressable and (node.id in serving or not node.failing)
    }
