"""RedisCluster: the client of a cluster, with Pub/Sub.

Apart from client.py, so that who has one server does not import the cluster's half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AnyStr, Literal, Unpack, overload

from actors.pubsub.api.cluster_pubsub import ClusterPubSub, ShardedPubSub
from actors.pubsub.api.options import (
    DEFAULT_RETRY_POLICY,
    ChannelKeywords,
    PatternKeywords,
    keywords_of,
)
from actors.redis.clients.cluster_client import RedisClusterClient

if TYPE_CHECKING:
    from actors.redis.clients.cluster_client_options import ClusterClientOptions, ClusterURLOptions

__all__ = ["RedisCluster"]


class RedisCluster(RedisClusterClient[AnyStr]):
    """A client of a Redis or Valkey cluster; an async context manager.

    See :class:`actors.redis.clients.cluster_client.RedisClusterClient` for the parameters.
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

    @keywords_of(ClusterPubSub)
    def pubsub(
        self, *, read_from_replicas: bool | None = None, **options: Unpack[PatternKeywords]
    ) -> ClusterPubSub[AnyStr]:
        """Return a Pub/Sub object for plain channels and patterns; see ClusterPubSub.

        Args:
            read_from_replicas: subscribe on a replica; None: as the client says.
            options: those of ClusterPubSub.
        """
        return ClusterPubSub(self.connection_pool, read_from_replicas=read_from_replicas, **options)

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
