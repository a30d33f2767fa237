"""Which message runs next, and in which lane (pure).

A key has a lane while one of its messages is in hand, and its further ones are parked until that
lane is through with it: order within a key, and no key in the way of another one. A message without
a key takes any lane. Who uses it looks at a further message only while a lane is idle, so that
what is parked is older than what is not looked at, and is next.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any, Final

__all__ = ["NO_KEY", "KeyScheduler"]


class _NoKey:
    """A message whose order does not matter."""


NO_KEY: Final = _NoKey()


class KeyScheduler:
    """Gives messages to ``lanes`` lanes, numbered from 0.

    Attributes:
        parked: how many messages wait for their key's lane.
        busy: how many lanes have a message in hand.
        taken: how many messages were given to it.
        through: how many of the first of these are all through, handled or shed.
    """

    __slots__ = ("_idle", "_in_hand", "_keys", "_lanes", "_parked", "_waiting", "taken")

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._idle: deque[int] = deque(range(lanes))
        # The key that each busy lane is for.
        self._keys: dict[int, Hashable] = {}
        # The parked messages of each key in hand, as numbers; and all of them, oldest first.
        self._waiting: dict[Hashable, deque[int]] = {}
        self._parked: OrderedDict[int, tuple[Hashable, Any]] = OrderedDict()
        # The number of the message that each busy lane has in hand.
        self._in_hand: dict[int, int] = {}
        self.taken = 0

    @property
    def parked(self) -> int:
        """How many messages wait for their key's lane."""
        return len(self._parked)

    @property
    def busy(self) -> int:
        """How many lanes have a message in hand."""
        return self._lanes - len(self._idle)

    @property
    def full(self) -> bool:
        """Whether no lane is idle."""
        return not self._idle

    @property
    def through(self) -> int:
        """How many of the first messages are all through, handled or shed."""
        return min([*self._in_hand.values(), next(iter(self._parked), self.taken)])

    def put(self, key: Hashable, message: Any) -> int | None:
        """Return the lane that handles ``message`` now; None: it is parked.

        Only while a lane is idle.
        """
        number, self.taken = self.taken, self.taken + 1
        if key is not NO_KEY:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append(number)
                self._parked[number] = (key, message)
                return None
            self._waiting[key] = deque()
        lane = self._idle.popleft()
        self._keys[lane] = key
        self._in_hand[lane] = number
        return lane

    def done(self, lane: int) -> Any | None:
        """Return what ``lane``, which is through with its message, handles next; None: it idles."""
        key = self._keys[lane]
        if key is not NO_KEY:
            waiting = self._waiting[key]
            if waiting:
                self._in_hand[lane] = number = waiting.popleft()
                return self._parked.pop(number)[1]
            del self._waiting[key]
        del self._keys[lane], self._in_hand[lane]
        self._idle.append(lane)
        return None

    def shed(self) -> Any:
        """Take out and return the oldest parked message."""
        _, (key, message) = self._parked.popitem(last=False)
        self._waiting[key].popleft()
        return message

    def shed_newest(self) -> Any:
        """Take out and return the newest parked message."""
        _, (key, message) = self._parked.popitem()
        self._waiting[key].pop()
        return message

    def clear(self) -> list[Any]:
        """Take out and return all that is parked, oldest first."""
        return [self.shed() for _ in range(self.parked)]
