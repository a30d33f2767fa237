"""The circuit breaker of one handler: stop calling a handler that always fails (pure).

    CLOSED --limit consecutive failures--> OPEN --cooldown--> HALF_OPEN --success--> CLOSED
                                             ^                    | failure
                                             +--------------------+

While the breaker is open, messages go to the failure sink and the handler is not called. Half-open,
one message is tried. A payload that does not decode is not the handler's failure, and not counted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from actors.pubsub.handlers.failure_span import FailureSpan
from supervisor import SpecError
from supervisor.checks import problems_of_count, problems_of_seconds


class BreakerOpenError(Exception):
    """The handler was not called: it has failed on every one of the last messages.

    Attributes:
        failures: what the handler failed on since it last handled a message; None where the error
            was not raised by a breaker.
    """

    failures: FailureSpan | None = None


class BreakerStatus(StrEnum):
    """Whether the handler is called."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(msgspec.Struct, frozen=True):
    """When a handler is no longer called.

    Attributes:
        limit: consecutive failures that open the breaker.
        cooldown: seconds until the next message is tried.
    """

    limit: int = 100
    cooldown: float = 5.0

    def __post_init__(self) -> None:
        problems = [
            *problems_of_count("limit", self.limit, least=1),
            *problems_of_seconds("cooldown", self.cooldown),
        ]
        if problems:
            raise SpecError("breaker", problems)


class BreakerState:
    """The state of one handler's breaker; asked before each call while it is not closed.

    Attributes:
        handler: the handler's name, for log lines.
        channel: the handler's subscription, for log lines.
        status: closed, open or half-open.
        ok: set after each success by whoever calls the handler: while the breaker is closed, a
            success costs no more than this.
        trips: how many times the breaker has opened.
        failures: the failures since the last success, while the breaker is not closed; None: there
            was none yet.
    """

    __slots__ = (
        "_spec",
        "_until",
        "_why",
        "channel",
        "failures",
        "handler",
        "ok",
        "status",
        "trips",
    )

    def __init__(self, spec: Breaker, handler: str = "", channel: Any = "") -> None:
        self._spec = spec
        self.handler = handler
        self.channel = channel
        self._until = 0.0
        self._why = ""
        self.failures: FailureSpan | None = None
        self.ok = False
        self.status = BreakerStatus.CLOSED
        self.trips = 0

    def failed(self, now: float, error: str = "", at: float = 0.0) -> bool:
        """Count a failure at ``now``; return whether the breaker has just opened.

        Args:
            now: the time on the breaker's clock.
            error: what the handler raised, as text.
            at: the time in Unix seconds, for whoever reads about the failure.
        """
        before = None if self.ok else self.failures
        span = FailureSpan.of(error, at) if before is None else before.then(error, at)
        self.failures = span
        self.ok = False
        if self.status is BreakerStatus.CLOSED and span.count < self._spec.limit:
            return False
        self._why = f"the breaker is open, the handler is not called: {span}"
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

    def open_error(self) -> BreakerOpenError:
        """Return the error of a message that the handler is not called with."""
        error = BreakerOpenError(self._why)
        error.failures = self.failures
        return error

    def spared(self) -> None:
        """Note that a message never reached the handler: the trial is the next message's."""
        if self.status is BreakerStatus.HALF_OPEN:
            self.status = BreakerStatus.OPEN

    def succeeded(self) -> bool:
        """Count a success; return whether the breaker has just closed."""
        closed = self.status is not BreakerStatus.CLOSED
        self.status = BreakerStatus.CLOSED
        self.failures = None
        self.ok = True
        return closed
