"""One worker process as its parent sees it: started, listened to, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from actors.worker.observe.health import MOST_LAG
from actors.worker.observe.snapshot import ProcessState, Snapshot, State
from actors.worker.process.parent_link import VARIABLE, Assignment, Line
from actors.worker.process.report_pipe import ReportPipe
from actors.worker.run.controls import Action, Refused
from actors.worker.run.exit_codes import ExitCode
from actors.worker.run.partition import Partition
from actors.worker.run.settings import Previous
from supervisor.forks import close_in_forks, forget
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: Seconds without a line, of which there are four a second, that count as event loop lag.
_SILENT: Final = 1.0
_decoder = msgspec.json.Decoder(Line)


class ChildProcess:
    """One of several processes, through all its incarnations."""

    def __init__(
        self, index: int, partition: Partition, command: Sequence[str], url: str | None = None
    ) -> None:
        self.index = index
        self.partition = partition
        self.pid: int | None = None  # while it runs
        #: The exit code of the last incarnation; negative: the signal that killed it.
        self.code: int | None = None
        self.seen_at: float | None = None  # when it gave its last sign of life, in Unix seconds
        self.snapshot: Snapshot | None = None  # the latest that it sent
        self.restarts = -1
        self._command = command
        self._url = url  # the broker, instead of the app's own
        self._lag = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._orders: int | None = None  # the pipe with an operator's actions, while it runs
        self._handled_until: float | None = None
        self._previous: Previous | None = None

    @property
    def how(self) -> str:
        """How the last incarnation ended, in words."""
        if self.code is not None and self.code < 0:
            return f"was killed by signal {-self.code} ({signal.Signals(-self.code).name})"
        return f"exited with {self.code}"

    def exit_code(self) -> int:
        """Return the exit code of the last incarnation, which was asked to stop."""
        # It was not started again, or it ended before it had a worker: there was nothing to drain.
        if self.code is None or self.seen_at is None:
            return ExitCode.DRAINED
        # A process that was killed has lost the messages in hand.
        return self.code if self.code >= 0 else ExitCode.DEADLINE

    def state(self) -> ProcessState:
        """Return its state for the worker's snapshot."""
        seen = None if self.seen_at is None else time.time() - self.seen_at
        return ProcessState(self.index, self.pid, seen, self.restarts)

    def latest(self) -> Snapshot | None:
        """Return its latest snapshot, with the lag of now; None: it sent none yet."""
        if self.snapshot is None or self.seen_at is None:
            return None
        silent = time.time() - self.seen_at
        lag = max(self._lag, silent) if silent > _SILENT else self._lag
        return msgspec.structs.replace(self.snapshot, lag=lag)

    # -- one incarnation ---------------------------------------------------------------------------

    async def run(self, started: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Run the process to its end; ``started`` is called when the worker in it runs."""
        self.restarts += 1
        self.seen_at = self.snapshot = self.code = None
        self._lag, self._asked = 0.0, False
        pipe, process = await self._start()
        self._process, self.pid = process, process.pid
        try:
            if stopping():
                self.ask_to_stop()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(pipe.lines, started))
                self.code = await process.wait()
                pipe.finish()
        except BaseException:
            if process.returncode is None:
                process.kill()
            self.code = await process.wait()
            raise
        finally:
            pipe.close()
            self._end_orders()
            self._process = self.pid = None
            self.note_end(f"process {self.index} {self.how}")

    def note_end(self, reason: str) -> None:
        """Note why it ended, for the handlers of the next incarnation."""
        if self._handled_until is not None:
            self._previous = Previous(self._handled_until, reason)

    async def _start(self) -> tuple[ReportPipe, asyncio.subprocess.Process]:
        ours, theirs = os.pipe()
        orders, self._orders = os.pipe()
        os.set_blocking(self._orders, False)
        close_in_forks(self._orders)
        try:
            assignment = Assignment(
                self.index, str(self.partition), theirs, orders, self._previous, self._url
            )
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs, orders],
                env={**os.environ, VARIABLE: msgspec.json.encode(assignment).decode()},
                # Ctrl-C in a terminal goes to the parent alone, which asks its children to stop.
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            self._end_orders()
            raise
        finally:
            os.close(theirs)
            os.close(orders)
        pipe = ReportPipe(ours)
        await pipe.open()
        return pipe, process

    async def _listen(self, lines: asyncio.StreamReader, started: Callable[[], None]) -> None:
        """Read lines until the process ends, or closes the pipe."""
        up = False
        while text := await self._read(lines):
            try:
                line = _decoder.decode(text)
            except msgspec.DecodeError:  # the process died while it wrote the line
                continue
            self.seen_at = time.time()
            self._lag = line.lag
            if line.state in (State.RUNNING, State.DRAINING):
                self._handled_until = line.handled_until
            if line.snapshot is not None:
                self.snapshot = line.snapshot
            if not up and line.state is State.RUNNING:
                up = True
                started()

    async def _read(self, lines: asyncio.StreamReader) -> bytes:
        """Return the next line; log if it is late."""
        silent = False
        while True:
            try:
                async with asyncio.timeout(MOST_LAG):
                    text = await lines.readline()
            except TimeoutError:
                if self.seen_at is not None and not silent:
                    silent = True
                    log.error("process_silent", process=self.index, pid=self.pid, seconds=MOST_LAG)
            else:
                if silent and text:
                    log.warning("process_answers", process=self.index, pid=self.pid)
                return text

    # -- what an operator wants --------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Have the process do what ``action`` says, and return at once.

        Raises:
            Refused: it does not run, or has not read what it was told before.
        """
        if self._orders is None:
            raise Refused(f"process {self.index} is down")
        line = msgspec.json.encode(action) + b"\n"
        if len(line) > select.PIPE_BUF:  # fewer bytes enter a pipe whole, or not at all
            raise Refused("the name of the handler is too long")
        try:
            os.write(self._orders, line)
        except (BlockingIOError, BrokenPipeError):
            raise Refused(f"process {self.index} does not listen") from None

    def _end_orders(self) -> None:
        if self._orders is not None:
            forget(self._orders)
            os.close(self._orders)
            self._orders = None

    # -- signals -----------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Send the first SIGTERM; a second one would end the drain."""
        if self._process is not None and not self._asked:
            self._asked = True
            self.terminate()

    def terminate(self) -> None:
        """Send SIGTERM: the first one begins the drain, the second one ends it."""
        self._signal(signal.SIGTERM)

    def report(self) -> None:
        """Have it print its tree and stacks; while it starts, SIGUSR1 would end it."""
        if self.snapshot is not None and self.snapshot.state is State.RUNNING:
            self._signal(signal.SIGUSR1)

    def _signal(self, signum: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signum)

    def kill(self) -> None:
        """Kill it at once; may be called from any thread."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
