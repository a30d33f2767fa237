"""The client of a cluster: a pool, a retry policy and the commands."""

from __future__ import annotations

import ssl as tls
from collections.abc import Iterable
from types import TracebackType
from typing import Any, AnyStr, Final, Generic, Literal, Self, Unpack, overload

from actors.redis.clients.cluster_client_options import (
    ClusterClientOptions,
    ClusterURLOptions,
    refuse,
)
from actors.redis.clients.cluster_commands import ClusterCommands
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.cluster_url import StartupNode
from actors.redis.config.credentials import AbstractCredentialProvider
from actors.redis.config.settings import DEFAULT_CONNECT_TIMEOUT
from actors.redis.config.tls import CertReqs, client_context
from actors.redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - the library's
    PrimaryDownError,
    TryAgainError,
)
from actors.redis.topology.parse import AddressRemap
from supervisor.retry_policy import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    ExponentialBackoffRetryPolicy,
    NoRetryPolicy,
    RetryPolicy,
)

__all__ = ["DEFAULT_CLUSTER_RETRY_POLICY", "RedisClusterClient"]

#: What clusters' clients retry by, unless told otherwise: half a second for a cluster that is
#: changing, no longer, and two more tries for a connection.
DEFAULT_CLUSTER_RETRY_POLICY: Final = CompositeRetryPolicy(
    ExponentialBackoffRetryPolicy(
        (ClusterDownError, TryAgainError, BusyLoadingError, PrimaryDownError),
        retries=5,
        base_delay=0.02,
        max_delay=0.25,
    ),
    ConstantRetryPolicy((ConnectionError, TimeoutError), retries=2, delay=0.01),
)


