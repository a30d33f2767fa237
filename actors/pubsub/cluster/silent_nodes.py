"""Which connected nodes do not answer (P9); pure but for the PINGs that are sent.

    HEARD --quiet for QUIET--> PINGED --nothing for SILENT--> SILENT --a pong--> HEARD
      ^                          |  any byte
      +--------------------------+

A silent node that sends bytes again is trusted with its next pong, which comes behind everything
that the node still had to deliver.

Quiet nodes are asked in turn, so that all PINGs together stay within the budget of P6b.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from math import inf

import msgspec

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.table.state import NodeId

#: Seconds without a byte after which a node is asked, and in which it must answer then.
_QUIET, _SILENT = 0.5, 0.5


def ping_interval(nodes: int) -> float:
    """Return the seconds between two PINGs to one node of so many nodes in use.

    All of them together get at most 3 PINGs a second where there are three, and never more than 9.
    """
    return max(1.0, nodes / min(9.0, 3.0 + nodes / 4.0))


class NodeNews(msgspec.Struct, frozen=True):
    """What a look has found: nodes that fell silent, and nodes that answer again."""

    lost: tuple[NodeId, ...] = ()
    found: tuple[NodeId, ...] = ()


class SilentNodes:
    """The nodes that were asked for a sign of life, and those that gave none."""

    def __init__(self) -> None:
        # Nodes that do not answer, each with the number of pongs that it had sent before.
        self._silent: dict[NodeId, int] = {}
        # Nodes that owe an answer, since when; and when each node was asked last.
        self._pinged: dict[NodeId, float] = {}
        self._asked: dict[NodeId, float] = {}

    def __contains__(self, node: NodeId) -> bool:
        return node in self._silent

    @property
    def silent(self) -> AbstractSet[NodeId]:
        """The nodes that do not answer."""
        return self._silent.keys()

    @property
    def pinged(self) -> bool:
        """Whether some node owes an answer."""
        return bool(self._pinged)

    def forget(self, node: NodeId) -> None:
        """Note that ``node`` has no connection any more."""
        self._silent.pop(node, None)
        self._pinged.pop(node, None)
        self._asked.pop(node, None)

    def keep(self, known: AbstractSet[NodeId]) -> None:
        """Forget the nodes that are not ``known``."""
        for node in {*self._silent, *self._asked} - known:
            self.forget(node)

    def due(
        self, subscribers: Mapping[NodeId, Subscriber], used: AbstractSet[NodeId], now: float
    ) -> float:
        """Return the seconds until :meth:`look` may have something to do; infinity: never."""
        interval = ping_interval(len(used))
        times = [
            max(subscriber.connection.last_read + _QUIET, self._asked.get(node, 0.0) + interval)
            for node, subscriber in subscribers.items()
            if node in used and node not in self._silent
        ]
        return max(0.0, min(times, default=inf) - now)

    def look(
        self,
        subscribers: Mapping[NodeId, Subscriber],
        used: AbstractSet[NodeId],
        now: float,
        held: float,
    ) -> NodeNews:
        """Ask quiet nodes for a sign of life; return what has changed.

        Args:
            subscribers: the connections.
            used: the nodes that something is subscribed on. The others are not asked here: their
                readers do so, after ``max_idle_seconds``.
            now: the time in seconds.
            held: seconds for which nothing was read, because the event loop was late or reading is
                paused (infinity). What a node sent in that time was not heard, so the deadlines of
                all nodes move by as much.
        """
        if held > 0.0:
            self._pinged = {node: min(now, at + held) for node, at in self._pinged.items()}
        lost, found = [], []
        interval = ping_interval(len(used))
        for node, subscriber in subscribers.items():
            if node in self._silent:
                if subscriber.pongs > self._silent[node]:
                    del self._silent[node]
                    found.append(node)
            elif now - subscriber.connection.last_read < _QUIET:
                self._pinged.pop(node, None)
            elif node in self._pinged:
                if now - self._pinged[node] > _SILENT:
                    del self._pinged[node]
                    self._silent[node] = subscriber.pongs
                    lost.append(node)
            elif node in used and held != inf:
                self._ask(node, subscriber, now, interval)
        return NodeNews(tuple(lost), tuple(found))

    def _ask(self, node: NodeId, subscriber: Subscriber, now: float, interval: float) -> None:
        if now - self._asked.get(node, 0.0) >= interval:
            self._pinged[node] = self._asked[node] = now
            subscriber.ping()
