"""Up to which message everything was handled, for consumers that resume (pure).

Messages are taken in order, and may be done in any order. The position is the message before the
oldest one in hand: whoever goes on behind it misses nothing. What was shed before it was taken is
passed over, since a position is the id of a message that was taken.

A message that is cut short, because its handler ends, stays in hand: the process ends, too, and the
message comes again. If another one is taken, the process has gone on without it: it is done. A
message that failed is done: it goes to the failure sink.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


class Progress:
    """The progress of one channel's consumer.

    Attributes:
        changed: called when the position may be another one, and not again until :meth:`noted`.
        is_noted: whether nothing has changed since :meth:`noted`.
    """

    __slots__ = ("_before", "_cut_short", "_last", "changed", "is_noted")

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.is_noted = True
        # For each message in hand, in the order in which they were taken: the one taken before it.
        self._before: dict[Any, Any] = {}
        self._last: Any = None
        self._cut_short: list[Any] = []

    @property
    def position(self) -> Any:
        """The id behind which the consumer has to go on; None: unknown."""
        return next(iter(self._before.values()), self._last)

    @property
    def in_hand(self) -> int:
        """How many messages were taken and are not done."""
        return len(self._before)

    def resumed(self, position: Any) -> None:
        """Take the position that is known already."""
        self._last = position

    def begun(self, position: Any) -> None:
        """Take where the consumer begins, before its first message."""
        self._last = position
        self.touch()

    def take(self, message: Any) -> None:
        """Take that the message with this id is in hand; it may be so already."""
        if self._cut_short:
            for one in self._cut_short:
                self._before.pop(one, None)
            self._cut_short.clear()
        if message not in self._before:
            self._before[message] = self._last
            self._last = message

    def done(self, message: Any) -> None:
        """Take that the message was handled, failed, or was shed."""
        self._before.pop(message, None)
        if self.is_noted:
            self.touch()

    def cut_short(self, message: Any) -> None:
        """Take that the handler of the message ended in the midst of it."""
        self._cut_short.append(message)

    def forget(self) -> None:
        """Forget the position: it is unknown until the consumer begins anew."""
        self._before.clear()
        self._cut_short.clear()
        self._last = None

    def touch(self) -> None:
        """Have the position noted again."""
        if self.is_noted:
            self.is_noted = False
            self.changed()

    def noted(self) -> Any:
        """Return the position, which is noted from now on."""
        self.is_noted = True
        return self.position


#: The progress of each channel that resumes, by the name that its messages show.
ProgressOf: TypeAlias = Mapping[Any, Progress]


def taken(message: Any, progress: ProgressOf) -> tuple[Progress, Any] | None:
    """Take that ``message`` is in hand; return its channel's progress and its id.

    Args:
        message: what came out of a mailbox.
        progress: the progress of each channel that resumes.

    Returns:
        None where the message is not one of a channel that resumes.
    """
    if type(message) is not dict or (name := message.get("id")) is None:
        return None
    of_channel = progress.get(message["channel"])
    if of_channel is None:
        return None
    of_channel.take(name)
    return of_channel, name


def shed(message: Any, progress: ProgressOf) -> None:
    """Take that ``message``, which was in hand, is dropped."""
    found = taken(message, progress)
    if found is not None:
        found[0].done(found[1])


class InHand:
    """The messages that the iterator's reader has, until it asks for the next one.

    Args:
        queue: where the messages are taken from.
        progress: the progress of each channel that resumes.
    """

    def __init__(self, queue: deque[Any], progress: ProgressOf) -> None:
        self._popleft = queue.popleft
        self._progress = progress
        self._given: list[tuple[Progress, Any]] = []

    def popleft(self) -> Any:
        """Take out and return the next message; IndexError: there is none."""
        self.asked()
        message = self._popleft()
        self.gave((message,))
        return message

    def asked(self) -> None:
        """Take that the reader asks for more: it has handled what it has."""
        for progress, name in self._given:
            progress.done(name)
        self._given.clear()

    def gave(self, messages: Iterable[Any]) -> None:
        """Take that the reader has ``messages``."""
        found = (taken(message, self._progress) for message in messages)
        self._given += [one for one in found if one is not None]


def tracked(receive: Callable[..., Any], progress: ProgressOf) -> Callable[..., Awaitable[Any]]:
    """Return ``receive``, which takes a message and more, so that its progress is noted."""

    async def tracked_receive(message: Any, *more: Any) -> Any:
        found = taken(message, progress)
        try:
            result = receive(message, *more)
            if result is not None and inspect.isawaitable(result):
                result = await result
        except BaseException as error:
            if found is not None:
                _failed(*found, error)
            raise
        if found is not None:
            found[0].done(found[1])
        return result

    return tracked_receive


def tracked_batch(
    handle: Callable[[list[Any]], Awaitable[T]], progress: ProgressOf
) -> Callable[[list[Any]], Awaitable[T]]:
    """Return ``handle``, which takes many messages, so that their progress is noted."""

    async def tracked_handle(messages: list[Any]) -> T:
        found = [one for one in (taken(message, progress) for message in messages) if one]
        try:
            result = await handle(messages)
        except BaseException as error:
            for of_channel, name in found:
                _failed(of_channel, name, error)
            raise
        for of_channel, name in found:
            of_channel.done(name)
        return result

    return tracked_handle


def _failed(progress: Progress, name: Any, error: BaseException) -> None:
    if isinstance(error, Exception):
        progress.done(name)
    else:  # a cancellation, or the end of the program
        progress.cut_short(name)
