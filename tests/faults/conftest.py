"""Faults are played on the embedded server, and on a server of PATH where there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from actors.testing.servers.binary import path_binary, wheel_binary
from tests.conftest import RAN_ON, available_backends
from tests.faults.journal import Journal
from tests.faults.theatre import Theatre

_BINARIES = {"embedded": wheel_binary, "path": path_binary}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "theatre" in metafunc.fixturenames:
        names = [name for name in available_backends(metafunc.config) if name in _BINARIES]
        # One cluster after another, each for as many faults as it lasts. Two processes may play,
        # each on one server: a fault takes a third of a core, and waits most of its time.
        params = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
        metafunc.parametrize("theatre", params, indirect=True, scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre(request: pytest.FixtureRequest) -> AsyncIterator[Theatre]:
    """Clusters of one server program, which all tests of a module share."""
    binary = _BINARIES[request.param]()
    assert binary is not None
    async with Theatre(binary) as theatre:
        yield theatre


@pytest.fixture
def journal(request: pytest.FixtureRequest) -> Iterator[Journal]:
    """What the library logs during this test."""
    request.node.user_properties.append((RAN_ON, request.node.callspec.params["theatre"]))
    with Journal() as journal:
        yield journal
