"""``mailslot run``: runs one process, or a parent of several."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.worker.process import log_setup as logs
from actors.worker.process.loader import load
from actors.worker.process.parent import Processes
from actors.worker.process.parent_link import Assignment
from actors.worker.process.runner import (
    RunOptions,
    assign,
    embedded,
    hook_seconds,
    run_worker,
    serve_http,
)
from actors.worker.process.signals import Signals, StopAsked
from actors.worker.run.app import Worker
from actors.worker.run.exit_codes import ExitCode

#: Seconds in which a process must exit when its worker has ended without draining in time.
_LAST: Final = 1.0


def launch(options: RunOptions) -> int:
    """Run a worker and return the exit code; the process exits soon after, by force if necessary.

    Raises:
        UsageError, SpecError: the app cannot be run.
    """
    signals = Signals()
    try:
        # First of all, so that a signal during a slow import of the app's module is handled too.
        signals.install()
        return _launch(options, signals)
    except StopAsked:
        stages = signals.stages
        return stages.forced_code if stages.forced else ExitCode.DRAINED
    finally:
        signals.over()


def _launch(options: RunOptions, signals: Signals) -> int:
    assignment = Assignment.from_environment()
    fields = {} if assignment is None else {"process": assignment.index}
    logs.configure(options.log_format, **fields)
    app = load(options.target)
    options.apply(app)
    if assignment is not None:
        assign(app, assignment)
    app.validate()
    if assignment is not None or (options.processes == 1 and not options.reload):
        running = run_worker(app, options, signals, assignment)
    else:
        running = _run_processes(app, options, signals)
    return asyncio.run(_settled(running, app.drain_timeout, signals))


async def _settled(running: Coroutine[Any, Any, int], patience: float, signals: Signals) -> int:
    """Return the exit code of ``running``, and set a deadline for the exit.

    asyncio waits for other tasks and threads, and Python for threads. After a drain in time these
    are the user's own, which have ``patience`` seconds; otherwise they are handlers that hang.
    """
    code = await running
    signals.limit(patience if code == ExitCode.DRAINED else _LAST, code)
    return code


async def _run_processes(app: Worker[Any], options: RunOptions, signals: Signals) -> int:
    async with AsyncExitStack() as stack:
        if options.embedded:
            url = await stack.enter_async_context(embedded(app))
            options = msgspec.structs.replace(options, url=url)
        if app.fleet is not None:
            fleet, ttl = app.fleet, app.fleet_ttl
            options = msgspec.structs.replace(options, fleet=fleet, fleet_ttl=ttl)
        processes = Processes(app.name, app.drain_timeout, hook_seconds(app), options)
        if options.http is not None:
            view, act = processes.worker_snapshot, processes.act
            await stack.enter_async_context(serve_http(options, app, view, act))
        changes = None
        if options.reload:
            from watchfiles import PythonFilter, awatch  # noqa: PLC0415 - for this alone

            changes = awatch(Path.cwd(), watch_filter=PythonFilter())
        return await processes.run(signals, changes)
    raise AssertionError("unreachable: nothing on the stack suppresses exceptions")
