"""A subscriber of plain channels and patterns that remembers what it delivered lately.

Another node of the cluster may take its place and repeat what this one delivered: the cluster bus
is late. A merge recognises repeats by what is remembered here; see ``delivery/merge.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from actors.pubsub.connection.subscriber import Recent, Subscriber, recent_by_target
from actors.pubsub.model.types import Kind, Target

#: Replies that are remembered at most, and for how many seconds: long enough to learn which
#: payloads come more than once.
_MOST, _KEPT_SECONDS = 4096, 2.0


class ClusterSubscriber(Subscriber):
    """The channels and patterns on one connection.

    Delivers messages as :class:`Dispatcher` does, and keeps each batch of replies as it was read.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The batches with the time of each, and the number of replies in them.
        self._batches: deque[tuple[float, list[Any]]] = deque()
        self._kept = 0
        self._index: dict[Target, Recent] | None = None
        self._take_batch, self._take = self._take, self._keep_and_take

    def _keep_and_take(self, replies: list[Any]) -> None:
        batches = self._batches
        now = self.connection.last_read
        batches.append((now, replies))
        self._kept += len(replies)
        while batches[0][0] < now - _KEPT_SECONDS or (self._kept > _MOST and len(batches) > 1):
            self._kept -= len(batches.popleft()[1])
        self._index = None
        self._take_batch(replies)

    def recent(self, target: Target, since: float) -> Recent:
        """Return which messages of ``target`` were delivered after ``since``."""
        # Targets are asked for in rows, after the connection's end.
        if self._index is None:
            self._index = recent_by_target(self._messages(since))
        found = self._index.get(target, Recent())
        is_old = not self._batches or self._batches[-1][0] < since
        return Recent(repeated=found.repeated) if is_old else found

    def _messages(self, since: float) -> Iterator[tuple[Target, Any, bool]]:
        word = bytes if self._encoding is None else self._as_text
        for at, replies in self._batches:
            for reply in replies:
                match reply:
                    case [b"message", name, data]:
                        yield Target(Kind.CHANNEL, name), word(data), at >= since
                    case [b"pmessage", name, channel, data]:
                        yield Target(Kind.PATTERN, name), (word(channel), word(data)), at >= since
