"""RedisCluster: the client of a cluster, with Pub/Sub.

A module of its own, so that a program with one server does not import what only clusters need.
"""

from __future__ import annotations

from typing import Any, AnyStr, Literal, Unpack, overload

from actors.pubsub.api.cluster_pubsub import ClusterPubSub, ShardedPubSub
from actors.pubsub.api.options import (
    DEFAULT_RETRY_POLICY,
    ChannelKeywords,
    PatternKeywords,
    keywords_of,
)
from actors.redis.clients.client_options import spelled_out
from actors.redis.clients.cluster_client import RedisClusterClient
from actors.redis.clients.cluster_client_options import (
    CLUSTER_CLIENT_DEFAULTS,
    DEFAULT_CLUSTER_RETRY_POLICY,
    HIDDEN,
    ClusterClientOptions,
    ClusterURLOptions,
    complete,
    make_cluster_pool,
)
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from supervisor import RetryPolicy


class RedisCluster(RedisClusterClient[AnyStr]):
    """A client of a Redis or Valkey cluster; an async context manager.

    See :class:`actors.redis.clients.cluster_client.RedisClusterClient` for what the client retries.

    Args:
        host: where one node of the cluster listens, with ``port``.
        port: see ``host``.
        decode_responses: return str instead of bytes; a reply that is no text stays bytes.
        options: see ClusterClientOptions and, for those that each connection gets,
            ConnectionSettings. ``cache``, ``type_adapter`` and ``client_name`` must be None, ``db``
            must be 0: a database number goes into the URL of :meth:`from_url`.

    Raises:
        ValueError: an option has no meaning.
        NotImplementedError: ``cache`` or ``type_adapter`` is given.
        TypeError: there is no such option.
    """

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

    @spelled_out(ClusterClientOptions, CLUSTER_CLIENT_DEFAULTS, hidden=HIDDEN)
    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        decode_responses: bool = False,
        **options: Unpack[ClusterClientOptions],
    ) -> None:
        every = complete(options)
        pool = every["connection_pool"]
        if pool is None:
            pool = make_cluster_pool(host, port, decode_responses, every)
        super().__init__(pool, every)

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
        cls, url: str, *, decode_responses: Literal[True], **options: Unpack[ClusterURLOptions]
    ) -> RedisCluster[str]: ...

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, decode_responses: bool = ..., **options: Unpack[ClusterURLOptions]
    ) -> RedisCluster[Any]: ...

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
    ) -> RedisCluster[Any]:
        """Return a client of the cluster that ``url`` names a node of.

        An option in the URL's query overrules the argument.

        Args:
            url: ``redis://[[user]:password@]host[:port][?option=value&...]``, ``rediss://`` for
                TLS, or the same with ``valkey://`` and ``valkeys://``.
            decode_components: undo the %-encoding of user, password and host.
            options: those of the client and of ClusterConnectionPool, except ``host`` and ``port``:
                the URL says where the first node is, ``startup_nodes`` where others are.

        Raises:
            ValueError: the URL or an option has no meaning; says what is allowed.
        """
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
            verify_version=verify_version,
            cache=cache,
            non_atomic_cross_slot=non_atomic_cross_slot,
            noreply=noreply,
            retry_policy=retry_policy,
            type_adapter=type_adapter,
        )

    @keywords_of(ClusterPubSub)
    def pubsub(
        self,
        *,
        read_from_replicas: bool | None = None,
        every_primary: bool = False,
        **options: Unpack[PatternKeywords],
    ) -> ClusterPubSub[AnyStr]:
        """Return a Pub/Sub object for plain channels and patterns; see ClusterPubSub.

        Args:
            read_from_replicas: subscribe on a replica; None: as the client says.
            every_primary: subscribe on every primary, for keyspace notifications.
            options: those of ClusterPubSub.
        """
        return ClusterPubSub(
            self.connection_pool,
            read_from_replicas=read_from_replicas,
            every_primary=every_primary,
            **options,
        )

    @keywords_of(ShardedPubSub, retry_policy=DEFAULT_RETRY_POLICY, read_from_replicas=None)
    def sharded_pubsub(
        self, *, read_from_replicas: bool | None = None, **options: Unpack[ChannelKeywords]
    ) -> ShardedPubSub[AnyStr]:
        """Return a Pub/Sub object for shard channels; see ShardedPubSub.

        Unlike the class, which restores lost connections only if it is given a policy, this method
        restores them by default.

        Args:
            read_from_replicas: subscribe on replicas; None: as the client says.
            options: those of ShardedPubSub.
        """
        options.setdefault("retry_policy", DEFAULT_RETRY_POLICY)
        return ShardedPubSub(self.connection_pool, read_from_replicas=read_from_replicas, **options)
