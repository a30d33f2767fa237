"""Steps that run in asyncio or in a thread: a generator yields the seconds to wait after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeAlias

Steps: TypeAlias = Generator[float, None, None]


async def drive(steps: Steps) -> None:
    """Run the steps and wait with asyncio.sleep; a cancellation closes the generator."""
    with closing(steps):
        for delay in steps:
            await asyncio.sleep(delay)


def drive_sync(steps: Steps) -> None:
    """Run the steps and wait with time.sleep."""
    with closing(steps):
        for delay in steps:
            time.sleep(delay)