class RedisClusterClient(ClusterCommands[AnyStr], Generic[AnyStr]):
    """A client of a Redis or Valkey cluster; use it as an async context manager.

    A command goes to the node that owns its key, and follows that node's MOVED or ASK. It is
    retried only as long as it was surely not executed: the retry policy covers getting a connection
    and replies of a cluster that is changing (CLUSTERDOWN, TRYAGAIN, LOADING, MASTERDOWN). When the
    connection is lost after the command was sent, that raises: a message published twice is worse
    than one whose publisher knows that it may be lost. Commands that change nothing (ping, echo,
    pubsub_*) are retried as a whole, on another node where there is a choice.

    Args:
        host: where one node of the cluster listens, with ``port``.
        port: see ``host``.
        startup_nodes: more nodes to find the cluster by; one that answers is enough.
        username: with ``password``: who to authenticate as, ``default`` where only that is given.
        credential_provider: asked for credentials by each connection, instead of these two.
        stream_timeout: seconds until a reply must be there; None: as long as it takes.
        connect_timeout: seconds from the connect to the end of the handshake; None: as long as it
            takes.
        pool_timeout: seconds to wait for a connection; None: as long as it takes.
        connection_pool: use this one; all options that concern connections are then its own.
        connection_pool_cls: makes the pool where none is given.
        encoding: codec of str in commands and, with ``decode_responses``, in replies.
        decode_responses: return str instead of bytes; what is no text stays bytes.
        ssl: speak TLS; with ``ssl_context``, which alone is enough, or with one made of the other
            ``ssl_*`` options, which need this.
        max_connections: so many connections at most; None: 32.
        max_connections_per_node: that limit is for each node, not for all together.
        max_idle_time: seconds after which an unused connection is closed; None: never.
        read_from_replicas: subscriptions go to replicas where there are any. Commands are not
            concerned: they go to primaries.
        readonly: the reference API's former name of ``read_from_replicas``.
        address_remap: from the (host, port) that a node announces to the one that reaches it from
            here: for clusters behind containers or other address translation.
        noreply: tell the servers not to answer; commands then return None, or 0 for a count, and
            one that is sent to a node that does not own its slot any more is lost.
        noevict: exempt the connections from client eviction.
        notouch: commands leave the keys' LRU and LFU as they are.
        retry_policy: for what is retried at all, see above; None: nothing is.
        reinitialize_steps: accepted for compatibility: each MOVED is acted upon.
        skip_full_coverage_check: accepted for compatibility: there is no such check.
        nodemanager_follow_cluster: accepted for compatibility: the cluster is always followed.
        non_atomic_cross_slot: accepted for compatibility: commands are never split.
        verify_version: accepted for compatibility; versions are never verified.
        options: none; ``cache``, ``type_adapter`` and ``client_name`` must be None, ``db`` 0.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
        TypeError: there is no such option.
    """

    @overload
    def __init__(
        self: RedisClusterClient[bytes],
        host: str | None = ...,
        port: int | None = ...,
        *,
        decode_responses: Literal[False] = ...,
        **options: Unpack[ClusterClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: RedisClusterClient[str],
        host: str | None = ...,
        port: int | None = ...,
        *,
        decode_responses: Literal[True],
        **options: Unpack[ClusterClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: RedisClusterClient[Any],
        host: str | None = ...,
        port: int | None = ...,
        *,
        decode_responses: bool = ...,
        **options: Unpack[ClusterClientOptions],
    ) -> None: ...

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        startup_nodes: Iterable[StartupNode] | None = None,
        username: str | None = None,
        password: str | None = None,
        credential_provider: AbstractCredentialProvider | None = None,
        stream_timeout: float | None = None,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT,
        pool_timeout: float | None = None,
        connection_pool: ClusterConnectionPool | None = None,
        connection_pool_cls: type[ClusterConnectionPool] = ClusterConnectionPool,
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
        max_connections_per_node: bool = False,
        max_idle_time: float | None = None,
        readonly: bool = False,
        read_from_replicas: bool = False,
        address_remap: AddressRemap | None = None,
        reinitialize_steps: int | None = None,
        skip_full_coverage_check: bool = False,
        nodemanager_follow_cluster: bool = True,
        non_atomic_cross_slot: bool = True,
        verify_version: bool = True,
        noreply: bool = False,
        noevict: bool = False,
        notouch: bool = False,
        retry_policy: RetryPolicy | None = DEFAULT_CLUSTER_RETRY_POLICY,
        **options: Any,
    ) -> None:
        refuse(options)
        if connection_pool is None:
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
                startup_nodes,
                host=host,
                port=port,
                max_connections=max_connections,
                max_connections_per_node=max_connections_per_node,
                read_from_replicas=read_from_replicas or readonly,
                address_remap=address_remap,
                timeout=pool_timeout,
                max_idle_time=max_idle_time,
                reinitialize_steps=reinitialize_steps,
                skip_full_coverage_check=skip_full_coverage_check,
                nodemanager_follow_cluster=nodemanager_follow_cluster,
                username=username,
                password=password,
                credential_provider=credential_provider,
                ssl_context=ssl_context,
                connect_timeout=connect_timeout,
                stream_timeout=stream_timeout,
                encoding=encoding,
                decode_responses=decode_responses,
                noreply=noreply,
                noevict=noevict,
                notouch=notouch,
            )
        self.connection_pool = connection_pool
        self.retry_policy = NoRetryPolicy() if retry_policy is None else retry_policy
        self.verify_version = verify_version
        self.non_atomic_cross_slot = non_atomic_cross_slot
        self.noreply = noreply or connection_pool.settings.noreply

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        decode_responses: Literal[False] = ...,
        **options: Unpack[ClusterURLOptions],
    ) -> RedisClusterClient[bytes]: ...

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        decode_responses: Literal[True],
        **options: Unpack[ClusterURLOptions],
    ) -> RedisClusterClient[str]: ...

    @overload
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        decode_responses: bool = ...,
        **options: Unpack[ClusterURLOptions],
    ) -> RedisClusterClient[Any]: ...

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        decode_responses: bool = False,
        decode_components: bool = False,
        noreply: bool = False,
        readonly: bool = False,
        read_from_replicas: bool = False,
        non_atomic_cross_slot: bool = True,
        verify_version: bool = True,
        cache: None = None,
        retry_policy: RetryPolicy | None = DEFAULT_CLUSTER_RETRY_POLICY,
        type_adapter: None = None,
        **options: Any,
    ) -> RedisClusterClient[Any]:
        """Return a client of the cluster that ``url`` names a node of.

        What the URL says goes before the arguments.

        Args:
            url: ``redis://[[user]:password@]host[:port][?option=value&...]``, ``rediss://`` for
                TLS.
            decode_components: undo the %-encoding of user, password and host.
            options: those of the client and of ClusterConnectionPool; not ``host`` and ``port``,
                which are the URL's to say: further nodes are ``startup_nodes``.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
        refuse({"cache": cache, "type_adapter": type_adapter})
        pool = ClusterConnectionPool.from_url(
            url,
            decode_components=decode_components,
            decode_responses=decode_responses,
            noreply=noreply,
            read_from_replicas=read_from_replicas or readonly,
            **options,
        )
        return cls(
            connection_pool=pool,
            decode_responses=decode_responses,
            verify_version=verify_version,
            non_atomic_cross_slot=non_atomic_cross_slot,
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

    @property
    def read_from_replicas(self) -> bool:
        """Whether subscriptions go to replicas where there are any."""
        return self.connection_pool.read_from_replicas

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
        nodes = ", ".join(map(str, self.connection_pool.startup_nodes))
        return f"<{type(self).__name__} of {nodes}>"
