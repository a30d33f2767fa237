"""Messages that were lost: dead letters (A5), and failures in the actor (A4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from supervisor.log import Throttle, exc_info, get_logger

log = get_logger("mailslot.actors")

_KEPT = 100


class DeadLetter(msgspec.Struct, frozen=True):
    """A message for an actor that had ended.

    Attributes:
        path: the actor it was for.
        message: the message.
    """

    path: str
    message: Any


class DeadLetters:
    """All dead letters of one system.

    Attributes:
        count: how many there have been.
        recent: the last hundred, oldest first.
        on_letter: called with each; an error that it raises is logged.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.count = 0
        self.recent: deque[DeadLetter] = deque(maxlen=_KEPT)
        self.on_letter: Callable[[DeadLetter], None] | None = None
        self._throttle = Throttle(time)

    def add(self, path: str, message: Any) -> None:
        """Count, keep and log a message that nobody will handle."""
        self.count += 1
        letter = DeadLetter(path, message)
        self.recent.append(letter)
        if self.on_letter is not None:
            try:
                self.on_letter(letter)
            except Exception as error:
                log.error("dead_letter_hook_failed", error=repr(error), exc_info=error)
        suppressed = self._throttle.passes(path)
        if suppressed is not None:
            log.warning(
                "dead_letter",
                path=path,
                message_type=type(message).__name__,
                suppressed=suppressed,
                total=self.count,
            )


class Failure(msgspec.Struct, frozen=True):
    """A message that an actor failed on, for the failure sink (A4).

    Attributes:
        path: the actor that had it in hand.
        message: the message; it is not delivered again.
        error: the error that the actor raised.
    """

    path: str
    message: Any
    error: BaseException


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
                exc_info=exc_info(failure.error),
            )
