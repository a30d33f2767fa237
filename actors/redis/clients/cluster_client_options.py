"""The keywords of the cluster's client, for its overloads: spelled out once instead of three times.

:func:`refuse` says what a client of one server takes and a cluster's cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from actors.redis.clients.client_options import CommonOptions
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.cluster_url import StartupNode
from actors.redis.topology.parse import AddressRemap

__all__ = ["ClusterClientOptions", "ClusterURLOptions", "refuse"]


class _ClusterOptions(CommonOptions, total=False):
    startup_nodes: Iterable[StartupNode] | None
    max_connections_per_node: bool
    readonly: bool
    read_from_replicas: bool
    address_remap: AddressRemap | None
    reinitialize_steps: int | None
    skip_full_coverage_check: bool
    nodemanager_follow_cluster: bool
    non_atomic_cross_slot: bool


class ClusterClientOptions(_ClusterOptions, total=False):
    """The keywords of ``RedisClusterClient`` without ``decode_responses``."""

    connection_pool: ClusterConnectionPool | None
    connection_pool_cls: type[ClusterConnectionPool]
    ssl: bool


class ClusterURLOptions(_ClusterOptions, total=False):
    """The keywords of ``RedisClusterClient.from_url`` without ``decode_responses``."""

    decode_components: bool


_NOT_OF_CLUSTERS: Final = {
    "client_name": "the reference API has it in from_url only, and in the connection pool",
    "db": "a cluster has database 0 only",
    "unix_socket_path": "the nodes of a cluster are reached by host and port",
}
_NOT_SUPPORTED: Final = ("cache", "type_adapter")


def refuse(options: Mapping[str, object]) -> None:
    """Raise for what a cluster's client does not take.

    Raises:
        ValueError: an option that makes no sense for a cluster.
        NotImplementedError: an option of the reference API that this library does not have.
        TypeError: any other.
    """
    for name, value in options.items():
        if name in _NOT_OF_CLUSTERS:
            if value:
                raise ValueError(f"{name} is {value!r}: {_NOT_OF_CLUSTERS[name]}; leave it out")
        elif name in _NOT_SUPPORTED:
            if value is not None:
                raise NotImplementedError(
                    f"{name} is not supported: this library is about Pub/Sub; leave it out"
                )
        else:
            raise TypeError(f"a cluster's client has no option {name!r}")
