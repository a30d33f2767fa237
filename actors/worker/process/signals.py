"""The signals of a worker process, from the start of ``mailslot run`` to the exit.

=============  =========================================================================
SIGTERM        the first drains, the second cancels, the third exits at once
SIGINT         the same; both count together
SIGUSR1        prints the tree with mailbox depths, and the stack of every task, to stderr
=============  =========================================================================

Python writes the numbers of signals to a pipe, and a thread reads that pipe. So signals count also
while a handler blocks the event loop, in C code even. The same thread exits by force if the event
loop does not end in time.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.worker.process.hard_exit import HardEnd
from actors.worker.run.exit_codes import ExitCode

#: Seconds after a deadline of the worker at which the process exits by force.
GRACE: Final = 2.0
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_ALL: Final = (*_STOPS, signal.SIGUSR1)


class StopAsked(BaseException):
    """Raised in the main thread by a signal that comes before there is anything to drain."""


class StopStages:
    """Counts SIGTERM and SIGINT together: the first drains, the second cancels, the third exits."""

    def __init__(
        self,
        drain: Callable[[], object],
        cancel: Callable[[], object],
        exit: Callable[[int], object],
    ) -> None:
        self.count = 0
        self.last: signal.Signals | None = None
        self._drain = drain
        self._cancel = cancel
        self._exit = exit

    def __call__(self, signum: signal.Signals) -> None:
        """Count a signal and act on it."""
        self.count += 1
        self.last = signum
        if self.count == 1:
            self._drain()
        elif self.count == 2:
            self._cancel()
        else:
            self._exit(self.forced_code)

    @property
    def forced(self) -> bool:
        """Whether a second signal ended the drain."""
        return self.count > 1

    @property
    def forced_code(self) -> ExitCode:
        """The exit code after a second signal."""
        return ExitCode.FORCED_INT if self.last == signal.SIGINT else ExitCode.FORCED_TERM


class Acts(msgspec.Struct, frozen=True):
    """How a run reacts to signals; the functions are called in its event loop."""

    drain: Callable[[], object]  # called for the first SIGTERM or SIGINT
    cancel: Callable[[], object]  # called for the second
    show: Callable[[], object]  # called for SIGUSR1
    patience: float  # seconds that the drain may take
    # returns the exit code for a drain that takes longer
    overdue: Callable[[], int] = lambda: ExitCode.DEADLINE
    cancelling: float = 0.0  # seconds that the cancellation may take


def _ignore() -> None:
    for signum in _ALL:
        signal.signal(signum, signal.SIG_IGN)


class Signals:
    """Handles the signals of this process, from :meth:`install` on until it exits."""

    def __init__(self) -> None:
        self.end = HardEnd()
        self.stages = StopStages(
            self._drain, self._cancel, lambda code: self.end.now(code, "the third signal")
        )
        self._acts: Acts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False
        self._before_fork = threading.local()
        self._read, self._write = os.pipe()

    def install(self) -> None:
        """Install the handlers, in the main thread; they stay until the process exits."""
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for signum in _ALL:
            signal.signal(signum, self._noticed)
        # Python removes handlers while it exits. Registered first, this is called last.
        atexit.register(_ignore)
        threading.Thread(target=self._watch, name="mailslot-signals", daemon=True).start()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._forget
        )

    def attach(self, acts: Acts) -> None:
        """Have the running event loop react to signals, also to those that came before."""
        self._loop = asyncio.get_running_loop()
        self._acts = acts
        if self.stages.count:
            self._drain()
        if self.stages.forced:
            self._cancel()

    def limit(self, seconds: float, code: int) -> None:
        """Exit with ``code`` within ``seconds``, by force if necessary."""
        self.end.within(seconds, code)
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")  # wakes the thread up

    def over(self) -> None:
        """Ignore further signals: the process is about to exit by itself."""
        self._over = True

    # -- in the main thread ------------------------------------------------------------------------

    def _noticed(self, signum: int, frame: Any) -> None:
        fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if fd != self._write:
            # An event loop with signal handlers took the pipe's place: pass the number on.
            if fd >= 0:
                signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
            with contextlib.suppress(BlockingIOError):
                os.write(self._write, bytes([signum]))
        if signum in _STOPS and self._acts is None and not self._over:
            raise StopAsked

    # A forked process shares the pipe: its signals would stop this one. They are blocked from the
    # fork until it has let go of the pipe.

    def _hold(self) -> None:
        self._before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before_fork.mask)

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        for signum in _ALL:
            if signal.getsignal(signum) == self._noticed:
                default = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
                signal.signal(signum, default)
        self._release()

    # -- in the thread -----------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            left = self.end.at - time.monotonic()
            timeout = None if left == math.inf else max(0.0, left)
            ready, _, _ = select.select([self._read], [], [], timeout)
            for number in os.read(self._read, 64) if ready else b"":
                if number in _STOPS:
                    self.stages(signal.Signals(number))
                elif number == signal.SIGUSR1 and self._acts is not None:
                    self._call(self._acts.show)
            if time.monotonic() >= self.end.at:
                self.end.now(self.end.code, "it did not end within its deadline")

    def _drain(self) -> None:
        acts = self._acts
        if acts is None:
            self.limit(GRACE, ExitCode.DRAINED)
        else:
            self.limit(acts.patience + GRACE, acts.overdue())
            self._call(acts.drain)

    def _cancel(self) -> None:
        acts = self._acts
        self.limit(GRACE + (0.0 if acts is None else acts.cancelling), self.stages.forced_code)
        if acts is not None:
            self._call(acts.cancel)

    def _call(self, act: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is exiting
            self._loop.call_soon_threadsafe(act)
