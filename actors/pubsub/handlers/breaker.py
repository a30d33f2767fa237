"""The breaker of one handler: stop calling what fails every time (pure).

    CLOSED --limit consecutive failures--> OPEN --cooldown--> HALF_OPEN --success--> CLOSED
                                             ^                    | failure
                                             +--------------------+

While it is open messages go to the failure sink without the handler being called; half-open, one
message is the trial. What does not decode is no failure of the handler's, and counts for nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from supervisor import SpecError

__all__ = ["Breaker", "BreakerOpenError", "BreakerState", "BreakerStatus"]


class BreakerOpenError(Exception):
    """The handler was not called: it has failed on every one of the last messages."""


class BreakerStatus(StrEnum):
    """Whether the handler is called."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(msgspec.Struct, frozen=True):
    """When a handler is no longer called.

    Attributes:
        limit: consecutive failures after which it opens.
        cooldown: seconds until the next trial.
    """

    limit: int = 100
    cooldown: float = 5.0

    def __post_init__(self) -> None:
        problems = []
        if self.limit < 1:
            problems.append(f"limit must be 1 or more, not {self.limit}")
        if self.cooldown <= 0:
            problems.append(f"cooldown must be more than 0 seconds, not {self.cooldown}")
        if problems:
            raise SpecError("breaker", problems)


class BreakerState:
    """One handler's breaker: told of outcomes, asked before a call while it is not closed.

    Args:
        spec: when it opens, and for how long.
        handler: whose it is, in reports.
        channel: what that handler is subscribed to.

    Attributes:
        status: see the module's docstring.
        ok: set by whoever runs the handler after each success, which is all that a success costs
            while the breaker is closed.
        trips: how many times it has opened.
    """

    __slots__ = ("_failures", "_spec", "_until", "channel", "handler", "ok", "status", "trips")

    def __init__(self, spec: Breaker, handler: str = "", channel: Any = "") -> None:
        self._spec = spec
        self.handler = handler
        self.channel = channel
        self._failures = 0
        self._until = 0.0
        self.ok = False
        self.status = BreakerStatus.CLOSED
        self.trips = 0

    def failed(self, now: float) -> bool:
        """Count a failure at ``now``; return whether the breaker opened by it."""
        self._failures = 1 if self.ok else self._failures + 1
        self.ok = False
        if self.status is BreakerStatus.CLOSED and self._failures < self._spec.limit:
            return False
        opened = self.status is not BreakerStatus.OPEN
        self.trips += self.status is BreakerStatus.CLOSED
        self.status = BreakerStatus.OPEN
        self._until = now + self._spec.cooldown
        return opened

    def allows(self, now: float) -> bool:
        """Return whether the handler is to be called at ``now``."""
        if self.status is BreakerStatus.OPEN and now >= self._until:
            self.status = BreakerStatus.HALF_OPEN
            return True
        return self.status is BreakerStatus.CLOSED

    def spared(self) -> None:
        """Note a message that was no trial, because the handler never saw it: the next one is."""
        if self.status is BreakerStatus.HALF_OPEN:
            self.status = BreakerStatus.OPEN

    def succeeded(self) -> bool:
        """Count a success; return whether the breaker closed by it."""
        closed = self.status is not BreakerStatus.CLOSED
        self.status = BreakerStatus.CLOSED
        self._failures = 0
        self.ok = True
        return closed
