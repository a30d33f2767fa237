"""Redis and RedisCluster: the clients, with Pub/Sub."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, AnyStr, Literal, TypedDict, TypeVar, Unpack, overload

from actors.pubsub.cluster import ClusterPubSub, ShardedPubSub
from actors.pubsub.facade import DEFAULT_RETRY_POLICY, Handlers, Names
from actors.pubsub.single import PubSub
from actors.pubsub.sinks import HandlerFailureSink
from actors.pubsub.types import GapCallback, LagCallback
from actors.redis.client import RedisClient
from actors.redis.cluster_client import RedisClusterClient
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import RetryPolicy

if TYPE_CHECKING:
    from actors.redis.cluster_keywords import ClusterClientOptions, ClusterURLOptions
    from actors.redis.options import ClientOptions, URLOptions

__all__ = ["ChannelOptions", "PubSubOptions", "Redis", "RedisCluster"]


F = TypeVar("F", bound=Callable[..., Any])


class ChannelOptions(TypedDict, total=False):
    """The keywords of every Pub/Sub object; see :class:`PubSub`."""

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
    start_timeout: float | None
    system: ActorSystem | None


class PubSubOptions(ChannelOptions, total=False):
    """The keywords of those with patterns."""

    patterns: Names
    pattern_handlers: Handlers


def _keywords_of(pubsub: type[Any], **defaults: Any) -> Callable[[F], F]:
    """Give a factory the signature of what it makes: keywords, defaults and all."""

    def sign(factory: F) -> F:
        own = inspect.signature(factory).parameters["self"]
        _, *given = inspect.signature(pubsub).parameters.values()
        keywords = [
            p.replace(kind=p.KEYWORD_ONLY, default=defaults.get(p.name, p.default)) for p in given
        ]
        factory.__signature__ = inspect.Signature([own, *keywords])  # type: ignore[attr-defined]
        return factory

    return sign


class Redis(RedisClient[AnyStr]):
    """A client of one Redis or Valkey server; an async context manager.

    See :class:`actors.redis.client.RedisClient` for the parameters.
    """

    if TYPE_CHECKING:
        # Self-typed overloads are not inherited by a generic subclass: said again, for mypy only.
        @overload
        def __init__(
            self: Redis[bytes],
            host: str | None = ...,
            port: int | None = ...,
            db: int = ...,
            *,
            decode_responses: Literal[False] = ...,
            **options: Unpack[ClientOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: Redis[str],
            host: str | None = ...,
            port: int | None = ...,
            db: int = ...,
            *,
            decode_responses: Literal[True],
            **options: Unpack[ClientOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: Redis[Any],
            host: str | None = ...,
            port: int | None = ...,
            db: int = ...,
            *,
            decode_responses: bool = ...,
            **options: Unpack[ClientOptions],
        ) -> None: ...
        def __init__(self, *args: Any, **options: Any) -> None: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            db: int | None = ...,
            *,
            decode_responses: Literal[False] = ...,
            **options: Unpack[URLOptions],
        ) -> Redis[bytes]: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            db: int | None = ...,
            *,
            decode_responses: Literal[True],
            **options: Unpack[URLOptions],
        ) -> Redis[str]: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            db: int | None = ...,
            *,
            decode_responses: bool = ...,
            **options: Unpack[URLOptions],
        ) -> Redis[Any]: ...
        @classmethod
        def from_url(cls, *args: Any, **options: Any) -> Any:
            """See the base class."""

    @_keywords_of(PubSub)
    def pubsub(self, **options: Unpack[PubSubOptions]) -> PubSub[AnyStr]:
        """Return a Pub/Sub object on this client's pool; ``options`` are those of PubSub."""
        return PubSub(self.connection_pool, **options)


class RedisCluster(RedisClusterClient[AnyStr]):
    """A client of a Redis or Valkey cluster; an async context manager.

    See :class:`actors.redis.cluster_client.RedisClusterClient` for the parameters.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: RedisCluster[bytes],
            host: str | None = ...,
            port: int | None = ...,
            *,
            decode_responses: Literal[False] = ...,
            **options: Unpack[ClusterClientOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: RedisCluster[str],
            host: str | None = ...,
            port: int | None = ...,
            *,
            decode_responses: Literal[True],
            **options: Unpack[ClusterClientOptions],
        ) -> None: ...
        @overload
        def __init__(
            self: RedisCluster[Any],
            host: str | None = ...,
            port: int | None = ...,
            *,
            decode_responses: bool = ...,
            **options: Unpack[ClusterClientOptions],
        ) -> None: ...
        def __init__(self, *args: Any, **options: Any) -> None: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            *,
            decode_responses: Literal[False] = ...,
            **options: Unpack[ClusterURLOptions],
        ) -> RedisCluster[bytes]: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            *,
            decode_responses: Literal[True],
            **options: Unpack[ClusterURLOptions],
        ) -> RedisCluster[str]: ...
        @overload
        @classmethod
        def from_url(
            cls,
            url: str,
            *,
            decode_responses: bool = ...,
            **options: Unpack[ClusterURLOptions],
        ) -> RedisCluster[Any]: ...
        @classmethod
        def from_url(cls, *args: Any, **options: Any) -> Any:
            """See the base class."""

    @_keywords_of(ClusterPubSub)
    def pubsub(
        self, *, read_from_replicas: bool | None = None, **options: Unpack[PubSubOptions]
    ) -> ClusterPubSub[AnyStr]:
        """Return a Pub/Sub object for plain channels and patterns; see ClusterPubSub.

        Args:
            read_from_replicas: listen on a replica; None: as the client does.
            options: those of ClusterPubSub.
        """
        return ClusterPubSub(self.connection_pool, read_from_replicas=read_from_replicas, **options)

    @_keywords_of(ShardedPubSub, retry_policy=DEFAULT_RETRY_POLICY, read_from_replicas=None)
    def sharded_pubsub(
        self, *, read_from_replicas: bool | None = None, **options: Unpack[ChannelOptions]
    ) -> ShardedPubSub[AnyStr]:
        """Return a Pub/Sub object for shard channels; see ShardedPubSub.

        Unlike the class, which restores no lost connection unless it is given a policy, this
        restores them by default.

        Args:
            read_from_replicas: listen on replicas; None: as the client does.
            options: those of ShardedPubSub.
        """
        options.setdefault("retry_policy", DEFAULT_RETRY_POLICY)
        return ShardedPubSub(self.connection_pool, read_from_replicas=read_from_replicas, **options)
