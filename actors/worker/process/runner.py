"""Runs one worker process and returns its exit code."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from actors.runtime.collector import FREEZER
from actors.worker.observe.snapshot import State, WorkerSnapshot
from actors.worker.observe.stacks import print_report
from actors.worker.process.parent_link import Assignment, obey_parent, report_to_parent
from actors.worker.process.signals import Acts, Signals
from actors.worker.run.app import Worker
from actors.worker.run.controls import Action, control
from actors.worker.run.exit_codes import (
    ConnectFailedError,
    ExitCode,
    UsageError,
    code_of_exit,
    exit_code,
    one_sentence,
)
from actors.worker.run.partition import Partition
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


class RunOptions(msgspec.Struct, frozen=True):
    """The options of ``mailslot run``."""

    target: str  # ``module:app``
    url: str | None = None  # the broker, instead of the app's own; None: the app's own
    embedded: bool = False  # start a server for the app
    processes: int = 1  # how many processes to run
    partition: Partition = Partition()  # the names that fall to this machine
    fleet: str | None = None  # the fleet, instead of the app's own; None: the app's own
    fleet_ttl: float | None = None  # instead of the app's own; None: the app's own
    drain_timeout: float | None = None  # instead of the app's own; None: the app's own
    log_format: str = "console"  # console or json
    http: tuple[str, int] | None = None  # the address of the HTTP port; None: there is none
    http_token: str | None = None  # instead of the app's own; None: the app's own
    reload: bool = False  # restart when a file changes
    freeze: bool = True  # take the objects of the started worker out of garbage collection

    def apply(self, app: Worker[Any]) -> None:
        """Set the options that belong to ``app``."""
        if self.url is not None:
            app.at(self.url)
        if self.drain_timeout is not None:
            app.drain_timeout = self.drain_timeout
        if self.fleet is not None:
            app.fleet = self.fleet
        if self.fleet_ttl is not None:
            app.fleet_ttl = self.fleet_ttl
        if self.http_token is not None:
            app.http_token = self.http_token
        app.partition = self.partition

    def command(self) -> list[str]:
        """Return the command that runs one of several processes.

        Everybody on the machine may read it: the URL, which may have a password, goes the way of
        the :class:`Assignment`.
        """
        command = [sys.executable, "-m", "actors.worker", "run", self.target]
        command += ["--log-format", self.log_format]
        if self.drain_timeout is not None:
            command += ["--drain-timeout", str(self.drain_timeout)]
        if self.fleet is not None:
            command += ["--fleet", self.fleet]
        if self.fleet_ttl is not None:
            command += ["--fleet-ttl", str(self.fleet_ttl)]
        if not self.freeze:
            command += ["--no-gc-freeze"]
        return command


def hook_seconds(app: Worker[Any]) -> float:
    """Return the seconds that the shutdown hooks of ``app`` may take beyond any other deadline."""
    return app.shutdown_timeout if app.shutdown_hooks else 0.0


def assign(app: Worker[Any], assignment: Assignment) -> None:
    """Make ``app`` the worker of a child process."""
    if assignment.url is not None:
        app.at(assignment.url)
    app.process = assignment.index
    app.partition = Partition.parse(assignment.partition)
    app.previous = assignment.previous
    if assignment.previous is not None:
        # Running processes wait for a broker that is away, and so does a restarted one.
        app.start_timeout = None


async def run_worker(
    app: Worker[Any],
    options: RunOptions,
    signals: Signals,
    assignment: Assignment | None = None,
) -> int:
    """Run ``app`` until a signal asks it to stop; return the exit code."""
    stages = signals.stages
    signals.attach(_acts(app))
    was_up = False
    try:
        async with AsyncExitStack() as stack:
            if options.embedded:
                await stack.enter_async_context(embedded(app))
            if options.http is not None:
                act = functools.partial(control, app)
                serving = serve_http(options, app, app.worker_snapshot, act)
                await stack.enter_async_context(serving)
            if assignment is not None:
                await stack.enter_async_context(_link(app, assignment))
            async with app:
                was_up = True
                if options.freeze:
                    FREEZER.enable()
                log.info("running", partition=str(app.partition), broker=str(app.broker))
                await app.stop_requested()
    except asyncio.CancelledError:
        if not stages.count:
            raise
        return stages.forced_code if stages.forced else ExitCode.DRAINED
    except SystemExit as error:
        code = code_of_exit(error)
        log.error("exited", code=code)
        return code
    except UsageError:
        raise
    except Exception as error:
        code = exit_code(error, started=was_up)
        log.error("ended", code=int(code), reason=one_sentence(error))
        undrained = app.drained is not None and not app.drained.in_time
        return ExitCode.DEADLINE if undrained else code
    assert app.drained is not None
    if not app.drained.in_time:
        return ExitCode.DEADLINE  # drain_deadline_passed has been logged
    log.info("drained", seconds=round(app.drained.seconds, 3), left=app.drained.left)
    return ExitCode.DRAINED


def _acts(app: Worker[Any]) -> Acts:
    """Return how the current task, which runs ``app``, reacts to signals."""
    task = asyncio.current_task()
    assert task is not None

    def drain() -> None:
        if app.state is State.STARTING:
            task.cancel()  # there is nothing to drain yet
        app.request_stop()

    def overdue() -> int:
        return ExitCode.DRAINED if app.state is State.STARTING else ExitCode.DEADLINE

    hooks = hook_seconds(app)
    return Acts(
        drain,
        task.cancel,
        lambda: print_report(app.tree()),
        app.drain_timeout + hooks,
        overdue,
        cancelling=hooks,
    )


@asynccontextmanager
async def embedded(app: Worker[Any]) -> AsyncIterator[str]:
    """Run a server, or a cluster, for the app; yields its URL.

    Raises:
        UsageError: there is no server program.
        ConnectFailedError: the server does not start.
    """
    # Imported here: only --embedded needs the testing package.
    from actors.testing import ServerNotFoundError, ServerStartError  # noqa: PLC0415
    from actors.testing.clusters.cluster import EmbeddedCluster  # noqa: PLC0415
    from actors.testing.servers.server import EmbeddedServer  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        try:
            server = EmbeddedCluster() if app.broker.is_cluster else EmbeddedServer()
            await stack.enter_async_context(server)
        except ServerNotFoundError as error:
            raise UsageError(f"--embedded: {error}") from error
        except ServerStartError as error:
            raise ConnectFailedError(f"--embedded: {error}") from error
        log.info("embedded", url=server.url)
        app.at(server.url)
        yield server.url


@asynccontextmanager
async def serve_http(
    options: RunOptions,
    app: Worker[Any],
    view: Callable[[], WorkerSnapshot],
    act: Callable[[Action], None],
) -> AsyncIterator[None]:
    """Run the HTTP port of ``app``.

    Args:
        options: those of the command; they have an address.
        app: the worker.
        view: returns the snapshot for the answers.
        act: does what an operator wants, who has the token of ``app``.

    Raises:
        UsageError: the address is not available, or the extra ``asgi`` is not installed.
    """
    # Imported here: they need an extra.
    try:
        from actors.worker.asyncapi.document import document  # noqa: PLC0415
        from actors.worker.http.endpoints import endpoints  # noqa: PLC0415
        from actors.worker.http.operator import Operator  # noqa: PLC0415
        from actors.worker.http.port import HttpPort  # noqa: PLC0415
        from actors.worker.http.recorder import Recorder  # noqa: PLC0415
    except ModuleNotFoundError as error:
        lacking = f"--http needs {error.name}: pip install 'mailslot[cli]'"
        raise UsageError(lacking) from error

    assert options.http is not None
    address, token = options.http, app.http_token
    module = options.target.partition(":")[0]
    recorder = Recorder(view)
    routes = endpoints(
        view,
        document=functools.partial(document, app, module),
        operator=None if token is None else Operator(token, act),
        recorder=recorder,
    )
    async with AsyncExitStack() as stack:
        stack.callback(recorder.close)
        recorder.begin()
        try:
            await stack.enter_async_context(HttpPort(address, routes))
        except OSError as error:
            known = error.errno is not None and error.errno > 0
            why = os.strerror(error.errno or 0).lower() if known else str(error)
            raise UsageError(f"--http {address[0]}:{address[1]}: {why}") from error
        yield


@asynccontextmanager
async def _link(app: Worker[Any], assignment: Assignment) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(report_to_parent(app, assignment.pipe, app.request_stop)),
        asyncio.create_task(obey_parent(app, assignment.orders)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
