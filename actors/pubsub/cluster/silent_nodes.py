"""Which connected nodes do not answer (P9), and which do again; pure but for its PINGs.

    HEARD --quiet for QUIET--> PINGED --nothing for SILENT--> SILENT --a pong--> HEARD
      ^                          |  any byte
      +--------------------------+

One that speaks again is believed with its pong, after all that it had still to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.table.state import NodeId

__all__ = ["News", "SilentNodes"]

#: Seconds of silence after which a node is asked for a sign of life, and in which it must give one.
_QUIET, _SILENT = 0.5, 0.5
#: Seconds of silence after which an orphan is.
_ORPHANED = 0.025


class News(msgspec.Struct, frozen=True):
    """What a look has found: nodes that fell silent, and nodes that speak again."""

    lost: tuple[NodeId, ...] = ()
    found: tuple[NodeId, ...] = ()


class SilentNodes:
    """The nodes that were asked for a sign of life, and those that gave none."""

    def __init__(self) -> None:
        # Nodes that do not answer, each with the pongs that it gave before.
        self._silent: dict[NodeId, int] = {}
        self._pinged: dict[NodeId, float] = {}

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
        """``node`` has no connection any more."""
        self._silent.pop(node, None)
        self._pinged.pop(node, None)

    def keep(self, known: Collection[NodeId]) -> None:
        """Forget those that are not ``known``."""
        self._silent = {node: pongs for node, pongs in self._silent.items() if node in known}

    def look(
        self,
        subscribers: Mapping[NodeId, Subscriber],
        orphans: Collection[NodeId],
        now: float,
        held: float,
    ) -> News:
        """Have quiet nodes give a sign of life; return what has changed.

        Args:
            subscribers: the connections.
            orphans: nodes that are asked for signs of life all the time.
            now: the time.
            held: seconds for which nothing was read, because the loop was late, or on purpose
                (infinity): for that time the nodes' clocks stand still, for what they said was not
                heard.
        """
        if held > 0.0:
            self._pinged = {node: min(now, at + held) for node, at in self._pinged.items()}
        lost, found = [], []
        for node, subscriber in subscribers.items():
            if node in self._silent:
                if subscriber.pongs > self._silent[node]:
                    del self._silent[node]
                    found.append(node)
            elif self._falls_silent(node, subscriber, now, ask=held != float("inf")):
                self._silent[node] = subscriber.pongs
                lost.append(node)
            elif node in orphans and _ORPHANED <= now - subscriber.connection.last_read < _QUIET:
                subscriber.ping()
        return News(tuple(lost), tuple(found))

    def _falls_silent(self, node: NodeId, subscriber: Subscriber, now: float, *, ask: bool) -> bool:
        if now - subscriber.connection.last_read < _QUIET:
            self._pinged.pop(node, None)
            return False
        pinged = self._pinged.get(node)
        if pinged is None:
            if ask:
                self._pinged[node] = now
                subscriber.ping()
            return False
        if now - pinged <= _SILENT:
            return False
        del self._pinged[node]
        return True
