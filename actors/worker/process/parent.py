"""The parent of several worker processes: a supervisor whose children are processes.

Channels are distributed among the processes. A process that dies is restarted while the others go
on; it is told until when the previous one had handled everything, so that its handlers are told the
gap.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.worker.observe.snapshot import WorkerSnapshot
from actors.worker.observe.stacks import print_report
from actors.worker.process.child import ChildProcess
from actors.worker.process.runner import RunOptions
from actors.worker.process.signals import Acts, Signals
from actors.worker.run.controls import Act, Action, Refused
from actors.worker.run.exit_codes import ExitCode
from actors.worker.run.partition import Partition
from supervisor import (
    Child,
    ChildSpec,
    ExitReason,
    Restart,
    StartFailed,
    Supervisor,
    SupervisorError,
    SupervisorSpec,
)
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: Seconds after its drain deadline at which a process is killed.
_GRACE: Final = 3.0


class ProcessDied(Exception):
    """A worker process ended without being asked to."""

    def __init__(self, process: ChildProcess) -> None:
        self.code = process.code
        super().__init__(f"process {process.index} {process.how}")


class Processes:
    """The processes of the worker ``name``, and their supervisor.

    Each process has ``drain_timeout`` seconds to drain, and its shutdown hooks ``hook_seconds``
    more. With ``options.reload``, a process that ends is not restarted before a file changes.
    """

    def __init__(
        self, name: str, drain_timeout: float, hook_seconds: float, options: RunOptions
    ) -> None:
        self.name = name
        self._restart = Restart.TEMPORARY if options.reload else Restart.PERMANENT
        self._grace = drain_timeout + hook_seconds + _GRACE
        self._forced = hook_seconds + _GRACE
        self.processes = [
            ChildProcess(index, share, options.command(), options.url)
            for index, share in enumerate(_shares(options))
        ]
        # Dynamic, and without first children: the processes are independent, so they stop side by
        # side, and start_child() starts them side by side.
        self._supervisor = Supervisor(SupervisorSpec(dynamic=True), path=name)
        # The exit codes of processes that were asked to stop, by number.
        self._codes: dict[int, int] = {}
        self._failed = ExitCode.DRAINED
        self._start_failed: StartFailed | None = None

    def _spec(
        self, process: ChildProcess, on_gone: Callable[[ExitReason], None] | None = None
    ) -> ChildSpec:
        return ChildSpec(
            f"process-{process.index}",
            functools.partial(self._run_child, process),
            restart=self._restart,
            shutdown=self._grace,
            kind="process",
            on_gone=on_gone,
        )

    async def _run_child(self, process: ChildProcess, child: Child) -> None:
        child.describe = lambda: {"pid": process.pid, "partition": str(process.partition)}
        child.on_stop(lambda _deadline: process.ask_to_stop(), while_starting=True)
        try:
            await process.run(child.started, stopping=lambda: child.stopping)
        finally:
            # In a finally clause: this task is cancelled if the process has to be killed.
            if child.stopping:
                self._codes[process.index] = code = process.exit_code()
                if code == ExitCode.DEADLINE and process.code != code:
                    log.error("not_drained", process=process.index, reason=process.how)
        if not child.stopping:
            if process.code is not None and process.code < 0:
                # Somebody killed the process: that says nothing about whether it can start.
                child.started()
            raise ProcessDied(process)

    # -- run and stop ------------------------------------------------------------------------------

    async def run(self, signals: Signals, changes: AsyncIterator[Any] | None) -> int:
        """Run until a signal asks to stop; return the exit code.

        Args:
            signals: the signals of this process.
            changes: changed files, as watchfiles yields them; each change restarts all processes.
        """
        supervisor = self._supervisor
        signals.end.first = self.kill
        signals.attach(
            Acts(
                supervisor.request_stop,
                self._force,
                self._show,
                self._grace,
                cancelling=self._forced,
            )
        )
        watching = None if changes is None else asyncio.ensure_future(self._reload_on(changes))
        if watching is not None:
            watching.add_done_callback(self._watch_ended)
        try:
            supervisor.begin()
            for process in self.processes:
                supervisor.start_child(self._spec(process, on_gone=self._gone))
            reason = await supervisor.wait()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
        if self._start_failed is not None:
            return _code_of(self._start_failed.error)
        if signals.stages.forced:
            return signals.stages.forced_code
        if not reason.normal:
            log.error("gave_up", reason=str(reason))
            return ExitCode.GAVE_UP
        return max([*self._codes.values(), self._failed])

    def _gone(self, reason: ExitReason) -> None:
        """Stop all processes if one has failed to start for the first time."""
        if isinstance(reason, StartFailed) and not self._supervisor.ending:
            self._start_failed = reason
            self._supervisor.request_stop()

    def _watch_ended(self, watching: asyncio.Future[None]) -> None:
        """Stop if nothing watches the files any more: nothing would restart the processes."""
        error = None if watching.cancelled() else watching.exception()
        if error is not None:
            log.error("gave_up", reason=f"{type(error).__name__}: {error}", exc_info=error)
            self._failed = ExitCode.GAVE_UP
            self._supervisor.request_stop()

    def _show(self) -> None:
        """Print the tree, and have each process print its own report."""
        print_report(self.worker_snapshot().tree)
        for process in self.processes:
            process.report()

    def _force(self) -> None:
        """End the drain of all processes; kill those that go on nevertheless."""
        for process in self.processes:
            process.terminate()
        self._supervisor.request_stop(self._supervisor.clock.time() + self._forced)

    def kill(self) -> None:
        """Kill all processes at once: none of them outlives its parent."""
        for process in self.processes:
            process.kill()

    async def _reload_on(self, changes: AsyncIterator[Any]) -> None:
        """Restart all processes with each change of a file."""
        async for changed in changes:
            files = sorted({Path(path).name for _, path in changed})[:5]
            log.info("reload", files=files)
            for process in self.processes:
                await self._supervisor.stop_child(f"process-{process.index}")
                process.note_end(f"reloaded: {', '.join(files)} changed")
            self._codes.clear()
            for process in self.processes:
                try:
                    child = self._supervisor.start_child(self._spec(process))
                    await child.wait_started()
                except SupervisorError as error:
                    log.error("not_started", process=process.index, reason=str(error))

    # -- what an operator wants --------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Do what ``action`` says: a drain is of all processes, all else is for one of them.

        Raises:
            Refused: there is no such process or handler, or the process does not listen.
        """
        if action.act is Act.DRAIN:
            log.warning("operator", act=action.act.value, handler="all")
            self._supervisor.request_stop()
            return
        process = next((one for one in self.processes if one.index == action.process), None)
        snapshot = None if process is None else process.latest()
        if process is None or snapshot is None:
            raise Refused(f"there is no process {action.process}, or it has not reported yet")
        if all(handler.path != action.path for handler in snapshot.handlers):
            raise Refused(f"there is no handler {action.path!r}")
        process.act(action)

    # -- snapshots ---------------------------------------------------------------------------------

    def worker_snapshot(self) -> WorkerSnapshot:
        """Return the snapshot of the whole worker: the latest of each process."""
        states = tuple(process.state() for process in self.processes)
        snapshots = tuple(one for p in self.processes if (one := p.latest()) is not None)
        below = {f"process-{one.process}": (one.tree,) for one in snapshots}
        tree, replace = self._supervisor.tree(), msgspec.structs.replace
        nodes = tuple(replace(node, children=below.get(node.id, ())) for node in tree.children)
        tree = replace(tree, children=nodes)
        return WorkerSnapshot(self.name, states, len(states), snapshots, tree)


def _shares(options: RunOptions) -> list[Partition]:
    """Return the names that fall to each process; in a fleet that changes all the time."""
    if options.fleet is not None:
        return [options.partition] * options.processes
    return options.partition.split(options.processes)


def _code_of(error: BaseException | None) -> int:
    """Return the exit code of a failed start: that of the process that failed, if it has one."""
    if isinstance(error, ProcessDied) and error.code is not None and error.code > 0:
        return error.code
    log.error("gave_up", reason=str(error))
    return ExitCode.GAVE_UP
