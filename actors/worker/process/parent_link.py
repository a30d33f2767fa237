"""Between a parent and one of its processes: what the child is told, and its signs of life.

The child is told by an environment variable; it answers on a pipe, a line at a time: the time up to
which all that came was handled, four times a second, and each second a snapshot, or less often
where that is a lot of work. When the pipe breaks the parent is gone, and the child drains.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

import msgspec

from actors.worker.observe.snapshot import Snapshot, State
from actors.worker.run.app import Worker
from actors.worker.run.settings import Previous
from supervisor.log import get_logger

__all__ = ["VARIABLE", "Assignment", "Line", "parse_line", "report_to_parent"]

log = get_logger("mailslot.worker")

#: The environment variable that makes a process a child.
VARIABLE: Final = "MAILSLOT_CHILD"
_EVERY: Final = 0.25
_SNAPSHOTS: Final = 1.0
#: The share of its time that a process may spend on snapshots: one of ten thousand handlers takes a
#: fifth of a second.
_SHARE: Final = 0.1


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
        lag: how late its event loop was at its worst lately, in seconds.
        snapshot: what it says of itself, now and then.
    """

    handled_until: float
    state: State
    lag: float = 0.0
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
    due, was = 0.0, app.state
    try:
        while True:
            begun = loop.time()
            # Whatever it is due: the one after it came up tells at once what there is.
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
        log.error("parent_gone", action="this process drains and ends")
        parent_gone()
    finally:
        transport.abort()
