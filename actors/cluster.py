"""RedisCluster: the client of a cluster, with Pub/Sub.

A module of its own, so that a program with one server does not import what only clusters need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AnyStr, Literal, Unpack, overload

from actors.client import ChannelOptions, PubSubOptions, keywords_of
from actors.pubsub.api.base import DEFAULT_RETRY_POLICY
from actors.pubsub.api.cluster_pubsub import ClusterPubSub, ShardedPubSub
from actors.redis.clients.cluster_client import RedisClusterClient

if TYPE_CHECKING:
    from actors.redis.clients.cluster_client_options import ClusterClientOptions, ClusterURLOptions

__all__ = ["RedisCluster"]


class RedisCluster(RedisClusterClient[AnyStr]):
    """A client of a Redis or Valkey cluster; an async context manager.

    See :class:`actors.redis.clients.cluster_client.RedisClusterClient` for retries and parameters.
    """

    if TYPE_CHECKING:
        # What RedisClusterClient does, by the type of the strings in replies.
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
        @overload  # type: ignore[override]  # these name what the base takes as **options
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
        self, *, read_from_replicas: bool | None = None, **options: Unpack[PubSubOptions]
    ) -> ClusterPubSub[AnyStr]:
        """Return a Pub/Sub object for plain channels and patterns; see ClusterPubSub.

        Args:
            read_from_replicas: listen on a replica; None: as the client does.
            options: those of ClusterPubSub.
        """
        return ClusterPubSub(self.connection_pool, read_from_replicas=read_from_replicas, **options)

    @keywords_of(ShardedPubSub, retry_policy=DEFAULT_RETRY_POLICY, read_from_replicas=None)
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
