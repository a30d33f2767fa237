"""How pub/sub objects read histories: by the ordinary commands of a client on their own pool."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from actors.pubsub.recovery.history_access import HistoryAccess
from actors.redis.clients.client import RedisClient
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.topology.slots import key_slot

if TYPE_CHECKING:
    from actors.redis.cluster.cluster_pool import ClusterConnectionPool

# The reader of histories tries again by itself, and needs every reply.
_OPTIONS: Final = {
    "noreply": False,
    "non_atomic_cross_slot": False,
    "retry_policy": None,
    "verify_version": False,
}


def history_access(pool: ConnectionPool | ClusterConnectionPool) -> HistoryAccess:
    """Return what sends commands for histories over the connections of ``pool``.

    In a cluster, commands go to the primary of the history's slot.
    """
    if isinstance(pool, ConnectionPool):
        return HistoryAccess(RedisClient[bytes](pool, _OPTIONS)._execute_all, lambda _: None)

    # A program with one server loads nothing of a cluster.
    from actors.redis.clients.cluster_client import RedisClusterClient  # noqa: PLC0415

    def group(key: bytes) -> Hashable:
        primary = pool.topology.primary_for(key_slot(key))
        return None if primary is None else primary.id

    return HistoryAccess(RedisClusterClient[bytes](pool, _OPTIONS)._execute_all, group)
