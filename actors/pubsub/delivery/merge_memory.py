"""What a merge remembers: the messages that passed lately, and those that it dropped (pure).

A key is a pair: the stream of the node that delivered the message, and the key of the message in
that stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import Any, Final, TypeAlias

#: Identifies a message: its stream, and its key there.
StreamKey: TypeAlias = tuple[Hashable, Any]

# Messages that are remembered at the most.
_MOST: Final = 8192


class PassedMessages:
    """Numbers messages in the order in which they pass, and finds them by their keys.

    Attributes:
        first: the number of the first message that is remembered.
        repeated: the keys that came more than once, also longer ago.
    """

    __slots__ = ("_messages", "_numbers", "first", "repeated")

    def __init__(self) -> None:
        self.first = 0
        self.repeated: set[StreamKey] = set()
        self._messages: deque[tuple[StreamKey, float]] = deque()
        # The numbers of the messages with one key, in order.
        self._numbers: dict[StreamKey, list[int]] = {}

    @property
    def end(self) -> int:
        """The number that the next message gets."""
        return self.first + len(self._messages)

    def numbers(self, key: StreamKey) -> list[int] | None:
        """Return the numbers of the messages with ``key``, in order; None: there is none."""
        return self._numbers.get(key)

    def passed_at(self, number: int) -> float:
        """Return when the message with ``number`` passed, in seconds; IndexError: forgotten."""
        if number < self.first:
            raise IndexError(number)
        return self._messages[number - self.first][1]

    def latest(self, stream: Hashable) -> Iterator[tuple[int, float]]:
        """Yield number and time of each message of ``stream``, the latest first."""
        number = self.end
        for (other, _), at in reversed(self._messages):
            number -= 1
            if other == stream:
                yield number, at

    def last_at(self, stream: Hashable) -> float:
        """Return when a message of ``stream`` passed last, in seconds; -infinity: never."""
        return next((at for _, at in self.latest(stream)), -inf)

    def add(self, key: StreamKey, at: float) -> int:
        """Note that a message passes at ``at``; return its number."""
        number = self.end
        self._messages.append((key, at))
        numbers = self._numbers.setdefault(key, [])
        numbers.append(number)
        if len(numbers) > 1:
            self.repeated.add(key)
        if len(self._messages) > _MOST:
            self._drop_first()
        return number

    def forget(self, limit: float) -> None:
        """Forget the messages that passed before ``limit``."""
        while self._messages and self._messages[0][1] < limit:
            self._drop_first()

    def unite(self, stream: Hashable) -> None:
        """Make all messages those of ``stream``."""
        self._messages = deque(((stream, key[1]), at) for key, at in self._messages)
        self.repeated = {(stream, key[1]) for key in self.repeated}
        self._numbers = {}
        for number, (key, _) in enumerate(self._messages, self.first):
            self._numbers.setdefault(key, []).append(number)

    def repeat(self, keys: Iterable[StreamKey]) -> None:
        """Note that ``keys`` came more than once."""
        self.repeated.update(keys)

    def _drop_first(self) -> None:
        key, _ = self._messages.popleft()
        numbers = self._numbers[key]
        del numbers[0]
        if not numbers:
            del self._numbers[key]
        self.first += 1


class DroppedMessages:
    """Remembers the keys of dropped messages; reports drops and doubts (P7).

    Args:
        tell: called with the times between which messages were accepted that did not pass, or may
            not have, and with the reason.
    """

    __slots__ = ("_at", "_doubtful_since", "_tell")

    def __init__(self, tell: Callable[[float, float, str], None]) -> None:
        self._tell = tell
        self._at: dict[StreamKey, float] = {}
        # Since when a doubt is to be reported; infinity: there is none.
        self._doubtful_since = inf

    def __contains__(self, key: StreamKey) -> bool:
        return key in self._at

    def add(self, keys: Iterable[StreamKey], since: float, until: float, now: float) -> None:
        """Report that the messages with ``keys``, accepted between two times, are dropped."""
        self._at.update(dict.fromkeys(keys, now))
        self._tell(since, until, "messages came too late to be in order")

    def doubt(self, since: float) -> None:
        """Note that a message accepted after ``since`` may be missing."""
        self._doubtful_since = min(self._doubtful_since, since)

    def report_doubt(self, now: float) -> None:
        """Report what was noted, if anything was."""
        since, self._doubtful_since = self._doubtful_since, inf
        if since < inf:
            self._tell(since, now, "equal payloads: a repeat, or another message")

    def forget(self, limit: float) -> None:
        """Forget the messages that were dropped before ``limit``."""
        if self._at:
            self._at = {key: at for key, at in self._at.items() if at >= limit}

    def unite(self, stream: Hashable) -> None:
        """Make all messages those of ``stream``."""
        self._at = {(stream, key[1]): at for key, at in self._at.items()}
