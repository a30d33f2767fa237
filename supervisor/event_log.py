"""The default event sink: it logs (S8).

A sink may have a method ``wants_routine() -> bool``. While that returns False, the supervisor does
not even make the everyday events: ``ChildStarted``, and ``ChildExited`` for a normal reason. That
pays where children come and go by the ten thousand a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from supervisor.events import (
    ChildExited,
    ChildRestarting,
    ChildStartFailed,
    ChildUnkillable,
    Event,
    EventSink,
    GaveUp,
)
from supervisor.log import Throttle, get_logger
from supervisor.reasons import Escalated

__all__ = ["log_event", "routine_filter"]

log = get_logger("mailslot.supervisor")

#: Lines in a second about the crashes of one child.
_CRASHES_A_SECOND = 5


def routine_filter(sink: EventSink) -> Callable[[], bool]:
    """Return what tells whether ``sink`` wants everyday events now."""
    wants: Any = getattr(sink, "wants_routine", None)
    return wants if callable(wants) else _always


def _always() -> bool:
    return True


class _LogSink:
    """Logs what went wrong as a warning or an error, once; the rest at debug level.

    A supervisor that gave up has said so itself: its exit, and its stop, are not news. Of a child
    that crashes again and again a few lines a second are enough, and how many were left out.
    """

    wants_routine = staticmethod(log.shows_debug)

    def __init__(self) -> None:
        # One for each loop: two programs in one process have the same paths.
        self._throttles: WeakKeyDictionary[Any, Throttle] = WeakKeyDictionary()

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChildExited | ChildStartFailed | ChildRestarting):
            self._log_crash(event)
            return
        match event:
            case ChildUnkillable(path, incarnation):
                log.error("child_unkillable", path=path, incarnation=incarnation)
            case GaveUp(path, reason):
                log.error("gave_up", path=path, reason=str(reason))
            case _ if log.shows_debug():
                log.debug(type(event).__name__, path=event.path)

    def _throttle(self) -> Throttle:
        loop = asyncio.get_running_loop()
        throttle = self._throttles.get(loop)
        if throttle is None:
            throttle = self._throttles[loop] = Throttle(loop.time, burst=_CRASHES_A_SECOND)
        return throttle

    def _log_crash(self, event: ChildExited | ChildStartFailed | ChildRestarting) -> None:
        if isinstance(event, ChildExited) and (
            event.reason.normal or isinstance(event.reason, Escalated)
        ):
            if log.shows_debug():
                log.debug(type(event).__name__, path=event.path)
            return
        left_out = self._throttle().passes((type(event), event.path))
        if left_out is None:
            return
        more = {"suppressed": left_out} if left_out else {}
        match event:
            case ChildExited(path, incarnation, reason):
                said = str(reason)
                log.warning("child_exited", path=path, incarnation=incarnation, reason=said, **more)
            case ChildStartFailed(path, incarnation, reason):
                said = str(reason)
                log.warning("start_failed", path=path, incarnation=incarnation, reason=said, **more)
            case ChildRestarting(path, delay, attempt):
                delay = round(delay, 3)
                log.warning("child_restarting", path=path, delay=delay, attempt=attempt, **more)


#: The default sink.
log_event: EventSink = _LogSink()
