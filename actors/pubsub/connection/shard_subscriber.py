"""A subscriber of shard channels that remembers what it delivered lately.

When a channel goes on at another node, that node may repeat what this one delivered: the cluster
bus is late. A merge recognises repeats by what is remembered here; see ``delivery/merge.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from actors.pubsub.connection.subscriber import Recent, Subscriber, recent_by_target
from actors.pubsub.model.types import Kind, Target
from actors.redis.wire.resp import PushNotification

_MOST = 4096


class ShardSubscriber(Subscriber):
    """The shard subscriptions on one connection.

    Delivers messages as :class:`Dispatcher` does. The replies of a batch that are not delivered
    pass ``_other`` or ``_unrouted``: those before each of them are remembered there, the rest at
    the batch's end.
    """

    _MESSAGE = b"smessage"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The delivered replies, and before those of a batch the time of the batch.
        self._recent: deque[Any] = deque(maxlen=_MOST)
        # The replies of the batch in hand that are not looked at yet.
        self._rest: Iterator[Any] = iter(())
        self._index: tuple[Any, dict[Target, Recent]] = (None, {})
        self._take_batch, self._take = self._take, self._take_and_remember

    def _take_and_remember(self, replies: list[Any]) -> None:
        self._recent.append(self.connection.last_read)
        self._rest = iter(replies)
        self._take_batch(replies)
        self._recent.extend(self._rest)

    def _other(self, reply: Any) -> None:
        self._remember_until(reply)
        super()._other(reply)

    def _unrouted(self, reply: list[Any]) -> bool:
        if type(reply) is not PushNotification:
            return super()._unrouted(reply)
        # What _remember_until() does, written out: a standby comes here with every message.
        for delivered in self._rest:
            if delivered is reply:
                break
            self._recent.append(delivered)
        return False

    def _remember_until(self, reply: Any) -> None:
        """Remember what was delivered before ``reply``, which is not delivered itself."""
        for delivered in self._rest:
            if delivered is reply:
                break
            self._recent.append(delivered)

    def recent(self, target: Target, since: float) -> Recent:
        """Return the payloads of a channel that were delivered after ``since``."""
        recent = self._recent
        if not recent:
            return Recent()
        # Channels are asked for in rows: after a batch, or after the connection's end.
        if self._index[0] is not recent[-1]:
            self._index = (recent[-1], recent_by_target(self._messages(since)))
        found = self._index[1].get(target, Recent())
        is_old = self.connection.last_read < since
        return Recent(repeated=found.repeated) if is_old else found

    def _messages(self, since: float) -> Iterator[tuple[Target, Any, bool]]:
        word = bytes if self._encoding is None else self._as_text
        is_late = False
        for entry in self._recent:
            if type(entry) is float:  # the time of the batch that follows
                is_late = entry >= since
            else:
                yield Target(Kind.SHARD, entry[1]), word(entry[2]), is_late
