"""Supervised actors that consume Redis and Valkey Pub/Sub, and the actor runtime under them.

A name is imported with all that it needs when it is first asked for: ``from actors import Redis``
loads no cluster and no worker, ``from actors import ActorSystem`` no Redis.
"""

# ruff: noqa: I001 - the check must run before anything imports `supervisor`
from typing import TYPE_CHECKING

from actors import _shadow as _shadow
from supervisor.lazy_names import lazy_names

if TYPE_CHECKING:
    from actors.client import Redis
    from actors.cluster import RedisCluster
    from actors.pubsub.api.cluster_pubsub import ClusterPubSub, ShardedPubSub
    from actors.pubsub.handlers.batch import Batch, BatchError
    from actors.pubsub.handlers.breaker import Breaker, BreakerOpenError
    from actors.pubsub.handlers.failure_span import FailureSpan
    from actors.pubsub.handlers.handler import Handler
    from actors.pubsub.api.pubsub import PubSub
    from actors.pubsub.handlers.failure_sinks import HandlerFailure, ListSink, LogSink, StreamSink
    from actors.pubsub.model.recover import Recover
    from actors.pubsub.model.types import Gap, Kind, PubSubMessage, SubscriptionCallback
    from actors.redis import exceptions
    from actors.redis.clients.payloads import Payload
    from actors.redis.clients.pipeline import Pipeline
    from actors.redis.cluster.cluster_pool import ClusterConnectionPool
    from actors.redis.history.history import History
    from actors.redis.pools.connection_pool import ConnectionPool
    from actors.runtime.actor import Actor, ActorContext, ActorSpec
    from actors.runtime.messages.ask import Deferred
    from actors.runtime.death_watch import Terminated
    from actors.runtime.messages.envelopes import Lagged
    from actors.runtime.messages.errors import (
        ActorCrashed,
        ActorError,
        ActorStopped,
        MailboxFull,
        NameTaken,
    )
    from actors.runtime.messages.lost_messages import DeadLetter, Failure
    from actors.runtime.messages.overflow import MailboxSpec, Overflow
    from actors.runtime.ref import ActorRef
    from actors.runtime.spawning import SupervisorRef
    from actors.runtime.system import ActorSystem
    from actors.worker.observe.health_limits import Health
    from actors.worker.run.app import Worker

__all__ = [
    "Actor",
    "ActorContext",
    "ActorCrashed",
    "ActorError",
    "ActorRef",
    "ActorSpec",
    "ActorStopped",
    "ActorSystem",
    "Batch",
    "BatchError",
    "Breaker",
    "BreakerOpenError",
    "ClusterConnectionPool",
    "ClusterPubSub",
    "ConnectionPool",
    "DeadLetter",
    "Deferred",
    "Failure",
    "FailureSpan",
    "Gap",
    "Handler",
    "HandlerFailure",
    "Health",
    "History",
    "Kind",
    "Lagged",
    "ListSink",
    "LogSink",
    "MailboxFull",
    "MailboxSpec",
    "NameTaken",
    "Overflow",
    "Payload",
    "Pipeline",
    "PubSub",
    "PubSubMessage",
    "Recover",
    "Redis",
    "RedisCluster",
    "ShardedPubSub",
    "StreamSink",
    "SubscriptionCallback",
    "SupervisorRef",
    "Terminated",
    "Worker",
    "exceptions",
]

# The module of each name.
_HOMES = {
    "actors.client": ("Redis",),
    "actors.cluster": ("RedisCluster",),
    "actors.pubsub.handlers.batch": ("Batch", "BatchError"),
    "actors.pubsub.handlers.breaker": ("Breaker", "BreakerOpenError"),
    "actors.pubsub.api.cluster_pubsub": ("ClusterPubSub", "ShardedPubSub"),
    "actors.pubsub.handlers.failure_span": ("FailureSpan",),
    "actors.pubsub.handlers.handler": ("Handler",),
    "actors.pubsub.api.pubsub": ("PubSub",),
    "actors.pubsub.handlers.failure_sinks": ("HandlerFailure", "ListSink", "LogSink", "StreamSink"),
    "actors.pubsub.model.recover": ("Recover",),
    "actors.pubsub.model.types": ("Gap", "Kind", "PubSubMessage", "SubscriptionCallback"),
    "actors.redis.clients.payloads": ("Payload",),
    "actors.redis.clients.pipeline": ("Pipeline",),
    "actors.redis.cluster.cluster_pool": ("ClusterConnectionPool",),
    "actors.redis.exceptions": ("exceptions",),
    "actors.redis.history.history": ("History",),
    "actors.redis.pools.connection_pool": ("ConnectionPool",),
    "actors.runtime.actor": ("Actor", "ActorContext", "ActorSpec"),
    "actors.runtime.messages.ask": ("Deferred",),
    "actors.runtime.death_watch": ("Terminated",),
    "actors.runtime.messages.envelopes": ("Lagged",),
    "actors.runtime.messages.errors": (
        "ActorCrashed",
        "ActorError",
        "ActorStopped",
        "MailboxFull",
        "NameTaken",
    ),
    "actors.runtime.messages.lost_messages": ("DeadLetter", "Failure"),
    "actors.runtime.messages.overflow": ("MailboxSpec", "Overflow"),
    "actors.runtime.ref": ("ActorRef",),
    "actors.runtime.spawning": ("SupervisorRef",),
    "actors.runtime.system": ("ActorSystem",),
    "actors.worker.observe.health_limits": ("Health",),
    "actors.worker.run.app": ("Worker",),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
