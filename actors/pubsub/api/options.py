"""The options of all pub/sub objects: each one declared, typed and checked here.

The fields of a struct are the parameters of a constructor: :func:`constructor` gives the struct's
signature to the ``__init__``. The keywords are those of a client's factories.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeAlias, TypedDict, TypeVar

from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.options import problems_of_hooks
from actors.pubsub.model.recover import Recover, problems_of_recover
from actors.pubsub.model.types import GapCallback, LagCallback, SubscriptionCallback
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    ExponentialBackoffRetryPolicy,
    RetryPolicy,
)
from supervisor.checks import no_option, problems_of_seconds

if TYPE_CHECKING:
    from actors.redis.cluster.cluster_pool import ClusterConnectionPool
    from actors.redis.pools.connection_pool import ConnectionPool

#: Restores lost connections, unless a pub/sub object is given another policy.
DEFAULT_RETRY_POLICY: Final = CompositeRetryPolicy(
    ExponentialBackoffRetryPolicy(
        (ConnectionError,), retries=None, base_delay=0.1, max_delay=16, jitter=True
    ),
    ConstantRetryPolicy((TimeoutError,), retries=2, delay=0.1),
)

#: One name, or several.
Names: TypeAlias = str | bytes | Iterable[str | bytes] | None
#: Takes the messages of one name. A Recover: the iterator takes them, with recovery.
AnyHandler: TypeAlias = SubscriptionCallback | Handler | type[Actor[Any]] | ActorSpec | Recover
Handlers: TypeAlias = Mapping[Any, AnyHandler | None] | None

Owner = TypeVar("Owner")
Options = TypeVar("Options")
Parameters = ParamSpec("Parameters")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What every pub/sub object takes by keyword only; subclasses add what they take in order."""

    on_gap: GapCallback | None = None
    on_lagged: LagCallback | None = None
    on_failure: HandlerFailureSink | None = None
    mailbox: MailboxSpec | int | None = None
    overflow: Overflow | str | None = None
    recover: Recover | bool | None = None
    start_timeout: float | None = 5.0
    system: ActorSystem | None = None

    def __post_init__(self: Any) -> None:
        waits = {
            "subscription_timeout": self.subscription_timeout,
            "unsubscription_timeout": self.unsubscription_timeout,
            "start_timeout": self.start_timeout,
        }
        times = [*problems_of_seconds("max_idle_seconds", self.max_idle_seconds)]
        for name, value in waits.items():
            times += problems_of_seconds(name, value, zero=True, optional=True)
        if times:
            raise ValueError("; ".join(times))
        if self.system is not None and not isinstance(self.system, ActorSystem):
            raise TypeError(f"system must be an ActorSystem, or None, not {self.system!r}")
        for problem in problems_of_hooks(
            on_gap=self.on_gap, on_lagged=self.on_lagged, on_failure=self.on_failure
        ):
            raise TypeError(problem)
        for problem in problems_of_recover(self.recover):
            raise TypeError(problem)
        policy = self.retry_policy
        if policy is not None and not isinstance(policy, RetryPolicy):
            raise TypeError(f"retry_policy must be a RetryPolicy, or None, not {policy!r}")


@dataclass(frozen=True)
class _PlainOptions(_Options):
    connection_pool: Any
    ignore_subscribe_messages: bool = False
    retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY
    channels: Names = None
    channel_handlers: Handlers = None
    patterns: Names = None
    pattern_handlers: Handlers = None
    subscription_timeout: float = 1
    unsubscription_timeout: float = 0.1
    max_idle_seconds: float = 15


@dataclass(frozen=True)
class PubSubOptions(_PlainOptions):
    """The options of PubSub, which documents them."""

    connection_pool: ConnectionPool


@dataclass(frozen=True)
class ClusterPubSubOptions(_PlainOptions):
    """The options of ClusterPubSub."""

    connection_pool: ClusterConnectionPool
    read_from_replicas: bool | None = field(default=None, kw_only=True)
    every_primary: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every_primary and self.read_from_replicas:
            raise ValueError("every_primary subscribes on primaries: leave out read_from_replicas")


@dataclass(frozen=True)
class ShardedPubSubOptions(_Options):
    """The options of ShardedPubSub."""

    connection_pool: ClusterConnectionPool
    ignore_subscribe_messages: bool = False
    retry_policy: RetryPolicy | None = None
    read_from_replicas: bool | None = False
    channels: Names = None
    channel_handlers: Handlers = None
    subscription_timeout: float = 1
    unsubscription_timeout: float = 0.1
    max_idle_seconds: float = 15


class ChannelKeywords(TypedDict, total=False):
    """The keywords of every pub/sub object."""

    channels: Names
    channel_handlers: Handlers
    ignore_subscribe_messages: bool
    retry_policy: RetryPolicy | None
    subscription_timeout: float
    unsubscription_timeout: float
    max_idle_seconds: float
    on_gap: GapCallback | None
    on_lagged: LagCallback | None
    on_failure: HandlerFailureSink | None
    mailbox: MailboxSpec | int | None
    overflow: Overflow | str | None
    recover: Recover | bool | None
    start_timeout: float | None
    system: ActorSystem | None


class PatternKeywords(ChannelKeywords, total=False):
    """The keywords of pub/sub objects with patterns."""

    patterns: Names
    pattern_handlers: Handlers


# -- signatures ------------------------------------------------------------------------------------


def constructor(
    options: Callable[Parameters, Options],
) -> Callable[[Callable[[Owner, Options], None]], Callable[Concatenate[Owner, Parameters], None]]:
    """Let an ``__init__`` that takes a struct of options take the struct's fields instead."""

    def decorate(
        init: Callable[[Owner, Options], None],
    ) -> Callable[Concatenate[Owner, Parameters], None]:
        @functools.wraps(init)
        def construct(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            for name in kwargs:
                if name not in fields:
                    raise TypeError(no_option(type(self).__name__, name, fields))
            init(self, options(*args, **kwargs))

        own_self = inspect.signature(init).parameters["self"]
        construct.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [own_self, *sorted(fields.values(), key=place)], return_annotation="None"
        )
        return construct

    fields = inspect.signature(options).parameters

    def place(field: inspect.Parameter) -> tuple[int, bool]:
        """Have the struct's own keywords come before those of its bases."""
        keyword = field.kind is field.KEYWORD_ONLY
        return field.kind, keyword and field.name not in vars(options)["__annotations__"]

    return decorate


def keywords_of(pubsub: type[Any], **defaults: Any) -> Callable[[F], F]:
    """Give a factory the signature of the class that it makes, by keyword only.

    Args:
        pubsub: the class.
        defaults: those of the factory that differ from the class's.
    """

    def sign(factory: F) -> F:
        own = inspect.signature(factory).parameters["self"]
        _, *given = inspect.signature(pubsub).parameters.values()
        keywords = [
            p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(p.name, p.default)) for p in given
        ]
        factory.__signature__ = inspect.Signature([own, *keywords])  # type: ignore[attr-defined]
        return factory

    return sign
