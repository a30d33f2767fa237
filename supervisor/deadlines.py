"""One timer for the deadlines of all children of a supervisor.

A child has at most one deadline at a time: for its start, for its stop, or for its grace period
after it was cancelled. Nearly all deadlines are dropped unused, and a timer for each would be a
large part of the cost of a child. So they share one timer. It is armed for the earliest deadline,
stays armed when that one is dropped, and is armed anew when it fires.
"""

from __future__ import annotations

import math
from typing import Protocol

from supervisor.clock import Clock, Timer

# A timer may fire a rounding error early.
_SLACK = 1e-6


class HasDeadline(Protocol):
    """Has a deadline."""

    def deadline_passed(self) -> None:
        """Act: the deadline has passed."""


class Deadlines:
    """Many deadlines, one for each thing."""

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
