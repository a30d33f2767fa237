"""A check for what belongs to one event loop, and is used from another one."""

from __future__ import annotations

import asyncio
from typing import Any


def require_loop(loop: asyncio.AbstractEventLoop, what: Any) -> None:
    """Raise RuntimeError unless the caller runs in ``loop``, to which ``what`` belongs."""
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not loop:
        raise RuntimeError(
            f"{what} belongs to another event loop: use it only in the loop in which it was"
            " entered; from another thread, with asyncio.run_coroutine_threadsafe(..., loop)"
        )
