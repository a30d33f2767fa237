"""Messages that their handler failed on, and the sink that is told of them (A4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.runtime.messages import Envelope, Failure
from supervisor import Crashed
from supervisor.lifecycle import runs_in
from supervisor.log import get_logger
from supervisor.throttle import Throttle

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["FailureSink", "LogFailures", "survives"]

log = get_logger("mailslot.actors")

#: Takes a failure and returns at once.
FailureSink = Callable[[Failure], None]


class LogFailures:
    """The default sink: a log line for each, at most one a second for a path and type of error."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._throttle = Throttle(time)

    def __call__(self, failure: Failure) -> None:
        """Log ``failure``, or count it as suppressed."""
        suppressed = self._throttle.passes((failure.path, type(failure.error)))
        if suppressed is not None:
            log.warning(
                "message_failed",
                path=failure.path,
                error=repr(failure.error),
                suppressed=suppressed,
                exc_info=failure.error,
            )


def survives(cell: Cell, message: Any, error: BaseException) -> bool:
    """Report ``cell``'s message in hand as failed; return whether its incarnation goes on."""
    if type(message) in Envelope.classes:
        message = message.failed(cell, error)
    # A cancellation is how an overdue stop ends the message in hand: that is a loss, too.
    cell.system.report_failure(Failure(cell.path, message, error), cell.spec.on_failure)
    if cell.ended is not None or not cell.actor.resilient:
        return False
    if Crashed(error).fatal:
        return False  # that is for the whole system
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        # Raised by the handler itself they are no more than its own message's problem; raised by
        # somebody's cancel(), or because the loop is gone, they are the incarnation's end.
        return _goes_on(cell)
    return True


def _goes_on(cell: Cell) -> bool:
    task = None if cell.child is None else cell.child.task
    return task is not None and runs_in(task) and not task.cancelling()
