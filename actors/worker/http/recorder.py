"""Keeps the history of a worker: takes a sample of it every ten seconds, once it is asked to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from actors.worker.observe.history import EVERY, History
from actors.worker.observe.snapshot import WorkerSnapshot
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


class Recorder:
    """Fills ``history`` with samples of what ``view`` returns.

    A timer of the event loop takes them: the worker may be part of a program in which nobody starts
    and ends a task for it.
    """

    def __init__(self, view: Callable[[], WorkerSnapshot], every: float = EVERY) -> None:
        self.history = History()
        self._view = view
        self._every = every
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take samples from now on; in a loop where that has begun already, do nothing."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._sample()

    def close(self) -> None:
        """Take no more samples."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def _sample(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(self._every, self._sample)
        try:
            self.history.add(time.time(), self._view())
        except Exception as error:
            log.error("no_sample", error=repr(error), exc_info=error)
