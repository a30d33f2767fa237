"""Cluster tests run on the embedded server, and on Debian's redis-server where it is on PATH."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.servers.binary import ServerBinary, path_binary, wheel_binary
from actors.testing.servers.process import ServerProcess
from tests.clusters.lending import NODE_TIMEOUT, lent

BINARIES = [binary for binary in (wheel_binary(), path_binary()) if binary is not None]


@pytest.fixture(params=BINARIES, ids=lambda binary: binary.flavour)
def binary(request: pytest.FixtureRequest) -> ServerBinary:
    """A server program; the test runs once with each."""
    return request.param


@pytest.fixture
async def lone_node(binary: ServerBinary) -> AsyncIterator[ServerProcess]:
    """One server in cluster mode that has met no other."""
    server = ServerProcess(binary, cluster=True, args={"cluster_enabled": True})
    await server.start()
    try:
        yield server
    finally:
        server.close()


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=BINARIES, ids=lambda binary: binary.flavour
)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedCluster]:
    """A cluster for all tests of a module, on each server."""
    async with EmbeddedCluster(binary=request.param, node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(running: EmbeddedCluster) -> AsyncIterator[EmbeddedCluster]:
    """The module's cluster, with all nodes running, for one test."""
    async with lent(running):
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ends(running: EmbeddedCluster) -> AsyncIterator[tuple[ClusterNode, ClusterNode]]:
    """The two primaries of a cluster without replicas; the first owns the slot of ``a``."""
    async with lent(running) as cluster:
        source = await cluster.primary_for(key_slot(b"a"))
        yield source, next(node for node in cluster.nodes if node is not source)
