"""Fixtures of the whole suite: first of all its servers.

A test asks for ``server`` (private: it may kill, pause and configure it), ``make_server`` (the same
with further configuration) or ``shared_server`` (emptied before each test, kept for all of them:
for tests that leave no trace). It then runs

- on the embedded server, and again on a server of PATH where there is one;
- with ``@pytest.mark.every_backend`` on containers too, where a Docker engine answers;
- with ``@pytest.mark.embedded_only`` on the embedded server alone.

``--servers=path,container`` (or the variable ``MAILSLOT_TEST_SERVERS``) narrows the choice. The
session's header says which backends run and why others do not.
"""

from __future__ import annotations

import asyncio.constants
import gc
import importlib
import os
from collections import Counter
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import structlog

from tests.servers import BACKENDS, AnyServer, Backend, ask

# Imported by Hypothesis in the midst of an example otherwise, where pytest's rewriting of it may
# fail with a SystemError: CPython 3.11's parser minds the recursion limit that Hypothesis sets.
importlib.import_module("hypothesis.internal.conjecture.optimiser")

# An example that takes long on a busy machine is no failure.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# In asyncio's debug mode every future and every call keeps its stack. Ten frames of it, asyncio's
# own choice, take most of the time of many a test.
asyncio.constants.DEBUG_STACK_DEPTH = 3

pytest_plugins = ["tests.clusters.fixtures"]

#: Tests that get their servers elsewhere say by this property which backend it was.
RAN_ON = "server backend"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        default=os.environ.get("MAILSLOT_TEST_SERVERS", ",".join(BACKENDS)),
        help=f"server backends to run on, of {','.join(BACKENDS)} (default: all that there are)",
    )


def pytest_configure(config: pytest.Config) -> None:
    unknown = set(_selected(config)) - set(BACKENDS)
    if unknown:
        raise pytest.UsageError(f"--servers: no backend {sorted(unknown)}; one of {[*BACKENDS]}")


def _selected(config: pytest.Config) -> list[str]:
    return [name.strip() for name in config.getoption("servers").split(",") if name.strip()]


def available_backends(config: pytest.Config) -> list[str]:
    """Return the backends that are asked for and to be had; UsageError where there are none."""
    selected = _selected(config)
    available = [name for name in BACKENDS if name in selected and BACKENDS[name].why_not() is None]
    if not available:
        raise pytest.UsageError(f"none of the servers asked for is to be had here: {selected}")
    return available


def pytest_report_header(config: pytest.Config) -> list[str]:
    selected = _selected(config)
    lines = ["servers:"]
    for name, backend in BACKENDS.items():
        reason = "not asked for" if name not in selected else backend.why_not()
        state = f"not run: {reason}" if reason else backend.describe()
        lines.append(f"  {name}: {state}")
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    available = available_backends(metafunc.config)
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "embedded_only" in marks:
        names = [name for name in available if name == "embedded"]
    elif "every_backend" in marks:
        names = available
    else:
        names = [name for name in available if name != "container"] or available
    metafunc.parametrize("backend", names, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """Where this test's servers come from."""
    chosen = BACKENDS[request.param]
    request.node.user_properties.append((RAN_ON, chosen.name))
    return chosen


@pytest.fixture
def make_server(backend: Backend) -> Iterator[Callable[..., AnyServer]]:
    """Start private servers: ``make_server({"requirepass": "x"})``; all are gone afterwards."""
    made: list[AnyServer] = []

    def make(args=()) -> AnyServer:
        server = backend.make(args)
        made.append(server)
        server.start_sync()
        return server

    try:
        yield make
    finally:
        for server in made:
            server.close()


@pytest.fixture
def server(make_server: Callable[..., AnyServer]) -> AnyServer:
    """A private server, running."""
    return make_server()


@pytest.fixture(scope="session")
def _shared_servers() -> Iterator[dict[str, AnyServer]]:
    servers: dict[str, AnyServer] = {}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()


@pytest.fixture
def shared_server(backend: Backend, _shared_servers: dict[str, AnyServer]) -> AnyServer:
    """A running server without keys that other tests use as well."""
    server = _shared_servers.get(backend.name)
    if server is None:
        server = backend.make()
        server.start_sync()
        _shared_servers[backend.name] = server
    assert ask(server, "FLUSHALL") == "+OK"
    return server


#: Where the files are that take longest: they start clusters and programs.
_LONGEST = ("tests/worker/", "tests/pubsub/cluster/", "tests/testing/", "tests/examples/")
#: Where the files are that leave threads of others behind, beside which nothing is to be measured.
_LAST = ("tests/worker/ray/",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # First, so that several processes that take file after file end at about the same time.
    items.sort(
        key=lambda item: (item.nodeid.startswith(_LAST), not item.nodeid.startswith(_LONGEST))
    )
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "full_speed" in fixtures or item.get_closest_marker("gate") is not None:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session", autouse=True)
def _imports_are_not_collected() -> Iterator[None]:
    """Freeze the objects of all imports, so that a test's garbage collection takes little time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _what_a_module_leaves_is_not_collected(_imports_are_not_collected: None) -> Iterator[None]:
    """Freeze what pytest and libraries keep for good: it grows with each test."""
    yield
    # First without what is garbage, so that a warning about it comes.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logging_unconfigured() -> Iterator[None]:
    """Each test begins with structlog as a program finds it: what one configures is its own."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                ran.update(name for kind, name in report.user_properties if kind == RAN_ON)
    if ran:
        counts = ", ".join(f"{name} {ran[name]}" for name in BACKENDS if ran[name])
        terminalreporter.write_line(f"tests on servers: {counts}")
