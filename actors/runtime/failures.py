"""The failure sink: where messages go that their handler failed on."""

from __future__ import annotations

from collections.abc import Callable

from actors.runtime.messages import Failure
from actors.runtime.throttle import Throttle
from supervisor.log import get_logger

__all__ = ["FailureSink", "LogFailures"]

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
