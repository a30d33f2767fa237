"""Between a parent and one of its processes: what the child is told, and its signs of life.

The child is told by an environment variable; it answers on a pipe, a line at a time: the time up to
which all that came was handled, four times a second, and each second a snapshot. When the pipe
breaks the parent is gone, and the child drains.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

import msgspec

from actors.worker.app import Worker
from actors.worker.life import Previous
from actors.worker.snapshot import Snapshot, State
from supervisor.log import get_logger

__all__ = ["VARIABLE", "Assignment", "Line", "parse_line", "report_to_parent"]

log = get_logger("mailslot.worker")

#: The environment variable that makes a process a child.
VARIABLE: Final = "MAILSLOT_CHILD"
_EVERY: Final = 0.25
_SNAPSHOTS: Final = 4


class Assignment(msgspec.Struct, frozen=True):
    """What a child process is told by its parent.

    Attributes:
        index: which of the processes it is.
        partition: its share, ``I/N``.
        pipe: the descriptor to write signs of life to.
        previous: the process that it replaces.
    """

    index: int
    partition: str
    pipe: int
    previous: Previous | None = None

    @classmethod
    def from_environment(cls) -> Assignment | None:
        """Return what this process was told; None: it is nobody's child."""
        text = os.environ.pop(VARIABLE, None)
        return None if text is None else msgspec.json.decode(text, type=cls)


class Line(msgspec.Struct, frozen=True):
    """One sign of life.

    Attributes:
        handled_until: all that came before then was handled, in Unix seconds.
        state: what the worker is doing.
        snapshot: what it says of itself, now and then.
    """

    handled_until: float
    state: State
    snapshot: Snapshot | None = None


_decoder = msgspec.json.Decoder(Line)


def parse_line(line: bytes) -> Line | None:
    """Return what a child wrote; None for half a line, written by one that died of it."""
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        return None


async def report_to_parent(app: Worker[object], pipe: int, parent_gone: Callable[[], None]) -> None:
    """Write signs of life until cancelled."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(pipe, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    encoder = msgspec.json.Encoder()
    turn = 0
    try:
        while True:
            snapshot = app.snapshot() if turn % _SNAPSHOTS == 0 and app.started else None
            line = Line(app.handled_until(), app.state, snapshot)
            writer.write(encoder.encode(line) + b"\n")
            await writer.drain()
            running = app.state is State.RUNNING
            await asyncio.sleep(_EVERY)
            # The turn after it came up brings the first full snapshot at once.
            turn = 0 if not running and app.state is State.RUNNING else turn + 1
    except (ConnectionError, BrokenPipeError):
        log.error("parent_gone", action="this process drains and ends")
        parent_gone()
    finally:
        transport.abort()
