"""Servers, clocks and probes for testing programs that use mailslot."""

from typing import TYPE_CHECKING

from supervisor.lazy_names import lazy_names

if TYPE_CHECKING:
    from actors.testing.clock import VirtualClock
    from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
    from actors.testing.clusters.proxies import ClusterProxies
    from actors.testing.probe import Probe
    from actors.testing.proxies.proxy import Direction, FaultProxy
    from actors.testing.servers.binary import ServerBinary, ServerNotFoundError, find_binary
    from actors.testing.servers.process import (
        ServerProcess,
        ServerStartError,
        ServerStartTimeoutError,
    )
    from actors.testing.servers.server import EmbeddedServer

__all__ = [
    "ClusterNode",
    "ClusterProxies",
    "Direction",
    "EmbeddedCluster",
    "EmbeddedServer",
    "FaultProxy",
    "Probe",
    "ServerBinary",
    "ServerNotFoundError",
    "ServerProcess",
    "ServerStartError",
    "ServerStartTimeoutError",
    "VirtualClock",
    "find_binary",
]

# The module of each name.
_HOMES = {
    "actors.testing.clock": ("VirtualClock",),
    "actors.testing.clusters.cluster": ("ClusterNode", "EmbeddedCluster"),
    "actors.testing.clusters.proxies": ("ClusterProxies",),
    "actors.testing.probe": ("Probe",),
    "actors.testing.proxies.proxy": ("Direction", "FaultProxy"),
    "actors.testing.servers.binary": ("ServerBinary", "ServerNotFoundError", "find_binary"),
    "actors.testing.servers.process": (
        "ServerProcess",
        "ServerStartError",
        "ServerStartTimeoutError",
    ),
    "actors.testing.servers.server": ("EmbeddedServer",),
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
