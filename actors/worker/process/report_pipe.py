"""The parent's end of the pipe to which a worker process writes its signs of life."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from supervisor.forks import close_in_forks, forget

#: The longest line: a snapshot of about ten thousand handlers.
_LONGEST: Final = 64 * 1024 * 1024
#: More bytes than any pipe holds.
_ALL: Final = 1024 * 1024


class ReportPipe:
    """The lines that one process writes; :meth:`finish` ends them when the process has ended."""

    def __init__(self, fd: int) -> None:
        self.lines = asyncio.StreamReader(limit=_LONGEST)
        self._fd = fd
        self._transport: asyncio.ReadTransport | None = None

    async def open(self) -> None:
        """Begin to read."""
        close_in_forks(self._fd)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.lines),
            os.fdopen(self._fd, "rb", buffering=0),
        )

    def finish(self) -> None:
        """Read what the process left in the pipe; the lines end there.

        The end of the pipe itself may be far: processes that the process forked may hold it open.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.pause_reading()
        try:
            self.lines.feed_data(os.read(self._fd, _ALL))
        except BlockingIOError:  # it is empty
            pass
        self.lines.feed_eof()

    def close(self) -> None:
        """Close it."""
        forget(self._fd)
        if self._transport is not None:
            self._transport.close()
