"""ClusterPubSub and ShardedPubSub: subscriptions in a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, AnyStr, Never

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.options import ClusterPubSubOptions, ShardedPubSubOptions, constructor
from actors.pubsub.api.pubsub import PatternPubSub
from actors.pubsub.cluster.any_node_manager import AnyNodeRole, NodePicker
from actors.pubsub.cluster.every_primary import EveryPrimaryRole
from actors.pubsub.cluster.shard_manager import NodeFailed, ShardRole
from actors.pubsub.cluster.topology_watch import TopologyRequests, TopologyWatch
from actors.pubsub.connection.cluster_subscriber import ClusterSubscriber
from actors.pubsub.connection.primary_subscriber import PrimarySubscriber
from actors.pubsub.connection.shard_subscriber import ShardSubscriber
from actors.pubsub.lifecycle.manager import ManagerOptions, ManagerRole, SubscriptionManager
from actors.pubsub.lifecycle.reader import ReaderOptions
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import Kind
from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.runtime.actor import ActorSpec


class ClusterPubSub(PatternPubSub[AnyStr]):
    """Pub/Sub on a cluster with plain channels and patterns; returned by ``RedisCluster.pubsub()``.

    One node, whichever, serves all subscriptions: a cluster carries each message to every node.
    When that node is lost, another one takes its place.

    The parameters are those of :class:`PubSub`, and

    Args:
        connection_pool: a cluster's.
        read_from_replicas: subscribe on a replica; None: as the pool says.
        every_primary: subscribe on every primary, for what each node publishes to its own
            subscribers alone, keyspace notifications for instance. A message that is published to
            the cluster then comes from each of them.
    """

    _kind = "cluster-pubsub"

    @constructor(ClusterPubSubOptions)
    def __init__(self, options: ClusterPubSubOptions) -> None:
        super().__init__(options)
        self.read_from_replicas = options.read_from_replicas
        self.every_primary = options.every_primary

    def _start(self, tree: PubSubTree) -> None:
        requests = TopologyRequests()
        if self.every_primary:
            pool = self.connection_pool
            reader = self._reader_options(
                tree, PrimarySubscriber, pool.open_dedicated, _node_failed(tree)
            )
            _start(self, tree, reader, lambda: EveryPrimaryRole(pool, requests), requests)
            return
        slot = None if self._gate is None else key_slot(self._gate.control)
        picker = NodePicker(self.connection_pool, _replicas(self), slot)
        reader = self._reader_options(
            tree,
            ClusterSubscriber,
            picker.open,
            lambda node, error: tree.note_error(picker.current or node, error),
            lambda _: tree.connected(*tree.refusing.nodes),
            same_server=False,
        )
        _start(self, tree, reader, lambda: AnyNodeRole(picker, requests), requests)


class ShardedPubSub(BasePubSub[AnyStr]):
    """Pub/Sub on a cluster's shard channels; returned by ``RedisCluster.sharded_pubsub()``.

    Each channel is live on the node that serves its slot, and follows the slot. When that node is
    lost, silent or flagged as failing, the channel is live on the shard's replicas at once.

    The parameters are those of :class:`PubSub`, without patterns, and

    Args:
        connection_pool: a cluster's.
        read_from_replicas: subscribe on replicas, where a shard has any.
        start_timeout: seconds to wait while nodes refuse the first subscriptions for the moment;
            no connection is waited for, they are made when channels need them.
    """

    _kind = "sharded-pubsub"
    _channel_kind = Kind.SHARD

    @constructor(ShardedPubSubOptions)
    def __init__(self, options: ShardedPubSubOptions) -> None:
        super().__init__(options)
        self.read_from_replicas = options.read_from_replicas

    async def psubscribe(self, *patterns: Any, **pattern_handlers: Any) -> Never:
        """Shard channels have no patterns."""
        raise NotImplementedError("sharded Pub/Sub has no patterns: subscribe to channels by name")

    async def punsubscribe(self, *patterns: Any) -> Never:
        """Shard channels have no patterns."""
        raise NotImplementedError("sharded Pub/Sub has no patterns")

    @property
    def shard_connections(self) -> dict[str, Connection]:
        """The connections of all subscriptions, by node id; a connection that is silent is none.

        A node that is kept connected in case that a channel moves there is not among them.
        """
        reconciler = self._session.require_open().reconciler
        used = {node for row in reconciler.table.rows.values() for node in row.nodes}
        return {
            node: one.connection
            for node, one in reconciler.subscribers.items()
            if node in used and not one.silent
        }

    def _start(self, tree: PubSubTree) -> None:
        pool, requests, replicas = self.connection_pool, TopologyRequests(), _replicas(self)
        reader = self._reader_options(
            tree, ShardSubscriber, pool.open_dedicated, _node_failed(tree)
        )
        _start(self, tree, reader, lambda: ShardRole(pool, requests, replicas=replicas), requests)


def _node_failed(tree: PubSubTree) -> Callable[[str, Exception], None]:
    def failed(node: str, error: Exception) -> None:
        tree.note_error(node, error)
        tree.manager.tell(NodeFailed(node))

    return failed


def _replicas(pubsub: ClusterPubSub[Any] | ShardedPubSub[Any]) -> bool:
    own = pubsub.read_from_replicas
    default: bool = pubsub.connection_pool.read_from_replicas
    return default if own is None else own


def _start(
    pubsub: BasePubSub[Any],
    tree: PubSubTree,
    reader: ReaderOptions,
    role: Callable[[], ManagerRole],
    requests: TopologyRequests,
) -> None:
    options = ManagerOptions(tree, reader, pubsub.retry_policy, role)
    watch = (pubsub.connection_pool, requests)
    tree.start(
        ActorSpec(SubscriptionManager, (options,), name="manager", restart="permanent"),
        ActorSpec(TopologyWatch, watch, name="topology", restart="permanent"),
    )
