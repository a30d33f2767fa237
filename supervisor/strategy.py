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
from typing import Protocol

from supervisor.spec import Strategy

__all__ = ["Status", "Step", "Steps", "goes_down_with", "lone_step", "next_steps"]


class Status(Enum):
    """What a child is doing."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Step(Enum):
    """What to do with a child that stands alone."""

    NONE = "none"
    START = "start"
    STOP = "stop"


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


def lone_step(child: ChildState) -> Step:
    """Return what to do with a child whose siblings do not matter."""
    if child.status is Status.DOWN:
        return Step.START if child.wanted and child.due else Step.NONE
    if (child.recycle or not child.wanted) and child.status is not Status.STOPPING:
        return Step.STOP
    return Step.NONE


def next_steps(children: Sequence[ChildState], *, in_order: bool) -> Steps:
    """Return what to stop and what to start now.

    Args:
        children: in start order.
        in_order: one after another, later ones stopped first, and nothing started before all that
            must stop is down: the group strategies always, and every supervisor while it starts
            and stops. Otherwise each child is on its own.
    """
    if in_order:
        return _next_stop(children) or _next_start(children)
    steps = [lone_step(child) for child in children]
    return Steps(
        stop=tuple(i for i, step in enumerate(steps) if step is Step.STOP),
        start=tuple(i for i, step in enumerate(steps) if step is Step.START),
    )


def _next_stop(children: Sequence[ChildState]) -> Steps | None:
    if any(child.status is Status.STOPPING for child in children):
        return Steps()
    for position in range(len(children) - 1, -1, -1):
        if lone_step(children[position]) is Step.STOP:
            return Steps(stop=(position,))
    return None


def _next_start(children: Iterable[ChildState]) -> Steps:
    for position, child in enumerate(children):
        if not child.wanted or child.status is Status.RUNNING:
            continue
        return Steps(start=(position,)) if lone_step(child) is Step.START else Steps()
    return Steps()
