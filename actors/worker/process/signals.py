"""What signals do to a worker, from the first line of ``mailslot run`` to its last.

=============  =========================================================================
SIGTERM        the first drains, the second cancels, the third exits at once
SIGINT         the same; both count together
SIGUSR1        prints the tree with mailbox depths, and the stack of every task, to stderr
=============  =========================================================================

They are read by a thread, from the pipe that Python's own handler writes their numbers to. So they
count while a handler holds the event loop, and while it is in C code, too; and the thread ends the
process when the event loop does not in time.
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

__all__ = ["Acts", "Signals", "StopAsked", "StopStages"]

#: Seconds beyond its own deadlines in which a process must have ended.
GRACE: Final = 2.0
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_ALL: Final = (*_STOPS, signal.SIGUSR1)
_LOOK_AGAIN: Final = b"\0"


class StopAsked(BaseException):
    """A signal came before there was anything to drain: raised in the main thread."""


class StopStages:
    """Counts the signals that ask for an end, and goes one step further with each.

    Args:
        drain: begins to drain.
        cancel: cancels what is left.
        exit: ends the process at once, with a code.
    """

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
        """Take the next step."""
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
        """Whether draining was called off."""
        return self.count > 1

    @property
    def forced_code(self) -> ExitCode:
        """What a process exits with that was forced."""
        return ExitCode.FORCED_INT if self.last == signal.SIGINT else ExitCode.FORCED_TERM


class Acts(msgspec.Struct, frozen=True):
    """What a run does about signals, in its event loop.

    Attributes:
        drain: about the first that asks for an end.
        cancel: about the second.
        show: about SIGUSR1.
        patience: seconds that draining may take until the process is ended by force.
        overdue: returns what it exits with then.
        cancelling: seconds that the second may take.
    """

    drain: Callable[[], object]
    cancel: Callable[[], object]
    show: Callable[[], object]
    patience: float
    overdue: Callable[[], int] = lambda: ExitCode.DEADLINE
    cancelling: float = 0.0


def _ignore() -> None:
    for signum in _ALL:
        signal.signal(signum, signal.SIG_IGN)


class Signals:
    """Takes the signals of this process, from :meth:`install` on until it is gone.

    Args:
        end: ends the process by force.
    """

    def __init__(self, end: HardEnd | None = None) -> None:
        self.end = HardEnd() if end is None else end
        self.stages = StopStages(self._drain, self._cancel, self._exit)
        self._acts: Acts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False
        self._before_fork = threading.local()
        self._read, self._write = os.pipe()

    def install(self) -> Signals:
        """Begin, in the main thread; there is no way back: a late signal is no reason to crash."""
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for signum in _ALL:
            signal.signal(signum, self._noticed)
        # Python's last steps take handlers away. Registered first, it is called last of all.
        atexit.register(_ignore)
        threading.Thread(target=self._watch, name="mailslot-signals", daemon=True).start()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._forget
        )
        return self

    def attach(self, acts: Acts) -> None:
        """Have the running event loop act on signals from now on, and on those that came before."""
        self._loop = asyncio.get_running_loop()
        self._acts = acts
        if self.stages.count:
            self._drain()
        if self.stages.forced:
            self._cancel()

    def limit(self, seconds: float, code: int) -> None:
        """Have the process end with ``code`` within ``seconds``: what is left is not waited for."""
        self.end.within(seconds, code)
        self._wake()

    def over(self) -> None:
        """The process is about to end by itself: there is nothing to interrupt any more."""
        self._over = True

    # -- in the main thread ------------------------------------------------------------------------

    def _noticed(self, signum: int, frame: Any) -> None:
        fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if fd != self._write:
            # Somebody else's loop has handlers of its own: its pipe got the number, so pass it on.
            if fd >= 0:
                signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
            with contextlib.suppress(BlockingIOError):
                os.write(self._write, bytes([signum]))
        if signum in _STOPS and self._acts is None and not self._over:
            raise StopAsked

    # A fork shares the pipe: what it is told would be taken for our end. From the fork until it has
    # let go of the pipe, its signals wait.

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
            ready, _, _ = select.select(
                [self._read], [], [], None if left == math.inf else max(0.0, left)
            )
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

    def _exit(self, code: int) -> None:
        self.end.now(code, "the third signal")

    def _call(self, act: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: it is about to end
            self._loop.call_soon_threadsafe(act)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, _LOOK_AGAIN)
