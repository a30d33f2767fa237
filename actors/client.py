"""Redis: the client of one server, with Pub/Sub."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, AnyStr, Literal, TypedDict, TypeVar, Unpack, overload

from actors.pubsub.api.base import Handlers, Names
from actors.pubsub.api.pubsub import PubSub
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.model.types import GapCallback, LagCallback
from actors.redis.clients.client import RedisClient
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import RetryPolicy

if TYPE_CHECKING:
    from actors.redis.clients.client_options import ClientOptions, URLOptions

__all__ = ["ChannelOptions", "PubSubOptions", "Redis", "keywords_of"]

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


def keywords_of(pubsub: type[Any], **defaults: Any) -> Callable[[F], F]:
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

    See :class:`actors.redis.clients.client.RedisClient` for retries and parameters.
    """

    if TYPE_CHECKING:
        # What RedisClient does, by the type of the strings in replies.
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
        @overload  # type: ignore[override]  # these name what the base takes as **options
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

    @keywords_of(PubSub)
    def pubsub(self, **options: Unpack[PubSubOptions]) -> PubSub[AnyStr]:
        """Return a Pub/Sub object on this client's pool; ``options`` are those of PubSub."""
        return PubSub(self.connection_pool, **options)
