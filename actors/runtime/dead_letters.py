"""Messages that reached nobody: counted, kept a few at a time, and reported (A5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from supervisor.log import get_logger
from supervisor.throttle import Throttle

__all__ = ["DeadLetter", "DeadLetters"]

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
        on_letter: called with each; must not raise. What it raises is logged.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.count = 0
        self.recent: deque[DeadLetter] = deque(maxlen=_KEPT)
        self.on_letter: Callable[[DeadLetter], None] | None = None
        self._throttle = Throttle(time)

    def add(self, path: str, message: Any) -> None:
        """Take note of a message that nobody will read."""
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
