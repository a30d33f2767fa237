"""``mailslot run``: one process, or a parent of several."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from actors.worker import logs
from actors.worker.app import Worker
from actors.worker.exits import ExitCode
from actors.worker.link import Assignment
from actors.worker.loader import load
from actors.worker.processes import Processes
from actors.worker.runner import RunOptions, assign, embedded, run_worker, serve_http

__all__ = ["launch"]


def launch(options: RunOptions) -> int:
    """Run what the options say, and return the exit code.

    Raises:
        UsageError, SpecError: the app cannot be run.
    """
    assignment = Assignment.from_environment()
    fields = {} if assignment is None else {"process": assignment.index}
    logs.configure(options.log_format, **fields)
    app = load(options.target)
    options.apply(app)
    app.validate()
    if assignment is not None:
        assign(app, assignment)
        return asyncio.run(run_worker(app, options, assignment))
    if options.processes == 1 and not options.reload:
        return asyncio.run(run_worker(app, options))
    return asyncio.run(_run_processes(app, options))


async def _run_processes(app: Worker[Any], options: RunOptions) -> int:
    async with AsyncExitStack() as stack:
        if options.embedded:
            url = await stack.enter_async_context(embedded(app))
            options = msgspec.structs.replace(options, url=url)
        processes = Processes(
            app.name,
            _command(options),
            partition=options.partition,
            count=options.processes,
            drain_timeout=app.drain_timeout,
            restart="temporary" if options.reload else "permanent",
        )
        if options.http is not None:
            serving = serve_http(options.http, processes.worker_snapshot)
            await stack.enter_async_context(serving)
        watch = None
        if options.reload:
            from actors.worker.reload import reload_on_change  # noqa: PLC0415 - for this alone

            watch = reload_on_change
        return await processes.run(watch)
    return ExitCode.GAVE_UP  # an exit stack may suppress; this one has nothing that does


def _command(options: RunOptions) -> list[str]:
    """Return what runs one of the processes; which one it is, it is told by its environment."""
    command = [sys.executable, "-m", "actors.worker", "run", options.target]
    command += ["--log-format", options.log_format]
    if options.url is not None:
        command += ["--url", options.url]
    if options.drain_timeout is not None:
        command += ["--drain-timeout", str(options.drain_timeout)]
    return command
