"""The end of a process at a time, whatever holds it up: a handler, a thread, the event loop.

Python waits for threads when it ends, and asyncio for tasks that swallow their cancellation. A
worker that has been told to be gone must not: its orchestrator would kill it, and call it a crash.
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

__all__ = ["HardEnd"]

log = get_logger("mailslot.worker")

#: Seconds for what was printed and logged to get out: whoever reads it may have stopped reading.
_FLUSH: Final = 0.5


class HardEnd:
    """When this process ends at the latest, and with what code.

    Attributes:
        at: when, on the monotonic clock; infinity: whenever it likes.
        code: its exit code then.
        first: called before the end: children are taken along, for instance.
    """

    def __init__(self, exit: Callable[[int], object] = os._exit) -> None:
        self.at = math.inf
        self.code = 0
        self.first: Callable[[], object] = lambda: None
        self._exit = exit

    def within(self, seconds: float, code: int) -> None:
        """Have it end with ``code``, ``seconds`` from now at the latest, or when it was to before.

        Whoever watches the time must have a look at ``at`` afterwards.
        """
        self.at = min(self.at, time.monotonic() + seconds)
        self.code = code

    def now(self, code: int, why: str) -> None:
        """End the process, without waiting for anything but what it has written."""
        with contextlib.suppress(Exception):
            self.first()
        # In a thread: one that holds the lock of a stream that nobody reads holds it for ever.
        flushing = threading.Thread(target=_last_words, args=(code, why), daemon=True)
        with contextlib.suppress(RuntimeError):  # no threads any more: it ends by itself
            flushing.start()
            flushing.join(_FLUSH)
        self._exit(code)


def _last_words(code: int, why: str) -> None:
    log.error("forced_end", code=int(code), reason=why)
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
