"""The Clock seam: every delay and deadline of the supervisor goes through it.

Tests inject a virtual clock and step through minutes of back-off in no time; nothing here is ever
patched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

__all__ = ["Clock", "LoopClock", "Timer"]


class Timer(Protocol):
    """A pending call that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""


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
        # Bound once: read on every restart decision and stop, and for each ask. asyncio's own loops
        # say what monotonic() says, by a call more.
        own = getattr(type(self._loop), "time", None) is asyncio.BaseEventLoop.time
        self.time: Callable[[], float] = monotonic if own else self._loop.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run ``callback`` once, ``delay`` seconds from now."""
        return self._loop.call_later(delay, callback)
