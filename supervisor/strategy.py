"""Restart strategies, pure: who goes down with a child, and what to do next (S1, S3, S7).

The supervisor keeps for each child what is wanted and what is; this module turns the difference
into the next stops and starts. It is asked again after every fact, so a stop request or a second
crash in the middle of a restart needs no case of its own: it only changes what is wanted.

    DOWN -> STARTING -> RUNNING -> STOPPING -> DOWN
              |                                 ^
              +---------------------------------+   (a start that failed or was called off)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from supervisor.spec import Strategy

__all__ = ["Steps", "Status", "goes_down_with", "next_steps"]


class Status(Enum):
    """What a child is doing."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class ChildState(Protocol):
    """What a decision needs to know of a child.

    Attributes:
        status: what it is doing.
        wanted: whether it should be up in the end.
        recycle: whether it must come down first, because of a sibling.
        due: whether it may start now; False during a back-off.
    """

    @property
    def status(self) -> Status: ...
    @property
    def wanted(self) -> bool: ...
    @property
    def recycle(self) -> bool: ...
    @property
    def due(self) -> bool: ...


C = TypeVar("C", bound=ChildState)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps:
    """The positions of the children to stop and to start now."""

    stop: tuple[int, ...] = ()
    start: tuple[int, ...] = ()


def goes_down_with(strategy: Strategy, position: int, count: int) -> range:
    """Return the positions (the child's own may be among them) that restart with ``position``."""
    if strategy is Strategy.ONE_FOR_ONE:
        return range(0)
    if strategy is Strategy.REST_FOR_ONE:
        return range(position + 1, count)
    return range(count)


def _must_stop(child: ChildState) -> bool:
    return (child.recycle or not child.wanted) and child.status is not Status.DOWN


def next_steps(children: Sequence[ChildState], *, in_order: bool) -> Steps:
    """Return what to stop and what to start now.

    Args:
        children: in start order.
        in_order: one after another, later ones stopped first, and nothing started before all that
            must stop is down: the group strategies always, and every supervisor while it starts
            and stops. Otherwise each child is on its own.
    """
    if not in_order:
        return Steps(
            stop=tuple(
                i
                for i, child in enumerate(children)
                if _must_stop(child) and child.status is not Status.STOPPING
            ),
            start=tuple(i for i, child in enumerate(children) if _can_start(child)),
        )
    return _next_stop(children) or _next_start(children)


def _can_start(child: ChildState) -> bool:
    return child.wanted and child.due and child.status is Status.DOWN


def _next_stop(children: Sequence[ChildState]) -> Steps | None:
    for position in range(len(children) - 1, -1, -1):
        child = children[position]
        if child.status is Status.DOWN:
            continue
        if child.status is Status.STOPPING:
            return Steps()
        if child.recycle or not child.wanted:
            return Steps(stop=(position,))
    return None


def _next_start(children: Iterable[ChildState]) -> Steps:
    for position, child in enumerate(children):
        if not child.wanted or child.status is Status.RUNNING:
            continue
        return Steps(start=(position,)) if _can_start(child) else Steps()
    return Steps()
