"""Looks at a shared connection from time to time: are replies late or overdue, is it in use?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from actors.redis.shared.in_flight import InFlight
from actors.redis.wire.connection import Connection

# Seconds without a reply after which the oldest command is late.
_LATE: Final = 0.5
# Seconds to the next look at an overdue reply, where the loop was held or replies are arriving.
_GRACE: Final = 0.1


class ReplyWatch:
    """One timer for all commands: it is set for the oldest write.

    Args:
        in_flight: the commands in flight.
        timeout: seconds after which a reply is overdue; None: never.
        max_idle_time: seconds after the latest write after which the connection is unused; None:
            never.
        overdue: called with the time of the latest write whose replies are overdue.
        unused: called with the seconds for which the connection was not used.
        late: called twice a second while the oldest command waits for long.

    Attributes:
        used_at: the loop's time of the latest write.
    """

    def __init__(
        self,
        in_flight: InFlight,
        timeout: float | None,
        max_idle_time: float | None,
        *,
        overdue: Callable[[float], None],
        unused: Callable[[float], None],
        late: Callable[[], None] | None,
    ) -> None:
        self.used_at = 0.0
        self._in_flight = in_flight
        self._timeout = inf if timeout is None else timeout
        self._max_idle_time = inf if max_idle_time is None else max_idle_time
        self._overdue = overdue
        self._unused = unused
        self._late = late
        self._late_after = inf if late is None else _LATE
        self._first_look = min(self._timeout, self._late_after)
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connection: Connection) -> None:
        """Watch a new connection."""
        self._connection = connection
        self.used_at = self._loop.time()
        self._arm(self.used_at + self._max_idle_time)

    def wrote(self, now: float) -> None:
        """Note a write whose replies are to come."""
        self.used_at = now
        if self._timer is None or self._timer.when() > now + self._first_look:
            self._arm(now + self._first_look)

    def stop(self) -> None:
        """End the timer: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        self.stop()
        if at < inf:
            self._timer = self._loop.call_at(at, self._look, at)

    def _look(self, due: float) -> None:
        self._timer = None
        now = self._loop.time()
        oldest = self._in_flight.oldest_at
        if oldest is None:
            self._look_at_idle(now)
        elif now - oldest >= self._timeout:
            if now - due > _GRACE or self._still_answering(now, oldest):
                self._arm(now + _GRACE)  # a loop that is late has replies to read
            else:
                self._overdue(now - self._timeout)
        else:
            if self._late is not None and now - oldest >= self._late_after:
                self._late()
            self._arm(min(now + self._late_after, oldest + self._timeout))

    def _still_answering(self, now: float, oldest: float) -> bool:
        """Whether replies are on their way, and the oldest one is not too late by far."""
        assert self._connection is not None
        return now - self._connection.last_read < _GRACE and now - oldest < 2 * self._timeout

    def _look_at_idle(self, now: float) -> None:
        unused = now - self.used_at
        if unused < self._max_idle_time:
            self._arm(self.used_at + self._max_idle_time)
        else:
            self._arm(now + self._max_idle_time)
            self._unused(unused)
