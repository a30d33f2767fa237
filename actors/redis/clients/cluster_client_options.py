"""The keywords of a cluster's client: its own, besides those of every client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from actors.redis.clients.client_options import (
    CommonOptions,
    defaults_of,
    pool_options,
    refuse_unsupported,
)
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.cluster_url import StartupNode
from actors.redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - the library's
    PrimaryDownError,
    TryAgainError,
)
from actors.redis.topology.model import AddressRemap
from supervisor.checks import no_option
from supervisor.model.retry_policy import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    ExponentialBackoffRetryPolicy,
)

#: The retry policy of a cluster's client that is given none: about half a second for a cluster that
#: is changing, and two more tries for a connection.
DEFAULT_CLUSTER_RETRY_POLICY: Final = CompositeRetryPolicy(
    ExponentialBackoffRetryPolicy(
        (ClusterDownError, TryAgainError, BusyLoadingError, PrimaryDownError),
        retries=5,
        base_delay=0.02,
        max_delay=0.25,
    ),
    ConstantRetryPolicy((ConnectionError, TimeoutError), retries=2, delay=0.01),
)


class ClusterPoolOptions(TypedDict, total=False):
    """The keywords that the client passes on to ClusterConnectionPool as they are: see there."""

    startup_nodes: Iterable[StartupNode] | None
    max_connections_per_node: bool
    address_remap: AddressRemap | None
    reinitialize_steps: int | None
    skip_full_coverage_check: bool
    nodemanager_follow_cluster: bool


class _ClusterOptions(CommonOptions, ClusterPoolOptions, total=False):
    #: Subscribe on replicas where there are any. Commands go to primaries all the same.
    read_from_replicas: bool
    #: The reference API's former name of ``read_from_replicas``.
    readonly: bool
    #: Accepted for compatibility: the client never splits a command.
    non_atomic_cross_slot: bool


class ClusterClientOptions(_ClusterOptions, total=False):
    """The keywords of ``RedisCluster`` without ``decode_responses``."""

    #: A pool to use. The pool's own options then count, and the client's are ignored.
    connection_pool: ClusterConnectionPool | None
    #: The class of the pool that the client makes where it is given none.
    connection_pool_cls: type[ClusterConnectionPool]
    #: Speak TLS. ``ssl_context`` alone means TLS, too.
    ssl: bool


class ClusterURLOptions(_ClusterOptions, total=False):
    """The keywords of ``RedisCluster.from_url`` without ``decode_responses``."""

    #: Undo the %-encoding of user, password and host.
    decode_components: bool


#: The default of each keyword of ClusterClientOptions.
CLUSTER_CLIENT_DEFAULTS: Final = defaults_of(
    ClusterClientOptions,
    connection_pool_cls=ClusterConnectionPool,
    max_connections_per_node=False,
    nodemanager_follow_cluster=True,
    non_atomic_cross_slot=True,
    read_from_replicas=False,
    readonly=False,
    retry_policy=DEFAULT_CLUSTER_RETRY_POLICY,
    skip_full_coverage_check=False,
    ssl=False,
    verify_version=True,
)

#: Keywords that are accepted as long as their values say nothing.
HIDDEN: Final = ("cache", "client_name", "type_adapter")

_NOT_OF_CLUSTERS: Final = {
    "client_name": "the reference API has it in from_url only, and in the connection pool",
    "db": "from_url and the connection pool take it, for Valkey 9 with cluster-databases",
    "unix_socket_path": "the nodes of a cluster are reached by host and port",
}


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a cluster's client: ``options``, and the defaults of the others.

    Raises:
        ValueError: an option makes no sense for a cluster.
        NotImplementedError: ``cache`` or ``type_adapter`` is not None.
        TypeError: there is no such option.
    """
    refuse_unsupported(options)
    for name in options:
        if name in _NOT_OF_CLUSTERS:
            if options[name]:
                reason = _NOT_OF_CLUSTERS[name]
                raise ValueError(f"{name} is {options[name]!r}: {reason}; leave it out")
        elif name not in CLUSTER_CLIENT_DEFAULTS:
            raise TypeError(no_option("a cluster's client", name, CLUSTER_CLIENT_DEFAULTS))
    return {**CLUSTER_CLIENT_DEFAULTS, **options}


def make_cluster_pool(
    host: str | None, port: int | None, decode_responses: bool, options: Mapping[str, Any]
) -> ClusterConnectionPool:
    """Return the pool of a client with these arguments; ``options`` are all others."""
    pool: ClusterConnectionPool = options["connection_pool_cls"](
        host=host,
        port=port,
        decode_responses=decode_responses,
        read_from_replicas=options["read_from_replicas"] or options["readonly"],
        **{name: options[name] for name in ClusterPoolOptions.__annotations__},
        **pool_options(options),
    )
    return pool
