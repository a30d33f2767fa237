"""Servers, clocks and probes for testing programs that use mailslot."""

from __future__ import annotations

from actors.testing.clock import VirtualClock
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.probe import Probe
from actors.testing.proxies.proxy import Direction, FaultProxy
from actors.testing.servers.binary import ServerBinary, ServerNotFoundError, find_binary
from actors.testing.servers.process import ServerProcess, ServerStartError, ServerStartTimeoutError
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
