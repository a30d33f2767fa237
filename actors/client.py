"""Redis: the client of one server, with Pub/Sub."""

from __future__ import annotations

from typing import Any, AnyStr, Literal, Unpack, overload

from actors.pubsub.api.options import PatternKeywords, keywords_of
from actors.pubsub.api.pubsub import PubSub
from actors.redis.clients.client import RedisClient
from actors.redis.clients.client_options import (
    CLIENT_DEFAULTS,
    DEFAULT_RETRY_POLICY,
    ClientOptions,
    URLOptions,
    complete,
    make_pool,
    spelled_out,
)
from actors.redis.pools.connection_pool import ConnectionPool
from supervisor import RetryPolicy


class Redis(RedisClient[AnyStr]):
    """A client of one Redis or Valkey server; an async context manager.

    See :class:`actors.redis.clients.client.RedisClient` for what the client retries.

    Args:
        host: where the server listens, with ``port``.
        port: see ``host``.
        db: the number of the database.
        decode_responses: return str instead of bytes; a reply that is no text stays bytes.
        options: see ClientOptions and, for those that each connection gets, ConnectionSettings.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
        TypeError: there is no such option.
    """

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

    @spelled_out(ClientOptions, CLIENT_DEFAULTS)
    def __init__(
        self,
        host: str | None = "localhost",
        port: int | None = 6379,
        db: int = 0,
        *,
        decode_responses: bool = False,
        **options: Unpack[ClientOptions],
    ) -> None:
        every = complete(options)
        pool = every["connection_pool"]
        if pool is None:
            pool = make_pool(host, port, db, decode_responses, every)
        super().__init__(pool, every)

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
    def from_url(
        cls,
        url: str,
        db: int | None = None,
        *,
        decode_responses: bool = False,
        decode_components: bool = False,
        noreply: bool = False,
        verify_version: bool = True,
        cache: None = None,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        type_adapter: None = None,
        **options: Any,
    ) -> Redis[Any]:
        """Return a client for ``url``; an option in its query overrules the argument.

        Args:
            url: ``redis://[[user]:password@]host[:port][/db][?option=value&...]``, ``rediss://``
                for TLS, the same with ``valkey://`` and ``valkeys://``, or
                ``unix://[[user]:password@]/path/of/socket[?option=value&...]``.
            db: the database, unless the URL names one.
            decode_components: undo the %-encoding of user, password, host and path.
            options: those of the client and of ConnectionPool, except ``host`` and ``port``: the
                URL says where the server is.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        pool = ConnectionPool.from_url(
            url,
            db=db,
            decode_components=decode_components,
            decode_responses=decode_responses,
            noreply=noreply,
            **options,
        )
        return cls(
            connection_pool=pool,
            verify_version=verify_version,
            cache=cache,
            noreply=noreply,
            retry_policy=retry_policy,
            type_adapter=type_adapter,
        )

    @keywords_of(PubSub)
    def pubsub(self, **options: Unpack[PatternKeywords]) -> PubSub[AnyStr]:
        """Return a Pub/Sub object on this client's pool; ``options`` are those of PubSub."""
        return PubSub(self.connection_pool, **options)
