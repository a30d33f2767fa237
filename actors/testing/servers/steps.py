"""One sequence of steps for asyncio and for threads: a generator that yields how long to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeAlias

__all__ = ["Steps", "drive", "drive_sync"]

Steps: TypeAlias = Generator[float, None, None]


async def drive(steps: Steps) -> None:
    """Take the steps, sleeping with asyncio; a cancellation ends them with GeneratorExit."""
    with closing(steps):
        for delay in steps:
            await asyncio.sleep(delay)


def drive_sync(steps: Steps) -> None:
    """Take the steps, blocking the thread between them."""
    with closing(steps):
        for delay in steps:
            time.sleep(delay)
