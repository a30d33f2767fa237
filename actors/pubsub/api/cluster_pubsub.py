"""ClusterPubSub and ShardedPubSub: subscriptions in a cluster."""

from __future__ import annotations

from typing import Any, AnyStr, Never

from actors.pubsub.api.base import DEFAULT_RETRY_POLICY, BasePubSub, Handlers, Names
from actors.pubsub.api.pubsub import PING_DEADLINE, PatternPubSub
from actors.pubsub.cluster.any_node_manager import AnyNodeRole
from actors.pubsub.cluster.node_picker import NodePicker
from actors.pubsub.cluster.shard_manager import NodeFailed, ShardRole
from actors.pubsub.cluster.topology_watch import TopologyRequests, TopologyWatch
from actors.pubsub.connection.cluster_subscriber import ClusterSubscriber
from actors.pubsub.connection.shard_subscriber import ShardSubscriber
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.lifecycle.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.lifecycle.reader import ReaderOptions
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import GapCallback, Kind, LagCallback
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.wire.connection import Connection
from actors.runtime.actor import ActorSpec
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import RetryPolicy

__all__ = ["ClusterPubSub", "ShardedPubSub"]


class ClusterPubSub(PatternPubSub[AnyStr]):
    """Pub/Sub on a cluster with plain channels and patterns; see :class:`PubSub`.

    One node serves all of it, whichever: the cluster carries each message to every node. When that
    node is lost, another one takes its place.

    Args:
        connection_pool: a cluster's.
        read_from_replicas: listen on a replica; None: as the pool does.
    """

    _kind = "cluster-pubsub"

    def __init__(
        self,
        connection_pool: ClusterConnectionPool,
        ignore_subscribe_messages: bool = False,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        channels: Names = None,
        channel_handlers: Handlers = None,
        patterns: Names = None,
        pattern_handlers: Handlers = None,
        subscription_timeout: float = 1,
        unsubscription_timeout: float = 0.1,
        max_idle_seconds: float = 15,
        *,
        read_from_replicas: bool | None = None,
        on_gap: GapCallback | None = None,
        on_lagged: LagCallback | None = None,
        on_failure: HandlerFailureSink | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        start_timeout: float | None = 5.0,
        system: ActorSystem | None = None,
    ) -> None:
        super().__init__(
            connection_pool,
            ignore_subscribe_messages=ignore_subscribe_messages,
            retry_policy=retry_policy,
            channels=channels,
            channel_handlers=channel_handlers,
            patterns=patterns,
            pattern_handlers=pattern_handlers,
            subscription_timeout=subscription_timeout,
            unsubscription_timeout=unsubscription_timeout,
            max_idle_seconds=max_idle_seconds,
            on_gap=on_gap,
            on_lagged=on_lagged,
            on_failure=on_failure,
            mailbox=mailbox,
            overflow=overflow,
            start_timeout=start_timeout,
            system=system,
        )
        self.read_from_replicas = read_from_replicas

    def _start(self, tree: PubSubTree) -> None:
        pool, requests = self.connection_pool, TopologyRequests()
        replicas = self.read_from_replicas
        picker = NodePicker(pool, pool.read_from_replicas if replicas is None else replicas)
        reader = _reader_options(self, tree, subscriber=ClusterSubscriber, open=picker.open)
        options = ManagerOptions(
            tree, reader, self.retry_policy, lambda: AnyNodeRole(picker, requests)
        )
        tree.start(_manager(options), _watch(pool, requests))


class ShardedPubSub(BasePubSub[AnyStr]):
    """Pub/Sub on a cluster's shard channels; returned by ``RedisCluster.sharded_pubsub()``.

    Each channel is live on the node that owns its slot, and follows the slot; when that node is
    lost, silent or handing over, on the nodes that may follow it, before they do.

    The parameters are those of :class:`PubSub`, without patterns, and

    Args:
        connection_pool: a cluster's.
        read_from_replicas: listen on replicas, where a shard has any.
        start_timeout: not used: connections are made when channels need them.
    """

    _kind = "sharded-pubsub"
    _channel_kind = Kind.SHARD

    def __init__(
        self,
        connection_pool: ClusterConnectionPool,
        ignore_subscribe_messages: bool = False,
        retry_policy: RetryPolicy | None = None,
        read_from_replicas: bool | None = False,
        channels: Names = None,
        channel_handlers: Handlers = None,
        subscription_timeout: float = 1,
        unsubscription_timeout: float = 0.1,
        max_idle_seconds: float = 15,
        *,
        on_gap: GapCallback | None = None,
        on_lagged: LagCallback | None = None,
        on_failure: HandlerFailureSink | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        start_timeout: float | None = 5.0,
        system: ActorSystem | None = None,
    ) -> None:
        super().__init__(
            connection_pool,
            ignore_subscribe_messages=ignore_subscribe_messages,
            retry_policy=retry_policy,
            channels=channels,
            channel_handlers=channel_handlers,
            patterns=None,
            pattern_handlers=None,
            subscription_timeout=subscription_timeout,
            unsubscription_timeout=unsubscription_timeout,
            max_idle_seconds=max_idle_seconds,
            on_gap=on_gap,
            on_lagged=on_lagged,
            on_failure=on_failure,
            mailbox=mailbox,
            overflow=overflow,
            start_timeout=start_timeout,
            system=system,
        )
        self.read_from_replicas = read_from_replicas

    async def psubscribe(self, *patterns: Any, **pattern_handlers: Any) -> Never:
        """Shard channels have no patterns."""
        raise NotImplementedError("sharded Pub/Sub has no patterns: subscribe to channels by name")

    async def punsubscribe(self, *patterns: Any) -> Never:
        """Shard channels have no patterns."""
        raise NotImplementedError("sharded Pub/Sub has no patterns")

    @property
    def shard_connections(self) -> dict[str, Connection]:
        """The connections that it listens on, and those kept ready to take over, by node id."""
        tree = self._session.require_open()
        subscribers = tree.reconciler.subscribers
        return {node: subscriber.connection for node, subscriber in subscribers.items()}

    def _start(self, tree: PubSubTree) -> None:
        pool, requests = self.connection_pool, TopologyRequests()
        replicas = self.read_from_replicas

        reader = _reader_options(self, tree, subscriber=ShardSubscriber, open=pool.open_dedicated)
        options = ManagerOptions(
            tree,
            reader,
            self.retry_policy,
            lambda: ShardRole(
                pool, requests, replicas=pool.read_from_replicas if replicas is None else replicas
            ),
        )
        tree.start(_manager(options), _watch(pool, requests))


def _manager(options: ManagerOptions) -> ActorSpec:
    return ActorSpec(SubscriptionManager, (options,), name="manager", restart="permanent")


def _watch(pool: ClusterConnectionPool, requests: TopologyRequests) -> ActorSpec:
    return ActorSpec(TopologyWatch, (pool, requests), name="topology", restart="permanent")


def _reader_options(
    pubsub: BasePubSub[Any], tree: PubSubTree, *, subscriber: type[Subscriber], open: Any
) -> ReaderOptions:
    pool = pubsub.connection_pool

    def failed(node: str, error: Exception) -> None:
        tree.note_error(node, error)
        if subscriber is ShardSubscriber:
            tree.manager.tell(NodeFailed(node))

    return ReaderOptions(
        open=open,
        release=pool.release,
        reconciler=lambda: tree.reconciler,
        failed=failed,
        ready=tree.ready.set,
        subscriber=subscriber,
        decode=pool.decode_responses,
        max_idle_seconds=pubsub.max_idle_seconds,
        ping_deadline=pool.settings.stream_timeout or PING_DEADLINE,
    )
