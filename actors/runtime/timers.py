"""Messages that an actor sends itself later."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any

from actors.runtime.messages.envelopes import CellHost, Envelope, call_hook
from actors.runtime.messages.errors import ActorStopped, MailboxFull
from actors.runtime.ref import ActorRef
from supervisor import Clock, Timer
from supervisor.checks import is_number, problems_of_seconds


class _Tick(Envelope):
    """A timer's message; not delivered if the timer was cancelled."""

    __slots__ = ("due", "interval", "key", "message", "timer", "timers", "waits")
    sheddable = True

    def __init__(
        self, timers: Timers, key: Hashable, message: Any, due: float, interval: float | None
    ) -> None:
        self.timers = timers
        self.key = key
        self.message = message
        self.due = due
        self.interval = interval
        self.waits = False  # whether it is in the mailbox
        self.timer: Timer | None = None

    def deliver(self, cell: CellHost) -> Awaitable[None] | None:
        self.waits = False
        if not self.timers.arrived(self):
            return None
        return call_hook(cell.receive, self.message)

    def failed(self, cell: CellHost, error: BaseException) -> Any:
        return self.message

    def shed(self, path: str) -> None:
        self.timers.lost(self)


class Timers:
    """One incarnation's timers, by key: a new timer replaces the one with the same key.

    Once a timer was cancelled, or its incarnation ended, its message is not delivered any more,
    even if it is in the mailbox already.
    """

    __slots__ = ("_clock", "_closed", "_ref", "_ticks")

    def __init__(self, ref: ActorRef[Any], clock: Clock) -> None:
        self._ref = ref
        self._clock = clock
        self._closed = False
        self._ticks: dict[Hashable, _Tick] = {}

    def after(self, delay: float, message: Any, *, key: Hashable = None) -> Hashable:
        """Send ``message`` once, ``delay`` seconds from now.

        Args:
            key: for :meth:`cancel`; by default the message, or an object of its own where the
                message is not hashable.

        Returns:
            the key.
        """
        if not is_number(delay):
            raise ValueError(f"the delay must be a number of seconds, not {delay!r}")
        return self._set(delay, None, message, key)

    def every(self, interval: float, message: Any, *, key: Hashable = None) -> Hashable:
        """Send ``message`` every ``interval`` seconds, first one interval from now.

        The times do not drift. A message is left out, and not made up for, if the loop was blocked
        or the one before it still waits in the mailbox.
        """
        for problem in problems_of_seconds("the interval", interval):
            raise ValueError(problem)
        return self._set(interval, interval, message, key)

    def cancel(self, key: Hashable) -> bool:
        """Cancel a timer; return whether there was one."""
        tick = self._ticks.pop(key, None)
        if tick is not None and tick.timer is not None:
            tick.timer.cancel()
        return tick is not None

    def cancel_all(self) -> None:
        """Cancel all timers."""
        for key in list(self._ticks):
            self.cancel(key)

    def close(self) -> None:
        """Cancel all timers, and accept no new ones."""
        self._closed = True
        self.cancel_all()

    def arrived(self, tick: _Tick) -> bool:
        """Return whether ``tick`` is to be delivered: its timer was not cancelled."""
        if self._ticks.get(tick.key) is not tick:
            return False
        if tick.interval is None:
            del self._ticks[tick.key]
        return True

    def lost(self, tick: _Tick) -> None:
        """Take note that there was no room for ``tick`` in the mailbox."""
        tick.waits = False
        if tick.interval is None and self._ticks.get(tick.key) is tick:
            del self._ticks[tick.key]

    def _set(self, delay: float, interval: float | None, message: Any, key: Hashable) -> Hashable:
        if self._closed:
            raise ActorStopped(f"{self._ref.path}: no timer can be set: its incarnation is over")
        key = _key_of(message) if key is None else key
        self.cancel(key)
        tick = _Tick(self, key, message, self._clock.time() + delay, interval)
        self._ticks[key] = tick
        tick.timer = self._clock.call_later(delay, lambda: self._fire(tick))
        return key

    def _fire(self, tick: _Tick) -> None:
        tick.timer = None
        if tick.interval is not None:
            now = self._clock.time()
            tick.due += tick.interval * (int((now - tick.due) / tick.interval) + 1)
            tick.timer = self._clock.call_later(tick.due - now, lambda: self._fire(tick))
        if tick.waits:
            return
        tick.waits = True
        try:
            self._ref.tell(tick)
        except MailboxFull:
            self.lost(tick)
            self._ref._cell.system.dead_letters.add(self._ref.path, tick.message)


def _key_of(message: Any) -> Hashable:
    try:
        hash(message)
    except TypeError:
        return object()
    key: Hashable = message
    return key
