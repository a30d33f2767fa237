"""Supervised actors that consume Redis and Valkey Pub/Sub, and the actor runtime under them.

A name is imported with all that it needs when it is first asked for: ``from actors import Redis``
loads no cluster and no worker, ``from actors import ActorSystem`` no Redis.
"""

# ruff: noqa: I001 - the check must run before anything imports `supervisor`
from importlib import import_module
from typing import TYPE_CHECKING, Any

from actors import _shadow as _shadow

if TYPE_CHECKING:
    from actors.client import Redis
    from actors.cluster import RedisCluster
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

# Where each name is.
_HOMES = {
    "actors.client": ("Redis",),
    "actors.cluster": ("RedisCluster",),
    "actors.pubsub.breaker": ("Breaker", "BreakerOpenError"),
    "actors.pubsub.cluster": ("ClusterPubSub", "ShardedPubSub"),
    "actors.pubsub.handler_spec": ("Handler",),
    "actors.pubsub.single": ("PubSub",),
    "actors.pubsub.sinks": ("HandlerFailure", "ListSink", "LogSink", "StreamSink"),
    "actors.pubsub.types": ("Gap", "Kind", "PubSubMessage", "SubscriptionCallback"),
    "actors.redis.cluster_pool": ("ClusterConnectionPool",),
    "actors.redis.exceptions": ("exceptions",),
    "actors.redis.pool": ("ConnectionPool",),
    "actors.runtime.actor": ("Actor",),
    "actors.runtime.context": ("ActorContext", "Deferred"),
    "actors.runtime.dead_letters": ("DeadLetter",),
    "actors.runtime.errors": (
        "ActorCrashed",
        "ActorError",
        "ActorStopped",
        "MailboxFull",
        "NameTaken",
    ),
    "actors.runtime.groups": ("SupervisorRef",),
    "actors.runtime.messages": ("Failure", "Lagged", "Terminated"),
    "actors.runtime.overflow": ("MailboxSpec", "Overflow"),
    "actors.runtime.ref": ("ActorRef",),
    "actors.runtime.spec": ("ActorSpec",),
    "actors.runtime.system": ("ActorSystem",),
    "actors.worker.app": ("Worker",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(home)
    value = module if home.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value  # found here from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
