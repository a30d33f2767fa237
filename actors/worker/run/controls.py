"""What an operator does to a running worker: pause and resume handlers, close breakers, drain."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from actors.pubsub.handlers.failure_route import FailureRoute
from actors.pubsub.handlers.failure_sinks import path_of_handler
from actors.runtime.cell import Cell
from actors.runtime.system import ActorSystem
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


class Act(StrEnum):
    """What an operator can ask a worker to do."""

    PAUSE = "pause"
    RESUME = "resume"
    CLOSE_BREAKER = "close-breaker"
    DRAIN = "drain"


class Action(msgspec.Struct, frozen=True):
    """What a worker is to do, and with which handler; a drain is of all handlers."""

    act: Act
    process: int = 0  # the number of the process that the handler is in
    path: str = ""  # the handler's path in the tree


class Refused(Exception):
    """An action that cannot be done; says why."""


class Controlled(Protocol):
    """What is controlled; see ``Worker``."""

    @property
    def system(self) -> ActorSystem:
        """The actor system; RuntimeError before the start."""

    def request_stop(self) -> None:
        """Begin the drain."""


def control(worker: Controlled, action: Action) -> None:
    """Do what ``action`` says in this process.

    Raises:
        Refused: the worker does not run, there is no such handler, or nothing to do.
    """
    try:
        system = worker.system
    except RuntimeError as error:
        raise Refused(str(error)) from None
    if action.act is Act.DRAIN:
        worker.request_stop()
    else:
        _perform(action, _handler(system, action.path))
    log.warning("operator", act=action.act.value, handler=action.path or "all")


def _perform(action: Action, handler: Cell) -> None:
    match action.act:
        case Act.PAUSE:
            handler.mailbox.pause()
        case Act.RESUME:
            handler.mailbox.resume()
        case Act.CLOSE_BREAKER:
            route = handler._on_failure
            assert isinstance(route, FailureRoute)
            if route.breaker is None or not route.breaker.succeeded():
                raise Refused(f"the breaker of {action.path} is closed")


def resume_all(system: ActorSystem) -> None:
    """Resume all that is paused: a drain handles what waits."""
    for cell in system.registry._cells.values():
        cell.mailbox.resume()


def _handler(system: ActorSystem, path: str) -> Cell:
    cell = system.registry._cells.get(path)
    is_handler = cell is not None and isinstance(cell._on_failure, FailureRoute)
    if not path:
        raise Refused("path is missing: it is the handler's, as /stats has it")
    # The workers of a concurrent handler are below it, and have its route.
    if cell is None or not is_handler or path != path_of_handler(path):
        raise Refused(f"there is no handler {path!r}")
    return cell
