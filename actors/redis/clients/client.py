"""The client of one server: a pool, a retry policy and the commands."""

from __future__ import annotations

import ssl as tls
from os import PathLike, fspath
from types import TracebackType
from typing import Any, AnyStr, Final, Generic, Literal, Self, Unpack, overload

from actors.redis.clients.client_options import ClientOptions, URLOptions
from actors.redis.clients.commands import Commands
from actors.redis.config.credentials import AbstractCredentialProvider
from actors.redis.config.locations import Location, TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import DEFAULT_CONNECT_TIMEOUT
from actors.redis.config.tls import CertReqs, client_context
from actors.redis.exceptions import ConnectionError  # noqa: A004 - for the default policy
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import Argument, decode
from supervisor.retry_policy import ConstantRetryPolicy, NoRetryPolicy, RetryPolicy

__all__ = ["DEFAULT_RETRY_POLICY", "RedisClient"]

#: What clients retry by, unless told otherwise.
DEFAULT_RETRY_POLICY: Final = ConstantRetryPolicy(
    (ConnectionError, TimeoutError), retries=2, delay=0.01
)


class RedisClient(Commands[AnyStr], Generic[AnyStr]):
    """A client of one Redis or Valkey server; use it as an async context manager.

    A command is retried only as long as it was surely not executed: the retry policy covers getting
    a connection. What fails after the command was sent, raises: a message published twice is worse
    than one whose publisher knows that it may be lost. Commands that change nothing (ping, echo,
    pubsub_*) are retried as a whole.

    Args:
        host: where the server listens, with ``port``.
        port: see ``host``.
        db: number of the database.
        username: with ``password``: who to authenticate as, ``default`` where only that is given.
        credential_provider: asked for credentials by each connection, instead of these two.
        stream_timeout: seconds until a reply must be there; None: as long as it takes.
        connect_timeout: seconds from the connect to the end of the handshake; None: as long as it
            takes.
        pool_timeout: seconds to wait for a connection; None: as long as it takes.
        connection_pool: use this one; all options that concern connections are then its own.
        connection_pool_cls: makes the pool where none is given.
        unix_socket_path: connect to this socket instead of host and port.
        encoding: codec of str in commands and, with ``decode_responses``, in replies.
        decode_responses: return str instead of bytes; what is no text stays bytes.
        ssl: speak TLS; with ``ssl_context``, which alone is enough, or with one made of the other
            ``ssl_*`` options, which need this.
        max_connections: so many connections at most; None: 64.
        max_idle_time: seconds after which an unused connection is closed; None: never.
        client_name: shown in CLIENT LIST.
        noreply: tell the server not to answer; commands then return None, or 0 for a count.
        noevict: exempt the connections from client eviction.
        notouch: commands leave the keys' LRU and LFU as they are.
        retry_policy: for what is retried at all, see above; None: nothing is.
        verify_version: accepted for compatibility; versions are never verified.
        cache: not supported, must be None.
        type_adapter: not supported, must be None.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
    """

    @overload
    def __init__(
        self: RedisClient[bytes],
        host: str | None = ...,
        port: int | None = ...,
        db: int = ...,
        *,
        decode_responses: Literal[False] = ...,
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: RedisClient[str],
        host: str | None = ...,
        port: int | None = ...,
        db: int = ...,
        *,
        decode_responses: Literal[True],
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: RedisClient[Any],
        host: str | None = ...,
        port: int | None = ...,
        db: int = ...,
        *,
        decode_responses: bool = ...,
        **options: Unpack[ClientOptions],
    ) -> None: ...

    def __init__(
        self,
        host: str | None = "localhost",
        port: int | None = 6379,
        db: int = 0,
        *,
        username: str | None = None,
        password: str | None = None,
        credential_provider: AbstractCredentialProvider | None = None,
        stream_timeout: float | None = None,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT,
        pool_timeout: float | None = None,
        connection_pool: ConnectionPool | None = None,
        connection_pool_cls: type[ConnectionPool] = ConnectionPool,
        unix_socket_path: str | PathLike[str] | None = None,
        encoding: str = "utf-8",
        decode_responses: bool = False,
        ssl: bool = False,
        ssl_context: tls.SSLContext | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        ssl_cert_reqs: CertReqs | None = None,
        ssl_check_hostname: bool | None = None,
        ssl_ca_certs: str | None = None,
        max_connections: int | None = None,
        max_idle_time: float | None = None,
        client_name: str | None = None,
        verify_version: bool = True,
        cache: None = None,
        noreply: bool = False,
        noevict: bool = False,
        notouch: bool = False,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        type_adapter: None = None,
    ) -> None:
        _refuse(cache=cache, type_adapter=type_adapter)
        if connection_pool is None:
            location: Location
            if unix_socket_path is not None:
                location = UnixDomainSocketLocation(fspath(unix_socket_path))
            else:
                location = TCPLocation(host or "localhost", 6379 if port is None else port)
            ssl_context = client_context(
                ssl,
                ssl_context,
                keyfile=ssl_keyfile,
                certfile=ssl_certfile,
                cert_reqs=ssl_cert_reqs,
                ca_certs=ssl_ca_certs,
                check_hostname=ssl_check_hostname,
            )
            connection_pool = connection_pool_cls(
                location=location,
                max_connections=max_connections,
                timeout=pool_timeout,
                max_idle_time=max_idle_time,
                username=username,
                password=password,
                credential_provider=credential_provider,
                db=db,
                ssl_context=ssl_context,
                connect_timeout=connect_timeout,
                stream_timeout=stream_timeout,
                client_name=client_name,
                encoding=encoding,
                decode_responses=decode_responses,
                noreply=noreply,
                noevict=noevict,
                notouch=notouch,
            )
        self.connection_pool = connection_pool
        self.retry_policy = NoRetryPolicy() if retry_policy is None else retry_policy
        self.verify_version = verify_version
        self.noreply = noreply or connection_pool.settings.noreply

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        db: int | None = ...,
        *,
        decode_responses: Literal[False] = ...,
        **options: Unpack[URLOptions],
    ) -> RedisClient[bytes]: ...

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        db: int | None = ...,
        *,
        decode_responses: Literal[True],
        **options: Unpack[URLOptions],
    ) -> RedisClient[str]: ...

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        db: int | None = ...,
        *,
        decode_responses: bool = ...,
        **options: Unpack[URLOptions],
    ) -> RedisClient[Any]: ...

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
        """Return a client for ``url``; what its query says goes before the arguments.

        Args:
            url: ``redis://[[user]:password@]host[:port][/db][?option=value&...]``, ``rediss://``
                for TLS, or ``unix://[[user]:password@]/path/of/socket[?option=value&...]``.
            db: the database, unless the URL names one.
            decode_components: undo the %-encoding of user, password, host and path.
            options: those of the client and of ConnectionPool; not ``host`` and ``port``, which are
                the URL's to say.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        _refuse(cache=cache, type_adapter=type_adapter)
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
            decode_responses=decode_responses,
            verify_version=verify_version,
            noreply=noreply,
            retry_policy=retry_policy,
        )

    @property
    def encoding(self) -> str:
        """Codec of str in commands and replies."""
        return self.connection_pool.encoding

    @property
    def decode_responses(self) -> bool:
        """Whether replies are str instead of bytes."""
        return self.connection_pool.decode_responses

    # --- Commands ---------------------------------------------------------------------------------

    async def execute_command(self, *args: Argument) -> Any:
        """Send a command and return its reply.

        Args:
            args: the command's name, which may be of several words, and its arguments.

        Raises:
            RedisError: what the server answered, as its class.
            ConnectionError: no connection, or it was lost before the reply came: whether the
                command was executed is then not known.
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
            args = _words(args)
            if self.noreply:
                connection.post(*args)
                return await connection.drain_writes()
            reply = await connection.execute(*args)
        finally:
            self.connection_pool.release(connection)
        return decode(reply, self.encoding) if self.decode_responses else reply

    # --- The context ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.connection_pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.connection_pool.__aexit__(exc_type, exc, traceback)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.connection_pool.location}>"


def _words(args: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Split a name of several words, ``"PUBSUB NUMSUB"`` for instance, as the server wants it."""
    match args:
        case (str() as name, *rest) if " " in name:
            return (*name.split(), *rest)
        case (bytes() as name, *rest) if b" " in name:
            return (*name.split(), *rest)
    return args


def _refuse(**unsupported: object) -> None:
    for name, value in unsupported.items():
        if value is not None:
            raise NotImplementedError(
                f"{name} is not supported: this library is about Pub/Sub; leave it out"
            )
