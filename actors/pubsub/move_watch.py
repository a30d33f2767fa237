"""Watches the nodes that we listen on for slots that are about to leave them (P6).

The questions go over the connections that are there. All is calm: whether a migration of whole
ranges has begun, a few times a second; that question costs a server next to nothing. Slots are
leaving a node: what is under way there, every few milliseconds, because slots move in rows, and
each shows its target for no longer than tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from weakref import WeakSet

from actors.pubsub.link import NodeLink
from actors.pubsub.moves import Moves, parse_jobs, parse_setslot
from actors.pubsub.table import NodeId

__all__ = ["MoveWatch"]

#: Seconds between two questions while slots leave a node, and while all is calm.
CLOSELY, CALMLY = 0.005, 0.04
#: Seconds for which a node is watched closely after a slot of it was seen to move.
_MOVING = 2.0
# Calm questions a second, over all nodes.
_MOST_CALM = 75.0


class MoveWatch:
    """Asks, and keeps what is known.

    Attributes:
        moves: what is known.

    Args:
        now: returns the time in seconds.
        slots: returns the slots of interest.
        changed: called with the slots whose target is another one now.
    """

    def __init__(
        self,
        now: Callable[[], float],
        slots: Callable[[], Collection[int]],
        changed: Callable[[set[int]], None],
    ) -> None:
        self.moves = Moves()
        self._now = now
        self._slots = slots
        self._changed = changed
        self._asked: set[tuple[NodeId, bytes]] = set()
        self._calm_at = 0.0
        self._without_jobs: WeakSet[NodeLink] = WeakSet()

    def watch(self, node: NodeId) -> None:
        """Watch ``node`` closely for a while: a slot has left it, or is leaving."""
        self.moves.sources[node] = self._now() + _MOVING

    def note(self, node: NodeId, under_way: Mapping[int, str]) -> None:
        """Take what somebody else found: slots of ``node`` on their way."""
        if under_way:
            self.watch(node)
            self._report(self.moves.note_setslot(under_way, self._slots(), self._now()))

    def taken(self, slot: int) -> None:
        """The slot's target has taken a subscription."""
        if self.moves.probed:
            self._report(self.moves.taken(slot, self._slots(), self._now()))

    def tick(self, links: Mapping[NodeId, NodeLink]) -> float:
        """Ask what is due of the primaries in ``links``; return the seconds until the next time."""
        now = self._now()
        self._report(self.moves.expire(now))
        sources = self.moves.sources
        calm = now >= self._calm_at
        if calm:
            self._calm_at = now + max(CALMLY, len(links) / _MOST_CALM)
        for node, link in links.items():
            if node in sources:
                self._ask(node, link, b"NODES", self._heard_nodes)
            if (node in sources or calm) and link not in self._without_jobs:
                self._ask(node, link, b"GETSLOTMIGRATIONS", self._heard_jobs)
        return CLOSELY if sources else max(CLOSELY, self._calm_at - now)

    def _ask(
        self,
        node: NodeId,
        link: NodeLink,
        what: bytes,
        heard: Callable[[NodeId, NodeLink, Any], None],
    ) -> None:
        if (node, what) in self._asked or not link.connection.usable:
            return
        self._asked.add((node, what))

        def answered(reply: Any) -> None:
            self._asked.discard((node, what))
            heard(node, link, reply)

        link.query((b"CLUSTER", what), answered)

    def _heard_nodes(self, node: NodeId, link: NodeLink, reply: Any) -> None:
        if isinstance(reply, bytes):
            self.note(node, parse_setslot(reply))

    def _heard_jobs(self, node: NodeId, link: NodeLink, reply: Any) -> None:
        if isinstance(reply, Exception):
            # A server without such migrations, or a user who may not ask.
            self._without_jobs.add(link)
            return
        for job in parse_jobs(reply):
            self.watch(node)
            self._report(self.moves.note_job(job, self._slots(), self._now()))

    def _report(self, slots: set[int]) -> None:
        if slots:
            self._changed(slots)
