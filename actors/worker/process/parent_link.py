"""What a parent tells a child process, and what the child reports.

The parent tells the child its assignment in an environment variable, and later what an operator
wants, through a pipe. The child writes lines to a
pipe, as signs of life: four times a second until when it has handled everything, and about every
second a snapshot. If the pipe breaks the parent is gone, and the child drains.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

import msgspec

from actors.worker.observe.snapshot import Snapshot, State
from actors.worker.run.app import Worker
from actors.worker.run.controls import Action, Refused, control
from actors.worker.run.settings import Previous
from supervisor.forks import close_in_forks, forget
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: The environment variable with the assignment of a child process.
VARIABLE: Final = "MAILSLOT_CHILD"
_EVERY: Final = 0.25
_SNAPSHOTS: Final = 1.0
#: The share of its time that a process may spend on snapshots; a snapshot of ten thousand handlers
#: takes 0.2 s.
_SHARE: Final = 0.1


class Assignment(msgspec.Struct, frozen=True):
    """What a parent tells a child process."""

    index: int  # the number of the process, from 0
    partition: str  # the names that fall to it, ``I/N``
    pipe: int  # the file descriptor to write lines to
    orders: int  # the file descriptor to read an operator's actions from
    previous: Previous | None = None  # the process that it replaces
    url: str | None = None  # the broker, instead of the app's own

    @classmethod
    def from_environment(cls) -> Assignment | None:
        """Return the assignment of this process; None: it has no parent."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        assignment = msgspec.json.decode(text, type=cls)
        # Processes that this one starts get no copy.
        for descriptor in (assignment.pipe, assignment.orders):
            os.set_inheritable(descriptor, False)
            close_in_forks(descriptor)
        return assignment


class Line(msgspec.Struct, frozen=True):
    """One sign of life of a child."""

    handled_until: float  # every message that arrived before this time (Unix seconds) was handled
    state: State  # the state of the worker
    lag: float = 0.0  # the longest delay of the event loop in the last five seconds, in seconds
    snapshot: Snapshot | None = None  # sent now and then


async def obey_parent(app: Worker[object], pipe: int) -> None:
    """Do what an operator wants, one line of ``pipe`` after another, until the parent is gone."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(pipe, "rb", buffering=0)
    )
    try:
        while line := await lines.readline():
            try:
                control(app, msgspec.json.decode(line, type=Action))
            except Refused as error:
                log.error("operator_refused", reason=str(error))
    finally:
        forget(pipe)
        transport.close()


async def report_to_parent(app: Worker[object], pipe: int, parent_gone: Callable[[], None]) -> None:
    """Write lines to ``pipe`` until cancelled; call ``parent_gone`` if the pipe breaks."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(pipe, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    encoder = msgspec.json.Encoder()
    due, was = 0.0, app.state
    try:
        while True:
            begun = loop.time()
            # A change of state sends a snapshot at once.
            wanted = app.started and (begun >= due or app.state is not was)
            was = app.state
            snapshot = app.snapshot() if wanted else None
            line = Line(app.handled_until(), was, app.lag, snapshot)
            writer.write(encoder.encode(line) + b"\n")
            if snapshot is not None:
                due = begun + max(_SNAPSHOTS, (loop.time() - begun) / _SHARE) - _EVERY / 2
            await writer.drain()
            await asyncio.sleep(_EVERY)
    except (ConnectionError, BrokenPipeError):
        log.error("parent_gone", action="this process drains and exits")
        parent_gone()
    finally:
        forget(pipe)
        transport.abort()
