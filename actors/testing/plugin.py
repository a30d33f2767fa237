"""The pytest plugin: fixtures for tests of programs that use mailslot.

pytest loads this module in every project that has mailslot installed (entry point ``pytest11``),
also where no test uses a fixture of it. So it imports nothing but pytest, and the packages above
it import nothing either; each fixture imports what it needs.

====================  ========  ==================================================================
mailslot_url          test      the URL of a server that all tests share, without keys
mailslot_cluster_url  test      the URL of a cluster that all tests share, without keys
embedded_server       test      a server of the test's own, to kill, pause and configure
embedded_cluster      test      a cluster of the test's own (async)
mailslot_probe        test      a new :class:`actors.testing.Probe`
mailslot_clock        test      a new :class:`actors.testing.VirtualClock`
mailslot_server       session   the shared server itself; a test must not stop it
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
    """Return pytest-asyncio's fixture decorator; pytest's own where that plugin is missing.

    pytest-asyncio in strict mode runs only the asynchronous fixtures of its own decorator; anyio's
    plugin runs those of pytest's.
    """
    if find_spec("pytest_asyncio") is None:
        return pytest.fixture
    import pytest_asyncio  # noqa: PLC0415 - pytest has it loaded already

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
