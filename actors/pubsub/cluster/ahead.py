"""Subscriptions that wait at a server for the moment in which it takes them.

The target of a move takes subscriptions for good only after it took the slots over, and some
milliseconds later publishers come to it. A try that is sent when we hear of that comes late, if our
process does not get the processor in just these milliseconds, or a handler keeps it busy. So tries
are sent ahead, each behind a ``WAIT`` for more replicas than there are, which holds the rest of
this connection's commands back for its timeout: it is one that serves for nothing else. The server
looks at timeouts right after it took slots over (Valkey's ``beforeSleep``: the cluster first, then
blocked clients), before it reads what publishers send. One that began less than a millisecond
before ends in a later turn: that is a race still, but the server's, not ours. Messages and other
pushes are not held back.

Timeouts are looked at when a server does something: 1 ms is about that where messages flow, and up
to 100 ms where nothing happens. Slots that begin to move later are tried behind what waits already,
so how much is sent ahead follows how long the last ones took.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.model.types import Kind

__all__ = ["Ahead"]

#: Milliseconds between two tries: as short as can be, as it is by these that we may be late; longer
#: for many slots and for many clients of the server that may do the same.
_MS_PER_SLOT = 0.05
#: Seconds to be covered ahead; fewest and most tries for that.
_COVERED, _LEAST, _MOST = 0.05, 2, 40
#: What a WAIT is taken to last before the first one was answered, in seconds.
_UNKNOWN = 0.0125
#: More replicas than there are.
_ALL = 1_000_000


class Ahead:
    """What was sent ahead on one connection.

    Attributes:
        subscriber: the connection.
        waiting: how many tries the server has not come to yet.
        refused: the server does not let us; nothing is sent ahead any more.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.waiting = 0
        self.refused = False
        self._lasts = _UNKNOWN
        self._began = 0.0

    def top_up(
        self, groups: Iterable[list[bytes]], sharers: int, now: float, apart: int = 1
    ) -> None:
        """Send ahead what is missing.

        Args:
            groups: shard channels to be tried, those of one slot together.
            sharers: how many clients of the server may do the same.
            now: the time in seconds.
            apart: milliseconds between two tries at the least.
        """
        missing = min(_MOST, max(_LEAST, int(_COVERED / self._lasts))) - self.waiting
        if self.refused or missing <= 0 or not self.subscriber.connection.usable:
            return
        if not self.waiting:
            self._began = now
        tried = list(groups)
        wait = ("WAIT", _ALL, max(apart, int(_MS_PER_SLOT * len(tried) * sharers)))
        for _ in range(missing):
            self.waiting += 1
            self.subscriber.put_query(wait, self._waited)
            for names in tried:
                self.subscriber.put_try(Kind.SHARD, names)
        self.subscriber.send()

    def _waited(self, reply: Any) -> None:
        self.waiting -= 1
        if isinstance(reply, Exception):
            self.refused = True  # a user who may not, or a node that became a replica
            return
        now = self.subscriber.connection.last_read
        self._lasts += 0.2 * (max(0.001, now - self._began) - self._lasts)
        self._began = now
