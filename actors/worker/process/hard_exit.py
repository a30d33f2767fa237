"""Ends a process at a given time, whatever a handler, a thread or the event loop does.

Python waits for threads when it exits, and asyncio for tasks that ignore their cancellation. A
worker that has to stop cannot wait: its orchestrator would kill it and count a crash.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: Seconds for writing out what was printed and logged; nobody may be reading it any more.
_FLUSH: Final = 0.5


class HardEnd:
    """The deadline at which this process exits by force."""

    def __init__(self, exit: Callable[[int], object] = os._exit) -> None:
        self.at = math.inf  # the deadline on the monotonic clock; infinity: there is none
        self.code = 0  # the exit code at the deadline
        #: Called before the forced exit, to kill children for instance.
        self.first: Callable[[], object] = lambda: None
        self._exit = exit

    def within(self, seconds: float, code: int) -> None:
        """Set ``code``, and move the deadline to ``seconds`` from now unless it is earlier."""
        self.at = min(self.at, time.monotonic() + seconds)
        self.code = code

    def now(self, code: int, why: str) -> None:
        """Exit at once; only what was printed and logged is written out."""
        with contextlib.suppress(Exception):
            self.first()
        # In a thread, because flushing a stream that nobody reads may block for ever.
        flushing = threading.Thread(target=_flush, args=(code, why), daemon=True)
        with contextlib.suppress(RuntimeError):  # Python is exiting and starts no threads
            flushing.start()
            flushing.join(_FLUSH)
        self._exit(code)


def _flush(code: int, why: str) -> None:
    log.error("forced_end", code=int(code), reason=why)
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
