"""One worker process as its parent has it: started, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from actors.worker.observe.health import MOST_LAG
from actors.worker.observe.snapshot import ProcessState, Snapshot, State
from actors.worker.process.parent_link import VARIABLE, Assignment, Line, parse_line
from actors.worker.run.exit_codes import ExitCode
from actors.worker.run.partition import Partition
from actors.worker.run.settings import Previous
from supervisor.log import get_logger

__all__ = ["ChildProcess"]

log = get_logger("mailslot.worker")

#: The longest line: a snapshot of some ten thousand handlers.
_LONGEST: Final = 64 * 1024 * 1024
#: Seconds without a line, of which there are four a second, that say that its loop is late.
_SILENT: Final = 1.0


class ChildProcess:
    """One of several processes, through all its incarnations.

    Args:
        index: which one.
        partition: its share.
        command: what runs it.

    Attributes:
        pid: its process id while it runs.
        code: how the last incarnation ended; negative for a signal.
        seen_at: when it last gave a sign of life, in Unix seconds.
        snapshot: what it last said of itself.
        lag: how late its event loop was, as it last said.
        restarts: how often it was started again.
    """

    def __init__(self, index: int, partition: Partition, command: Sequence[str]) -> None:
        self.index = index
        self.partition = partition
        self.pid: int | None = None
        self.code: int | None = None
        self.seen_at: float | None = None
        self.snapshot: Snapshot | None = None
        self.lag = 0.0
        self.restarts = -1
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._handled_until: float | None = None
        self._previous: Previous | None = None

    @property
    def how(self) -> str:
        """How the last incarnation ended, in words."""
        if self.code is not None and self.code < 0:
            return f"was killed by signal {-self.code} ({signal.Signals(-self.code).name})"
        return f"exited with {self.code}"

    def exit_code(self) -> int:
        """Return what the end of the last incarnation, which was asked for, says of its work."""
        if self.code is None:  # it was not started any more
            return ExitCode.DRAINED
        if self.code >= 0:
            return self.code
        # Killed, by us at its deadline or by somebody: what it had in hand, nobody handles. Before
        # its first sign of life it had nothing in hand, and took no signals.
        return ExitCode.DRAINED if self.seen_at is None else ExitCode.DEADLINE

    def describe(self) -> Mapping[str, Any]:
        """Return what the tree shows of it."""
        return {"pid": self.pid, "partition": str(self.partition)}

    def state(self) -> ProcessState:
        """Return it as its parent sees it now."""
        seen = None if self.seen_at is None else time.time() - self.seen_at
        return ProcessState(self.index, self.pid, seen, self.restarts)

    def latest(self) -> Snapshot | None:
        """Return what it last said of itself; its lag is that of now, also while it is silent."""
        if self.snapshot is None or self.seen_at is None:
            return None
        silent = time.time() - self.seen_at
        lag = max(self.lag, silent) if silent > _SILENT else self.lag
        return msgspec.structs.replace(self.snapshot, lag=lag)

    async def run(self, started: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Be one incarnation: return when the process has ended.

        Args:
            started: called once its worker is up.
            stopping: returns whether it was asked to stop.
        """
        self.restarts += 1
        self.seen_at = self.snapshot = None
        self.lag = 0.0
        self._asked, self.code = False, None
        reader, process = await self._start()
        self._process, self.pid = process, process.pid
        try:
            if stopping():
                self.ask_to_stop()
            await self._listen(reader, started)
            self.code = await process.wait()
        except BaseException:
            if process.returncode is None:
                process.kill()
            self.code = await process.wait()
            raise
        finally:
            self._process = self.pid = None
            self.note_end(f"process {self.index} {self.how}")

    def note_end(self, reason: str) -> None:
        """Note why it ended: its successor's handlers hear of it."""
        if self._handled_until is not None:
            self._previous = Previous(self._handled_until, reason)

    def ask_to_stop(self) -> None:
        """Ask it to stop, unless it was asked before: each signal takes it one step further."""
        if self._process is not None and not self._asked:
            self._asked = True
            self.terminate()

    def terminate(self) -> None:
        """Ask it to stop; once more to ask it to cancel what it drains."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; from any thread."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def report(self) -> None:
        """Have it print its tree and stacks; not while it starts: the signal would end it."""
        running = self.snapshot is not None and self.snapshot.state is State.RUNNING
        if running and self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGUSR1)

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.subprocess.Process]:
        ours, theirs = os.pipe()
        try:
            assignment = Assignment(self.index, str(self.partition), theirs, self._previous)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs],
                env={**os.environ, VARIABLE: msgspec.json.encode(assignment).decode()},
                # Ctrl-C in a terminal is for the parent, which tells its children once.
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
        )
        return reader, process

    async def _listen(self, reader: asyncio.StreamReader, started: Callable[[], None]) -> None:
        """Take its signs of life until there are no more."""
        up = False
        while line := await self._line(reader):
            sign = parse_line(line)
            if sign is None:
                continue
            self._note(sign)
            if not up and sign.state is State.RUNNING:
                up = True
                started()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """Return what it writes next, and say so if that takes long."""
        silent = False
        while True:
            try:
                async with asyncio.timeout(MOST_LAG):
                    line = await reader.readline()
            except TimeoutError:
                if self.seen_at is not None and not silent:
                    silent = True
                    log.error("process_silent", process=self.index, pid=self.pid, seconds=MOST_LAG)
            else:
                if silent and line:
                    log.warning("process_answers", process=self.index, pid=self.pid)
                return line

    def _note(self, sign: Line) -> None:
        self.seen_at = time.time()
        self.lag = sign.lag
        if sign.state in (State.RUNNING, State.DRAINING):
            self._handled_until = sign.handled_until
        if sign.snapshot is not None:
            self.snapshot = sign.snapshot
