"""The client of one server, without Pub/Sub."""

from __future__ import annotations

from os import fspath
from typing import Any, AnyStr, Unpack

from actors.redis.clients.base_client import BaseClient
from actors.redis.clients.client_options import (
    CLIENT_DEFAULTS,
    DEFAULT_RETRY_POLICY,
    ClientOptions,
    pool_options,
    refuse_unsupported,
    spelled_out,
)
from actors.redis.config.locations import Location, TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import DEFAULT_LOCATION
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import Argument, decode, words
from supervisor.retry_policy import RetryPolicy

__all__ = ["RedisClient"]


class RedisClient(BaseClient[AnyStr]):
    """A client of one Redis or Valkey server; use it as an async context manager.

    The client sends a command again only while the server has surely not executed it: the retry
    policy covers getting a connection. An error after the command was sent is raised, because a
    message that is published twice is worse than one whose publisher knows that it may be lost.
    Commands that change nothing (ping, echo, pubsub_*) are retried as a whole.

    Args:
        host: where the server listens, with ``port``.
        port: see ``host``.
        db: the number of the database.
        decode_responses: return str instead of bytes; a reply that is no text stays bytes.
        options: see ClientOptions and, for those that each connection gets, ConnectionSettings.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
    """

    connection_pool: ConnectionPool

    @spelled_out(ClientOptions, CLIENT_DEFAULTS)
    def __init__(
        self,
        host: str | None = DEFAULT_LOCATION.host,
        port: int | None = DEFAULT_LOCATION.port,
        db: int = 0,
        *,
        decode_responses: bool = False,
        **options: Unpack[ClientOptions],
    ) -> None:
        if unknown := options.keys() - CLIENT_DEFAULTS.keys():
            raise TypeError(f"a client has no option {', '.join(map(repr, sorted(unknown)))}")
        refuse_unsupported(options)
        every: dict[str, Any] = {**CLIENT_DEFAULTS, **options}
        pool = every["connection_pool"]
        if pool is None:
            location: Location
            if every["unix_socket_path"] is not None:
                location = UnixDomainSocketLocation(fspath(every["unix_socket_path"]))
            else:
                location = TCPLocation(
                    host or DEFAULT_LOCATION.host, DEFAULT_LOCATION.port if port is None else port
                )
            pool = every["connection_pool_cls"](
                location=location, db=db, decode_responses=decode_responses, **pool_options(every)
            )
        super().__init__(pool, every)

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
    ) -> RedisClient[Any]:
        """Return a client for ``url``; an option in its query overrules the argument.

        Args:
            url: ``redis://[[user]:password@]host[:port][/db][?option=value&...]``, ``rediss://``
                for TLS, or ``unix://[[user]:password@]/path/of/socket[?option=value&...]``.
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

    async def execute_command(self, *args: Argument) -> Any:
        """Send a command and return its reply.

        Args:
            args: the command's name, which may be of several words, and its arguments.

        Raises:
            RedisError: the server's error reply, as the class of its code.
            ConnectionError: there is no connection, or it was lost before the reply came: the
                server may have executed the command or not.
            TimeoutError: no connection, or no reply, in time.
            DataError: an argument is no str, bytes, int or float.
        """
        connection = await self.retry_policy.call_with_retries(self.connection_pool.acquire)
        return await self._run(connection, args)

    async def _query(self, *args: Argument) -> Any:
        async def attempt() -> Any:
            return await self._run(await self.connection_pool.acquire(), args)

        return await self.retry_policy.call_with_retries(attempt)

    async def _run(self, connection: Connection, args: tuple[Argument, ...]) -> Any:
        try:
            args = words(args)
            if self.noreply:
                connection.post(*args)
                return await connection.drain_writes()
            reply = await connection.execute(*args)
        finally:
            self.connection_pool.release(connection)
        return decode(reply, self.encoding) if self.decode_responses else reply

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.connection_pool.location}>"
