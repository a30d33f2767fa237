"""The report that SIGUSR1 prints: the tree with mailbox depths, and the stack of every task."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from supervisor import TreeNode
from supervisor.log import printable


def print_report(tree: TreeNode) -> None:
    """Print the tree and the stack of every task to stderr."""
    out = io.StringIO()
    out.write(f"--- mailslot: tree of process {os.getpid()}\n{tree}\n")
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    out.write(f"--- mailslot: stacks of {len(tasks)} tasks\n")
    for task in tasks:
        out.write(f"{printable(task.get_name())}\n")
        for frame in _frames(task):
            code = frame.f_code
            out.write(f"    {code.co_filename}:{frame.f_lineno} {code.co_qualname}\n")
    out.write("--- mailslot: end\n")
    with contextlib.suppress(OSError):  # stderr is closed
        sys.stderr.write(out.getvalue())
        sys.stderr.flush()


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Yield the frames of a waiting task, outermost first, down to what it awaits."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        # Coroutines, generators and async generators have different names for the same things.
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                break
        else:
            return
        name = "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await"
        awaited = getattr(awaited, name, None)
