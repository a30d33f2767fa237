"""A subscriber of shard channels that remembers what it delivered lately.

When a channel goes on at another node, that node may repeat what this one delivered: the cluster
bus is late. A merge recognises repeats by what is remembered here; see ``delivery/merge.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Any

from actors.pubsub.connection.subscriber import Recent, Subscriber, recent_by_target
from actors.pubsub.model.types import Kind, Target
from actors.redis.wire.resp import PushNotification

# Messages that are remembered, and the parts of each: its type, its channel and its payload.
_MOST, _PARTS = 4096, 3


class ShardSubscriber(Subscriber):
    """The shard subscriptions on one connection.

    Delivers messages as :class:`Dispatcher` does. The replies of a batch that are not delivered
    pass ``_other`` or ``_unrouted``: those before each of them are remembered there, the rest at
    the batch's end. The parts of messages are kept, one after the other, and not the replies: the
    garbage collector would look at thousands of lists again and again.
    """

    _MESSAGE = b"smessage"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._parts: deque[bytes] = deque(maxlen=_PARTS * _MOST)
        self._remembered = 0
        # Of each batch: the number of its first message, and the time.
        self._batches: deque[tuple[int, float]] = deque()
        # The replies of the batch in hand that are not looked at yet.
        self._rest: Iterator[Any] = iter(())
        self._index: tuple[int, dict[Target, Recent]] = (0, {})
        self._take_batch, self._take = self._take, self._take_and_remember

    def _take_and_remember(self, replies: list[Any]) -> None:
        batches = self._batches
        batches.append((self._remembered, self.connection.last_read))
        while len(batches) > 1 and batches[1][0] <= self._remembered - _MOST:
            batches.popleft()
        self._rest = iter(replies)
        self._take_batch(replies)
        self._remember([*self._rest])

    def _remember(self, delivered: list[Any]) -> None:
        self._parts.extend(chain.from_iterable(delivered))
        self._remembered += len(delivered)

    def _other(self, reply: Any) -> None:
        self._remember_until(reply)
        super()._other(reply)

    def _unrouted(self, reply: list[Any]) -> bool:
        if type(reply) is not PushNotification:
            return super()._unrouted(reply)
        self._remember_until(reply)
        return False

    def _remember_until(self, reply: Any) -> None:
        """Remember what was delivered before ``reply``, which is not delivered itself."""
        rest = self._rest
        first = next(rest, reply)
        if first is not reply:  # a standby delivers nothing: it never comes here
            self._remember([first, *takewhile(lambda one: one is not reply, rest)])

    def recent(self, target: Target, since: float) -> Recent:
        """Return the payloads of a channel that were delivered after ``since``."""
        # Channels are asked for in rows: after a batch, or after the connection's end.
        if self._index[0] != self._remembered:
            self._index = (self._remembered, recent_by_target(self._messages(since)))
        found = self._index[1].get(target, Recent())
        is_old = self.connection.last_read < since
        return Recent(repeated=found.repeated) if is_old else found

    def _messages(self, since: float) -> Iterator[tuple[Target, Any, bool]]:
        word = bytes if self._encoding is None else self._as_text
        # The number of the first message that came after ``since``, and that of the first one kept.
        late = next((number for number, time in self._batches if time >= since), self._remembered)
        first = self._remembered - len(self._parts) // _PARTS
        parts = iter(self._parts)
        for number, (_, name, payload) in enumerate(zip(parts, parts, parts, strict=True), first):
            yield Target(Kind.SHARD, name), word(payload), number >= late
