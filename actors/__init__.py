"""Supervised actors that consume Redis and Valkey Pub/Sub, and the actor runtime under them."""

# ruff: noqa: I001 - the check must run before anything imports `supervisor`
from actors import _shadow as _shadow

from actors.client import Redis, RedisCluster
from actors.pubsub.cluster import ClusterPubSub, ShardedPubSub
from actors.pubsub.breaker import Breaker, BreakerOpenError
from actors.pubsub.handler_spec import Handler
from actors.pubsub.single import PubSub
from actors.pubsub.sinks import HandlerFailure, ListSink, LogSink, StreamSink
from actors.pubsub.types import Gap, Kind, PubSubMessage, SubscriptionCallback
from actors.redis import exceptions
from actors.redis.cluster_pool import ClusterConnectionPool
from actors.redis.pool import ConnectionPool
from actors.runtime.actor import Actor
from actors.runtime.context import ActorContext, Deferred
from actors.runtime.dead_letters import DeadLetter
from actors.runtime.errors import (
    ActorCrashed,
    ActorError,
    ActorStopped,
    MailboxFull,
    NameTaken,
)
from actors.runtime.groups import SupervisorRef
from actors.runtime.messages import Failure, Lagged, Terminated
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from actors.runtime.spec import ActorSpec
from actors.runtime.system import ActorSystem
from actors.worker.app import Worker

__all__ = [
    "Actor",
    "ActorContext",
    "ActorCrashed",
    "ActorError",
    "ActorRef",
    "ActorSpec",
    "ActorStopped",
    "ActorSystem",
    "Breaker",
    "BreakerOpenError",
    "ClusterConnectionPool",
    "ClusterPubSub",
    "ConnectionPool",
    "DeadLetter",
    "Deferred",
    "Failure",
    "Gap",
    "Handler",
    "HandlerFailure",
    "Kind",
    "Lagged",
    "ListSink",
    "LogSink",
    "MailboxFull",
    "MailboxSpec",
    "NameTaken",
    "Overflow",
    "PubSub",
    "PubSubMessage",
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
