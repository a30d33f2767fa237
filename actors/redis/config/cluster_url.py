"""The startup nodes, the address remap and the URL of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import DEFAULT_LOCATION
from actors.redis.config.url import REDIS_OPTIONS, Parser, parse_bool, read_url
from actors.redis.topology.model import Address, AddressRemap

#: A location, a pair of host and port, or a mapping with ``host`` and ``port``.
StartupNode: TypeAlias = TCPLocation | tuple[str, int] | Mapping[str, Any]

#: The options in a cluster's URL. The last two are accepted for compatibility and do nothing.
CLUSTER_OPTIONS: Final[Mapping[str, Parser]] = {
    **REDIS_OPTIONS,
    "max_connections_per_node": parse_bool,
    "nodemanager_follow_cluster": parse_bool,
    "read_from_replicas": parse_bool,
    "reinitialize_steps": int,
    "skip_full_coverage_check": parse_bool,
    "gc_interval": float,
}


def startup_locations(
    startup_nodes: Iterable[StartupNode] | None, host: str | None, port: int | None
) -> tuple[TCPLocation, ...]:
    """Return the locations of the startup nodes, without duplicates, that of ``host`` first.

    Raises:
        ValueError: a startup node has no host or port, or ``startup_nodes`` has no node and there
            is no ``host``.
    """
    if isinstance(startup_nodes, str) or not isinstance(startup_nodes or (), Iterable):
        raise ValueError(f"startup_nodes must be a list of nodes, not {startup_nodes!r}")
    locations = [_location(node) for node in startup_nodes or ()]
    if startup_nodes is not None and not locations and host is None:
        raise ValueError("startup_nodes has no node: give one at least, or a host")
    if host is not None or port is not None or not locations:
        first = TCPLocation(host or DEFAULT_LOCATION.host, port or DEFAULT_LOCATION.port)
        locations.insert(0, first)
    return tuple(dict.fromkeys(locations))


def _location(node: StartupNode) -> TCPLocation:
    match node:
        case TCPLocation():
            return node
        case (str() as host, int() as port):
            return TCPLocation(host, port)
        case Mapping():
            if "host" in node and "port" in node:
                return TCPLocation(str(node["host"]), int(node["port"]))
    raise ValueError(
        f"a startup node is {node!r}; it must be a TCPLocation(host, port), a pair of host and "
        'port, or a mapping with "host" and "port"'
    )


def checked_remap(remap: AddressRemap) -> AddressRemap:
    """Return ``remap``, with a clear error when it returns something else than an address.

    Raises:
        ValueError: ``remap`` cannot be called.
    """
    if not callable(remap):
        raise ValueError(
            f"address_remap must be a function of (host, port) that returns the same, not {remap!r}"
        )

    def checked(address: Address) -> Address:
        match remap(address):
            case (str() as host, int() as port):
                return host, port
            case other:
                raise TypeError(
                    f"address_remap returned {other!r} for {address!r}: it must return a pair of "
                    "host and port, the given pair if nothing is to be changed"
                )

    return checked


def options_of_url(
    url: str, options: dict[str, Any], *, decode_components: bool
) -> tuple[TCPLocation, dict[str, Any]]:
    """Return the location in ``url``, and ``options`` overruled by the options in its query.

    Raises:
        ValueError: the URL or an option has no meaning for a cluster; says what is allowed.
    """
    location, merged = read_url(
        url,
        options,
        decode_components=decode_components,
        parsers=CLUSTER_OPTIONS,
        cure="leave it out, or give further nodes as startup_nodes",
    )
    if not isinstance(location, TCPLocation):
        raise ValueError(
            "a cluster has no unix sockets: use a redis://, rediss://, valkey:// or valkeys:// URL"
        )
    merged.pop("gc_interval", None)
    return location, merged
