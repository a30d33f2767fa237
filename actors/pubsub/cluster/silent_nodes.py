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
#: Seconds between two looks at whether a silent node answers again.
_RESUMED = 0.25
#: The share of its interval after which a node may be asked together with another one.
_NEXT = 0.7


def ping_interval(nodes: int, *, idle: bool = False) -> float:
    """Return the seconds between two PINGs to one node of so many nodes in use.

    All of them together get at most 3 PINGs a second where there are three, and never more than 9;
    a quarter of that while no message comes.
    """
    return (4.0 if idle else 1.0) * max(1.0, nodes / min(9.0, 3.0 + nodes / 4.0))


class NodeNews(msgspec.Struct, frozen=True):
    """What a look has found: nodes that fell silent, and nodes that answer again."""

    lost: tuple[NodeId, ...] = ()
    found: tuple[NodeId, ...] = ()


class SilentNodes:
    """The nodes that were asked for a sign of life, and those that gave none."""

    def __init__(self) -> None:
        # Nodes that do not answer, each with the number of pongs that it had sent before.
        self._silent: dict[NodeId, int] = {}
        # Nodes that were asked, and since when they have had time to answer; and when each node was
        # asked last.
        self._pinged: dict[NodeId, float] = {}
        self._asked: dict[NodeId, float] = {}
        #: Whether no message has come for a while: nodes are asked less often then.
        self.idle = False

    def __contains__(self, node: NodeId) -> bool:
        return node in self._silent

    @property
    def silent(self) -> AbstractSet[NodeId]:
        """The nodes that do not answer."""
        return self._silent.keys()

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
        interval = ping_interval(len(used), idle=self.idle)
        times = [now + _RESUMED] if self._silent else []
        for node, subscriber in subscribers.items():
            if node in self._silent:
                continue
            last_read = subscriber.connection.last_read
            if node in self._pinged and last_read < self._asked[node]:
                times.append(self._pinged[node] + _SILENT)
            elif node in used:
                times.append(max(last_read + _QUIET, self._asked.get(node, 0.0) + interval))
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
        lost, found, quiet = [], [], []
        for node, subscriber in subscribers.items():
            last_read = subscriber.connection.last_read
            if node in self._silent:
                if subscriber.pongs > self._silent[node]:
                    del self._silent[node]
                    found.append(node)
            elif node in self._pinged and last_read < self._asked[node]:
                if now - self._pinged[node] >= _SILENT:
                    del self._pinged[node]
                    self._silent[node] = subscriber.pongs
                    lost.append(node)
            else:
                self._pinged.pop(node, None)
                if node in used and now - last_read >= _QUIET and held != inf:
                    quiet.append(node)
        self._ask(quiet, subscribers, now, ping_interval(len(used), idle=self.idle))
        return NodeNews(tuple(lost), tuple(found))

    def _ask(
        self,
        nodes: list[NodeId],
        subscribers: Mapping[NodeId, Subscriber],
        now: float,
        every: float,
    ) -> None:
        """Send a PING to those of ``nodes`` whose turn it is, and to those whose turn is next.

        Asking several nodes at once wakes the event loop once for all of them.
        """
        since = [now - self._asked.get(node, 0.0) for node in nodes]
        if max(since, default=0.0) < every:
            return
        for node, seconds in zip(nodes, since, strict=True):
            if seconds >= _NEXT * every:
                self._pinged[node] = self._asked[node] = now
                subscribers[node].ping()
