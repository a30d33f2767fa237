"""Which message runs next, and in which worker of a concurrent handler (pure).

While a message of a key runs in a worker, further messages of the key are parked, and run in that
worker one after another. So a key keeps its order and is in no other key's way. A message without
a key runs in any worker. A new message is put only while a worker is idle, so that every parked
message is older than all that still wait in the mailbox.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any, Final

#: The key of a message whose order does not matter.
NO_KEY: Final = object()


class KeyScheduler:
    """Assigns messages to workers, which are numbered from 0.

    Attributes:
        taken: how many messages were put so far; the next one has this number.
    """

    __slots__ = ("_idle", "_keys", "_parked", "_running", "_waiting", "_workers", "taken")

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._idle: deque[int] = deque(range(workers))
        # For each busy worker: the key that it runs, and the number of its message.
        self._keys: dict[int, Hashable] = {}
        self._running: dict[int, int] = {}
        # The numbers of the parked messages for each running key; and all of them, oldest first.
        self._waiting: dict[Hashable, deque[int]] = {}
        self._parked: OrderedDict[int, tuple[Hashable, Any]] = OrderedDict()
        self.taken = 0

    @property
    def parked(self) -> int:
        """How many messages are parked."""
        return len(self._parked)

    @property
    def busy(self) -> int:
        """How many workers run a message."""
        return self._workers - len(self._idle)

    @property
    def full(self) -> bool:
        """Whether no worker is idle."""
        return not self._idle

    @property
    def finished(self) -> int:
        """The number of messages up to the first one that is neither handled nor shed."""
        return min([*self._running.values(), next(iter(self._parked), self.taken)])

    def put(self, key: Hashable, message: Any) -> int | None:
        """Return the worker that is to run ``message``; None: the message is parked.

        To be called while a worker is idle.
        """
        number, self.taken = self.taken, self.taken + 1
        if key is not NO_KEY:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append(number)
                self._parked[number] = (key, message)
                return None
            self._waiting[key] = deque()
        worker = self._idle.popleft()
        self._keys[worker] = key
        self._running[worker] = number
        return worker

    def done(self, worker: int) -> Any | None:
        """Note that ``worker`` has handled its message; return its next one, or None."""
        key = self._keys[worker]
        if key is not NO_KEY:
            waiting = self._waiting[key]
            if waiting:
                self._running[worker] = number = waiting.popleft()
                return self._parked.pop(number)[1]
            del self._waiting[key]
        del self._keys[worker], self._running[worker]
        self._idle.append(worker)
        return None

    def shed_oldest(self) -> Any:
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
        """Take out and return all parked messages, oldest first."""
        return [self.shed_oldest() for _ in range(self.parked)]
