"""Cluster tests run on the embedded server, and on Debian's redis-server where it is on PATH."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from actors.testing.binary import ServerBinary, path_binary, wheel_binary
from actors.testing.process import ServerProcess

BINARIES = [binary for binary in (wheel_binary(), path_binary()) if binary is not None]


@pytest.fixture(params=BINARIES, ids=lambda binary: binary.flavour)
def binary(request: pytest.FixtureRequest) -> ServerBinary:
    """A server program; the test runs once with each."""
    return request.param


@pytest.fixture
async def lone_node(binary: ServerBinary) -> AsyncIterator[ServerProcess]:
    """One server in cluster mode that knows nobody."""
    server = ServerProcess(binary, cluster=True, args={"cluster_enabled": True})
    await server.start()
    try:
        yield server
    finally:
        server.close()
