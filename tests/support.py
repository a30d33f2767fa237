"""What every test module may need: waiting for a condition instead of for a time, a free port."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from actors.testing.servers.ports import PortReservation

__all__ = ["eventually", "free_port"]


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], timeout: float = 5.0, every: float = 0.005
) -> Any:
    """Return the value of ``condition()`` once it is truthy; AssertionError after ``timeout``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if loop.time() >= deadline:
            raise AssertionError(f"not within {timeout} s: {condition!r}, last value {value!r}")
        await asyncio.sleep(every)


def free_port(*, cluster: bool = False) -> int:
    """Return a port that is free now; with ``cluster`` its bus port is free, too."""
    reservation = PortReservation(cluster=cluster)
    reservation.close()
    return reservation.port
