"""How pub/sub objects read histories: by the ordinary commands of a client on their own pool."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from actors.pubsub.lifecycle.recoveries import HistoryAccess
from actors.redis.topology.slots import key_slot

if TYPE_CHECKING:
    from actors.redis.cluster.cluster_pool import ClusterConnectionPool
    from actors.redis.pools.connection_pool import ConnectionPool

# The reader of histories tries again by itself, and needs every reply.
_OPTIONS: Final = {
    "noreply": False,
    "non_atomic_cross_slot": False,
    "retry_policy": None,
    "verify_version": False,
}


def single_server_access(pool: ConnectionPool) -> HistoryAccess:
    """Return how histories on the server of ``pool`` are read."""
    from actors.redis.clients.client import RedisClient  # noqa: PLC0415 - few programs need it

    client = RedisClient[bytes](pool, _OPTIONS)
    return HistoryAccess(client._execute_all, lambda _: None)


def cluster_access(pool: ClusterConnectionPool) -> HistoryAccess:
    """Return how histories in the cluster of ``pool`` are read: each at its slot's primary."""
    from actors.redis.clients.cluster_client import RedisClusterClient  # noqa: PLC0415 - as above

    def group(key: bytes) -> Hashable:
        primary = pool.topology.primary_for(key_slot(key))
        return None if primary is None else primary.id

    client = RedisClusterClient[bytes](pool, _OPTIONS)
    return HistoryAccess(client._execute_all, group)
