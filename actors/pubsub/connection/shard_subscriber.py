"""A subscriber of shard channels that remembers what it delivered lately.

When a channel goes on at another node, that node may repeat what this one delivered: the cluster
bus is late. A merge recognises repeats by what is remembered here; see ``delivery/merge.py``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from actors.pubsub.connection.subscriber import Recent, Subscriber
from actors.pubsub.model.types import Target

_MOST = 4096


class ShardSubscriber(Subscriber):
    """The shard subscriptions on one connection.

    Delivers messages as :class:`Dispatcher` does, and remembers each reply that is a message, and
    once a batch the time.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._recent: deque[Any] = deque(maxlen=_MOST)
        self._index: tuple[Any, dict[bytes, Recent]] = (None, {})
        super().__init__(*args, **options)

    def recent(self, target: Target, since: float) -> Recent:
        """Return the payloads of a channel that were delivered after ``since``."""
        recent = self._recent
        if not recent:
            return Recent()
        # Channels are asked for in rows: after a batch, or after the connection's end.
        if self._index[0] is not recent[-1]:
            self._index = (recent[-1], self._make_index(since))
        found = self._index[1].get(target.name, Recent())
        is_old = self.connection.last_read < since
        return Recent(repeated=found.repeated) if is_old else found

    def _make_index(self, since: float) -> dict[bytes, Recent]:
        late: dict[bytes, list[Any]] = {}
        counts: dict[bytes, Counter[Any]] = {}
        word = bytes if self._encoding is None else self._as_text
        is_late = False
        for entry in self._recent:
            if type(entry) is float:  # the time of the batch that follows
                is_late = entry >= since
                continue
            payload = word(entry[2])
            counts.setdefault(entry[1], Counter())[payload] += 1
            if is_late:
                late.setdefault(entry[1], []).append(payload)
        return {
            name: Recent(
                late.get(name, []),
                frozenset(payload for payload, count in counter.items() if count > 1),
            )
            for name, counter in counts.items()
        }

    def drain(self, gets: Callable[[], Any]) -> None:
        """Take all replies there are."""
        self._recent.append(self.connection.last_read)
        super().drain(gets)

    def _take_bytes(self, replies: list[Any]) -> None:
        routes = self.channels
        remember = self._recent.append
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == b"smessage":
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                remember(reply)
                put = writer.put
                put({"type": "message", "pattern": None, "channel": label, "data": reply[2]})
            else:
                others += 1
                self._other(reply)
        self.received += len(replies) - others

    def _take_text(self, replies: list[Any]) -> None:
        routes, text = self.channels, self._text
        remember = self._recent.append
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == b"smessage":
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                remember(reply)
                data = reply[2]
                try:
                    data = text(data)
                except UnicodeDecodeError:
                    pass  # a payload that is no text stays bytes
                put = writer.put
                put({"type": "message", "pattern": None, "channel": label, "data": data})
            else:
                others += 1
                self._other(reply)
        self.received += len(replies) - others
