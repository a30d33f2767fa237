"""Restart strategies, pure: who goes down with a child, and what to do next (S1, S3, S7).

Each child has a wanted state and an actual one. This module turns the difference into the next stop
or start, and is asked again after every change. So a stop request, or a second crash in the middle
of a restart, needs no case of its own: it only changes what is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Generic, Protocol, TypeVar

from supervisor.model.spec import Strategy


class Status(Enum):
    """What a child is doing."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


# Bound once: on Python 3.11 a look-up through the class takes ten times as long.
DOWN, STARTING, RUNNING, STOPPING = Status


class Step(Enum):
    """What to do with a child that stands alone."""

    NONE = "none"
    START = "start"
    STOP = "stop"


NONE, START, STOP = Step


class ChildState(Protocol):
    """What a decision needs to know of a child.

    Attributes:
        wanted: whether it should be up in the end.
        recycle: whether it must come down first, because a sibling restarts.
        due: whether it may start now; False during a back-off.
    """

    wanted: bool
    recycle: bool
    due: bool

    @property
    def status(self) -> Status:
        """What it is doing."""


def goes_down_with(strategy: Strategy, position: int, count: int) -> range:
    """Return the positions, perhaps with its own, that restart with the child at ``position``."""
    if strategy is Strategy.ONE_FOR_ONE:
        return range(0)
    if strategy is Strategy.REST_FOR_ONE:
        return range(position + 1, count)
    return range(count)


def lone_step(child: ChildState) -> Step:
    """Return what to do with a child whose siblings do not matter."""
    if child.status is DOWN:
        return START if child.wanted and child.due else NONE
    if (child.recycle or not child.wanted) and child.status is not STOPPING:
        return STOP
    return NONE


C = TypeVar("C", bound=ChildState)


class InOrder(Generic[C]):
    """Steps in order: first the stops, last child first; then the starts, first child first.

    The group strategies always work in this order; every supervisor does while it starts and stops.
    An InOrder remembers how far it has come, so that a thousand children cost a thousand looks, not
    their square. It is void as soon as anything changes what is wanted of a child.

    Args:
        children: in start order.
        beside: whether a child may start while another one starts. It may under one_for_one: a
            child that crashed does not wait for a later one that is long in starting.
    """

    __slots__ = ("_ahead", "_start_at", "_starting", "_stop_at", "beside", "children")

    def __init__(self, children: Sequence[C], *, beside: bool = False) -> None:
        self.children = children
        self.beside = beside
        self._stop_at = len(children) - 1
        self._start_at = 0
        # Children that are stopping already come first, wherever they stand.
        self._ahead = [child for child in children if child.status is STOPPING]
        # A later child may be starting when an earlier one, let go before, is wanted again.
        self._starting = [child for child in children if child.status is STARTING]

    def next_step(self) -> tuple[Step, C] | None:
        """Return the child to stop or to start now; None: wait, or nothing is left to do."""
        if any(child.status is STOPPING for child in self._ahead):
            return None
        self._ahead = []
        while self._stop_at >= 0:
            child = self.children[self._stop_at]
            if child.status is STOPPING:
                return None
            if lone_step(child) is STOP:
                return STOP, child
            self._stop_at -= 1
        while self._start_at < len(self.children):
            child = self.children[self._start_at]
            if child.wanted and child.status is not RUNNING:
                if lone_step(child) is not START or not (self.beside or self._none_starts()):
                    return None
                return START, child
            self._start_at += 1
        return None

    def _none_starts(self) -> bool:
        self._starting = [child for child in self._starting if child.status is STARTING]
        return not self._starting

    @property
    def done(self) -> bool:
        """Whether every wanted child runs, and no other."""
        return self._stop_at < 0 and self._start_at == len(self.children)
