"""A subscriber of plain subscriptions that remembers, for a moment, what it delivered.

Another node of the cluster may take its place and deliver once more what came from this one: the
cluster bus is late. What is remembered here tells the two apart; see ``merge``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.delivery.merge import LAG
from actors.pubsub.model.types import Kind, Target

__all__ = ["ClusterSubscriber"]

_MOST = 4096


class ClusterSubscriber(Subscriber):
    """The channels and patterns on one connection.

    It takes messages as the data plane does, and keeps what was read as it is.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # When each batch was read, and what it was; how many replies that is.
        self._batches: deque[tuple[float, list[Any]]] = deque()
        self._kept = 0
        self._index: dict[Target, list[Any]] | None = None
        self._take_batch, self._take = self._take, self._keep_and_take

    def _keep_and_take(self, replies: list[Any]) -> None:
        batches = self._batches
        now = self.connection.last_read
        batches.append((now, replies))
        self._kept += len(replies)
        while batches[0][0] < now - LAG or (self._kept > _MOST and len(batches) > 1):
            self._kept -= len(batches.popleft()[1])
        self._index = None
        self._take_batch(replies)

    def recent(self, target: Target, since: float) -> list[Any]:
        """Return what tells apart the messages of ``target`` that came after ``since``."""
        # Targets are asked for in rows, after the connection's end.
        if self._index is None:
            self._index = self._make_index(since)
        return self._index.get(target, [])

    def _make_index(self, since: float) -> dict[Target, list[Any]]:
        index: dict[Target, list[Any]] = {}
        word = bytes if self._encoding is None else self._as_text
        for at, replies in self._batches:
            if at < since:
                continue
            for reply in replies:
                match reply:
                    case [b"message", name, data]:
                        index.setdefault(Target(Kind.CHANNEL, name), []).append(word(data))
                    case [b"pmessage", name, channel, data]:
                        key = word(channel), word(data)
                        index.setdefault(Target(Kind.PATTERN, name), []).append(key)
        return index
