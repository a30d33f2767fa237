"""What signals do to a worker.

=============  =========================================================================
SIGTERM        the first drains, the second cancels, the third exits at once
SIGINT         the same; both count together
SIGUSR1        prints the tree with mailbox depths, and the stack of every task, to stderr
=============  =========================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from actors.worker.exits import ExitCode
from supervisor import TreeNode

__all__ = ["StopStages", "handle_signals", "report"]


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
        exit: Callable[[int], object] = os._exit,
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


@contextmanager
def handle_signals(
    stages: StopStages, tree: Callable[[], TreeNode], pass_on: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Have the running loop act on signals within the context.

    Args:
        stages: what SIGTERM and SIGINT do.
        tree: what SIGUSR1 prints.
        pass_on: called after it, to have others print theirs.
    """
    loop = asyncio.get_running_loop()
    stops = (signal.SIGTERM, signal.SIGINT)
    for signum in stops:
        loop.add_signal_handler(signum, stages, signum)

    def show() -> None:
        print_report(tree())
        pass_on()

    loop.add_signal_handler(signal.SIGUSR1, show)
    try:
        yield
    finally:
        for signum in (*stops, signal.SIGUSR1):
            loop.remove_signal_handler(signum)


def print_report(tree: TreeNode) -> None:
    """Print :func:`report` to stderr."""
    with contextlib.suppress(OSError):  # nobody reads stderr any more
        sys.stderr.write(report(tree))
        sys.stderr.flush()


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Yield the frames of a task that waits, outermost first, down to what it waits for."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        # Coroutines, generators and asynchronous generators name the same things differently.
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                break
        else:
            return
        name = "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await"
        awaited = getattr(awaited, name, None)


def report(tree: TreeNode) -> str:
    """Return the tree and the stack of every task, as text."""
    out = io.StringIO()
    out.write(f"--- mailslot: tree of process {os.getpid()}\n{tree}\n")
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    out.write(f"--- mailslot: stacks of {len(tasks)} tasks\n")
    for task in tasks:
        out.write(f"{task.get_name()}\n")
        for frame in _frames(task):
            code = frame.f_code
            out.write(f"    {code.co_filename}:{frame.f_lineno} {code.co_qualname}\n")
    out.write("--- mailslot: end\n")
    return out.getvalue()
