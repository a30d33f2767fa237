"""Where the supervisor's time comes from: every delay and deadline goes through a Clock.

Tests hand in a virtual clock and step through minutes of back-off in no time.

A child has at most one deadline at a time: for its start, for its stop, or for its grace period
after it was cancelled. Nearly all deadlines are dropped unused, and a timer for each would be a
large part of the cost of a child. So all children of a supervisor share one timer
(:class:`Deadlines`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import Protocol

# A timer may fire a rounding error early.
_SLACK = 1e-6


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


class HasDeadline(Protocol):
    """What a deadline can be set for."""

    def deadline_passed(self) -> None:
        """Act: the deadline has passed."""


class Deadlines:
    """At most one deadline for each of many things, on one timer.

    The timer is armed for the earliest deadline, stays armed when that one is dropped, and is armed
    anew when it fires.
    """

    __slots__ = ("_at", "_clock", "_next", "_timer")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: dict[HasDeadline, float] = {}
        self._next = math.inf
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._at)

    def set(self, thing: HasDeadline, at: float) -> None:
        """Call ``thing.deadline_passed()`` once at ``at``; an earlier ``set`` is void."""
        self._at[thing] = at
        if at < self._next:
            self._arm(at)

    def drop(self, thing: HasDeadline) -> None:
        """Forget the deadline of ``thing``, if it has one."""
        self._at.pop(thing, None)

    def close(self) -> None:
        """Forget all of them."""
        self._at.clear()
        self._disarm()

    def _arm(self, at: float) -> None:
        self._disarm()
        self._next = at
        self._timer = self._clock.call_later(max(0.0, at - self._clock.time()), self._fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._next = math.inf

    def _fire(self) -> None:
        self._timer = None
        self._next = math.inf
        until = self._clock.time() + _SLACK
        for thing in [thing for thing, at in self._at.items() if at <= until]:
            # Another thing's measures may have dropped or moved it.
            if self._at.get(thing, math.inf) <= until:
                del self._at[thing]
                thing.deadline_passed()
        if self._at:
            earliest = min(self._at.values())
            if earliest < self._next:
                self._arm(earliest)


def stop_deadline(now: float, allowance: float | None, total: float | None) -> float | None:
    """Return when a child that is asked to stop at ``now`` is cancelled; None: never.

    Args:
        allowance: the child's own seconds; None: as long as it needs; 0: cancelled at once.
        total: the deadline of the whole supervisor, or None.
    """
    own = None if allowance is None else now + allowance
    if own is None:
        return total
    return own if total is None else min(own, total)
