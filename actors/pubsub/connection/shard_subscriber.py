"""A subscriber that remembers, for a moment, what it delivered.

When a shard's channel goes on at another node, that node may deliver once more what came from the
last one: the cluster bus is late. What is remembered here tells the two apart; see ``merge``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actors.pubsub.cluster.seconds import is_second
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.model.types import Kind, Target

__all__ = ["ShardSubscriber"]

_MOST = 4096


class ShardSubscriber(Subscriber):
    """The shard subscriptions on one connection.

    It takes messages as the data plane does, with one line more: each reply that is a message is
    remembered as it is, and once a batch the time of it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._recent: deque[Any] = deque(maxlen=_MOST)
        self._index: tuple[Any, dict[bytes, list[bytes]]] = (None, {})
        super().__init__(*args, **options)
        if is_second(self.node):
            self.origin = (self.origin, "second")  # what it delivers, the first one may repeat

    def subscribe(self, kind: Kind, names: list[bytes], *, asking: bool = False) -> None:
        """Have the subscription of ``names`` sent; a second connection's waits for the slot."""
        super().subscribe(kind, names, asking=asking and not is_second(self.node))

    def recent(self, target: Target, since: float) -> list[Any]:
        """Return the payloads of a channel that came after ``since``, as they were delivered."""
        recent = self._recent
        if not recent or self.connection.last_read < since:
            return []
        # Channels are asked for in rows: after a batch, or after the connection's end.
        if self._index[0] is not recent[-1]:
            self._index = (recent[-1], self._make_index(since))
        payloads = self._index[1].get(target.name, ())
        decode = bytes if self._encoding is None else self._as_text
        return [decode(payload) for payload in payloads]

    def _make_index(self, since: float) -> dict[bytes, list[bytes]]:
        # From the end: while a slot moves this is asked for often, and publishers do not wait.
        found: list[Any] = []
        batch = 0
        for entry in reversed(self._recent):
            if type(entry) is not float:
                found.append(entry)
            elif entry >= since:
                batch = len(found)
            else:
                del found[batch:]
                break
        index: dict[bytes, list[bytes]] = {}
        for entry in reversed(found):
            index.setdefault(entry[1], []).append(entry[2])
        return index

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
