"""Lifecycle events as values, and the sink that logs them (S8).

The supervisor emits; what becomes of an event is the sink's business: the default one logs, a
worker's counts, a test's collects. A sink must not block and must not raise; what it raises is
logged and costs nothing else.

Where children come and go by the ten thousand a second, events that nobody looks at are worth
leaving out: a sink may have a method ``wants_routine() -> bool``. While that returns False, the
everyday events are not even made: ``ChildStarted``, and ``ChildExited`` for a normal reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from supervisor.log import Throttle, get_logger
from supervisor.reasons import Escalated, ExitReason

__all__ = [
    "ChildExited",
    "ChildRestarting",
    "ChildStartFailed",
    "ChildStarted",
    "ChildUnkillable",
    "Event",
    "EventSink",
    "GaveUp",
    "StopReport",
    "Stopped",
    "Stopping",
    "log_event",
    "routine_filter",
]

log = get_logger("mailslot.supervisor")


class StopReport(msgspec.Struct, frozen=True):
    """How one child, or a whole supervisor, ended.

    Attributes:
        path: where it was in the tree.
        reason: why it ended; None: it did not (see ``unkillable``).
        seconds: from the request to the end.
        unkillable: it survived its cancellation and was left behind.
        children: the reports below it, in the order in which they ended.
    """

    path: str
    reason: ExitReason | None
    seconds: float
    unkillable: bool = False
    children: tuple[StopReport, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether this and everything below ended by itself within its deadline."""
        own = self.reason is not None and self.reason.normal and not self.unkillable
        return own and all(child.clean for child in self.children)


class Event(msgspec.Struct, frozen=True):
    """Base: something happened at ``path``."""

    path: str


class ChildStarted(Event, frozen=True):
    """The child is up; ``incarnation`` counts from 1."""

    incarnation: int


class ChildExited(Event, frozen=True):
    """The child ended: asked (Shutdown, Killed), or by itself (Normal, Crashed, Escalated)."""

    incarnation: int
    reason: ExitReason


class ChildStartFailed(Event, frozen=True):
    """The child ended before it had started."""

    incarnation: int
    reason: ExitReason


class ChildRestarting(Event, frozen=True):
    """The child will be started again after ``delay`` seconds; ``attempt`` counts from 1."""

    delay: float
    attempt: int


class ChildUnkillable(Event, frozen=True):
    """The child went on after its cancellation and was left behind."""

    incarnation: int


class GaveUp(Event, frozen=True):
    """The supervisor stops its children and exits."""

    reason: ExitReason


class Stopping(Event, frozen=True):
    """The supervisor was asked to stop, or gave up."""


class Stopped(Event, frozen=True):
    """The supervisor is down."""

    report: StopReport


EventSink = Callable[[Event], None]

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
