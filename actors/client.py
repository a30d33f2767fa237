"""Redis: the client of one server, with Pub/Sub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AnyStr, Literal, Unpack, overload

from actors.pubsub.api.options import PatternKeywords, keywords_of
from actors.pubsub.api.pubsub import PubSub
from actors.redis.clients.client import RedisClient

if TYPE_CHECKING:
    from actors.redis.clients.client_options import ClientOptions, URLOptions

__all__ = ["Redis"]


class Redis(RedisClient[AnyStr]):
    """A client of one Redis or Valkey server; an async context manager.

    See :class:`actors.redis.clients.client.RedisClient` for the parameters.
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

    @keywords_of(PubSub)
    def pubsub(self, **options: Unpack[PatternKeywords]) -> PubSub[AnyStr]:
        """Return a Pub/Sub object on this client's pool; ``options`` are those of PubSub."""
        return PubSub(self.connection_pool, **options)
