"""Where the supervisor's time comes from: every delay and deadline goes through a Clock.

Tests hand in a virtual clock and step through minutes of back-off in no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol


class Timer(Protocol):
    """A pending call that can be cancelled."""

    def cancel(self) -> None:
        """Cancel the call; harmless when it already ran."""


class Clock(Protocol):
    """Where time comes from."""

    def time(self) -> float:
        """Return monotonic seconds; only differences mean anything."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run ``callback`` once, ``delay`` seconds from now."""


class LoopClock:
    """The running event loop's own clock."""

    __slots__ = ("_loop", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        # Bound once: every restart, stop and ask reads it. The time of asyncio's own loops is
        # monotonic(), behind one more call.
        own = getattr(type(self._loop), "time", None) is asyncio.BaseEventLoop.time
        self.time: Callable[[], float] = monotonic if own else self._loop.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run ``callback`` once, ``delay`` seconds from now."""
        return self._loop.call_later(delay, callback)
