"""Messages that an actor sends itself later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.runtime.errors import MailboxFull
from supervisor import Clock
from supervisor.clock import Timer

if TYPE_CHECKING:
    from actors.runtime.ref import ActorRef

__all__ = ["Timers"]


class Timers:
    """One incarnation's timers, by key: setting a key again replaces its timer."""

    __slots__ = ("_clock", "_ref", "_timers")

    def __init__(self, ref: ActorRef[Any], clock: Clock) -> None:
        self._ref = ref
        self._clock = clock
        self._timers: dict[object, Timer] = {}

    def after(self, delay: float, message: Any, *, key: object = None) -> None:
        """Send ``message`` once, ``delay`` seconds from now; ``key`` defaults to the message."""
        key = message if key is None else key
        self.cancel(key)

        def fire() -> None:
            del self._timers[key]
            self._send(message)

        self._timers[key] = self._clock.call_later(delay, fire)

    def every(self, interval: float, message: Any, *, key: object = None) -> None:
        """Send ``message`` every ``interval`` seconds, first one interval from now.

        The beat does not drift. A beat that a blocked loop missed is left out, not made up for.
        """
        if interval <= 0:
            raise ValueError(f"the interval must be more than 0 seconds, not {interval}")
        key = message if key is None else key
        self.cancel(key)
        due = self._clock.time() + interval

        def fire() -> None:
            nonlocal due
            now = self._clock.time()
            due += interval * (int((now - due) / interval) + 1)
            self._timers[key] = self._clock.call_later(due - now, fire)
            self._send(message)

        self._timers[key] = self._clock.call_later(interval, fire)

    def cancel(self, key: object) -> bool:
        """Call a timer off; return whether there was one."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def cancel_all(self) -> None:
        """Call all timers off."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _send(self, message: Any) -> None:
        try:
            self._ref.tell(message)
        except MailboxFull:
            self._ref._cell.system.dead_letters.add(self._ref.path, message)
