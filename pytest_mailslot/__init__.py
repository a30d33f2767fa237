"""Fixtures for tests of programs that use mailslot; pytest finds them by an entry point.

Outside of the package ``actors``, so that pytest may load this in projects that never use it:
nothing but pytest is imported before a test asks for a fixture.

====================  ========  ==================================================================
mailslot_url          test      the URL of a server that all tests share, emptied for this one
mailslot_cluster_url  test      the same of a cluster
embedded_server       test      a server of the test's own, to kill, pause and configure
embedded_cluster      test      a cluster of the test's own (async)
mailslot_probe        test      a new :class:`actors.testing.Probe`
mailslot_clock        test      a new :class:`actors.testing.VirtualClock`
mailslot_server       session   the shared server; better not stopped
====================  ========  ==================================================================
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from actors.testing import EmbeddedCluster, EmbeddedServer, Probe, VirtualClock


def _async_fixture() -> Callable[[Any], Any]:
    """Return the decorator that whoever runs asynchronous tests here understands in every mode."""
    if find_spec("pytest_asyncio") is None:
        return pytest.fixture  # anyio's plugin, for one, runs asynchronous fixtures as they are
    import pytest_asyncio  # noqa: PLC0415 - a plugin itself: pytest has it loaded

    return pytest_asyncio.fixture


@pytest.fixture(scope="session")
def mailslot_server() -> Iterator[EmbeddedServer]:
    """A running server that all tests of the session share."""
    from actors.testing import EmbeddedServer  # noqa: PLC0415

    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def mailslot_url(mailslot_server: EmbeddedServer) -> str:
    """The URL of the shared server, without keys."""
    from actors.testing.shared import empty  # noqa: PLC0415

    empty([(mailslot_server.host, mailslot_server.port)])
    return mailslot_server.url


@pytest.fixture(scope="session")
def _mailslot_cluster() -> Iterator[Any]:
    from actors.testing.shared import SharedCluster  # noqa: PLC0415

    with SharedCluster() as cluster:
        yield cluster


@pytest.fixture
def mailslot_cluster_url(_mailslot_cluster: Any) -> str:
    """The URL of a cluster of three primaries that all tests of the session share, without keys."""
    _mailslot_cluster.empty()
    url: str = _mailslot_cluster.url
    return url


@pytest.fixture
def embedded_server() -> Iterator[EmbeddedServer]:
    """A running server of the test's own."""
    from actors.testing import EmbeddedServer  # noqa: PLC0415

    with EmbeddedServer() as server:
        yield server


@_async_fixture()
async def embedded_cluster() -> AsyncIterator[EmbeddedCluster]:
    """A running cluster of the test's own: three primaries, a replica each."""
    from actors.testing import EmbeddedCluster  # noqa: PLC0415

    async with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def mailslot_probe() -> Probe:
    """A probe that has heard nothing."""
    from actors.testing import Probe  # noqa: PLC0415

    return Probe()


@pytest.fixture
def mailslot_clock() -> VirtualClock:
    """A clock that stands still until it is advanced."""
    from actors.testing import VirtualClock  # noqa: PLC0415

    return VirtualClock()
