"""The default event sink: it logs (S8).

A sink may have a method ``wants_routine() -> bool``. While that method returns False, the
supervisor does not make the everyday events: ``ChildStarted``, and ``ChildExited`` for a normal
reason. That saves time where children come and go by the ten thousand a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from supervisor.log import Throttle, get_logger
from supervisor.model.events import (
    ChildExited,
    ChildRestarting,
    ChildStartFailed,
    ChildUnkillable,
    Event,
    EventSink,
    GaveUp,
)
from supervisor.model.reasons import Escalated

log = get_logger("mailslot.supervisor")

#: Log lines in a second about the crashes of one child.
_CRASHES_A_SECOND = 5


def routine_filter(sink: EventSink) -> Callable[[], bool]:
    """Return the function that says whether ``sink`` wants everyday events now."""
    wants: Any = getattr(sink, "wants_routine", None)
    return wants if callable(wants) else lambda: True


class _LogSink:
    """Logs failures once, as warnings or errors, and the rest at debug level.

    A supervisor that gave up says so itself (``GaveUp``): its exit and its stop are no news. A
    child that crashes again and again gets a few lines a second, with the number left out.
    """

    wants_routine = staticmethod(log.shows_debug)

    def __init__(self) -> None:
        # One for each loop: two programs in one process have the same paths.
        self._throttles: WeakKeyDictionary[Any, Throttle] = WeakKeyDictionary()

    def __call__(self, event: Event) -> None:
        match event:
            case ChildUnkillable(path, incarnation):
                log.error("child_unkillable", path=path, incarnation=incarnation)
            case GaveUp(path, reason):
                log.error("gave_up", path=path, reason=str(reason))
            case ChildExited(_, _, reason) if not (reason.normal or isinstance(reason, Escalated)):
                self._warn("child_exited", event, incarnation=event.incarnation, reason=str(reason))
            case ChildStartFailed(_, incarnation, reason):
                self._warn("start_failed", event, incarnation=incarnation, reason=str(reason))
            case ChildRestarting(_, delay, attempt):
                self._warn("child_restarting", event, delay=round(delay, 3), attempt=attempt)
            case _ if log.shows_debug():
                log.debug(type(event).__name__, path=event.path)

    def _warn(self, line: str, event: Event, **fields: object) -> None:
        loop = asyncio.get_running_loop()
        throttle = self._throttles.get(loop)
        if throttle is None:
            throttle = self._throttles[loop] = Throttle(loop.time, burst=_CRASHES_A_SECOND)
        suppressed = throttle.passes((line, event.path))
        if suppressed:
            fields["suppressed"] = suppressed
        if suppressed is not None:
            log.warning(line, path=event.path, **fields)


#: The default sink.
log_event: EventSink = _LogSink()
