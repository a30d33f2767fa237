"""Lifecycle events, and reports of stops, as values (S8)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from supervisor.model.reasons import ExitReason


class StopReport(msgspec.Struct, frozen=True):
    """How one child, or a whole supervisor, ended.

    Attributes:
        path: where it was in the tree.
        reason: why it ended; None: it did not end (see ``unkillable``).
        seconds: from the request to the end.
        unkillable: whether it survived its cancellation and was left behind.
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
        left = [self]
        while left:
            one = left.pop()
            if one.reason is None or not one.reason.normal or one.unkillable:
                return False
            left += one.children
        return True


class Event(msgspec.Struct, frozen=True):
    """Base: something happened at ``path``."""

    path: str


class ChildStarted(Event, frozen=True):
    """The child is up; ``incarnation`` counts from 1."""

    incarnation: int


class ChildExited(Event, frozen=True):
    """The child ended, asked (Shutdown, Killed) or by itself (Normal, Crashed, Escalated)."""

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


#: Takes an event. It must not block and must not raise; what it raises is logged.
EventSink = Callable[[Event], None]
