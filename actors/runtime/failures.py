"""Messages that their handler failed on, and the sink that is told of them (A4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.runtime.messages import Envelope, Failure
from actors.runtime.throttle import Throttle
from supervisor.log import get_logger

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
    # A CancelledError raised by the handler itself, not by anybody's cancel(), is no more than its
    # own message's problem.
    return isinstance(error, Exception) or (
        isinstance(error, asyncio.CancelledError) and not _is_cancelled()
    )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
