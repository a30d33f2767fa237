"""What a process uses: tasks, sockets, memory; and whether that stays the same, pure."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

__all__ = ["Vitals", "growth", "read_vitals"]

# How much more a process may use in the last third of a run than in the first. A connection through
# a proxy has five tasks and three sockets; after a fault a few more are open for a while.
_MORE_TASKS, _MORE_FILES, _MORE_BYTES = 24, 16, 16 * 2**20


class Vitals(msgspec.Struct, frozen=True):
    """A reading.

    Attributes:
        tasks: of the event loop.
        files: open descriptors, mostly sockets.
        memory: bytes in RAM.
    """

    tasks: int
    files: int
    memory: int


def read_vitals() -> Vitals:
    """Return what this process uses now, garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Vitals(
        tasks=len(asyncio.all_tasks()),
        files=len(os.listdir("/proc/self/fd")),
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def growth(readings: Sequence[Vitals]) -> list[str]:
    """Return what grew from the first third of the readings to the last third, in words."""
    third = len(readings) // 3
    if not third:
        return []
    first, last = readings[:third], readings[-third:]
    found = []
    for what, field, most in (
        ("tasks", "tasks", _MORE_TASKS),
        ("file descriptors", "files", _MORE_FILES),
        ("bytes of memory", "memory", _MORE_BYTES),
    ):
        before, after = (median(getattr(one, field) for one in part) for part in (first, last))
        if after - before > most:
            found.append(f"{what} grew from {before:g} to {after:g}")
    return found
