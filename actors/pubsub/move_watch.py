"""Watches the nodes that we listen on for what they are about to do (P6).

The questions go over the connections that are there:

- Slots are leaving a node: what is under way there, every few milliseconds, because slots move in
  rows, and each shows its target for no longer than tens of milliseconds.
- All is calm: whether a migration has begun (of single slots: in small clusters), and whether
  publishers are held, which a primary does that is handing over to a replica. A node that sends
  messages is asked often, for it holds publishers for a twentieth of a second only; one that is
  quiet, now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from weakref import WeakSet

from actors.pubsub.link import NodeLink
from actors.pubsub.moves import Moves, parse_jobs, parse_setslot
from actors.pubsub.table import NodeId

__all__ = ["MoveWatch"]

#: Seconds between two questions while slots leave a node, while it sends messages, and else.
CLOSELY, CALMLY, SELDOM = 0.005, 0.025, 0.25
#: Seconds for which a node is watched closely after a slot of it was seen to move.
_MOVING = 2.0
# Clusters of so many nodes are asked about single slots when all is calm, too.
_FEW_NODES = 32
# Most nodes that are asked in a second while all is calm.
_MOST_CALM = 120.0


class MoveWatch:
    """Asks, and keeps what is known.

    Attributes:
        moves: what is known.
        free: when a primary was asked last that did not hold its publishers.

    Args:
        now: returns the time in seconds.
        slots: returns the slots of interest.
        changed: called with the slots whose target is another one now.
        handing_over: called with a node that is about to hand over to a replica.
    """

    def __init__(
        self,
        now: Callable[[], float],
        slots: Callable[[], Collection[int]],
        changed: Callable[[set[int]], None],
        handing_over: Callable[[NodeId], None],
    ) -> None:
        self.moves = Moves()
        self.free: dict[NodeId, float] = {}
        self._now = now
        self._slots = slots
        self._changed = changed
        self._handing_over = handing_over
        self._asked: dict[tuple[NodeId, bytes], float] = {}
        # When the question was asked whose answer is in hand.
        self._answered = 0.0
        self._calm_at = 0.0
        # When a node was asked last, when messages came from it, and how many had by then.
        self._before: dict[NodeId, tuple[float, float, int]] = {}
        # Connections to servers that do not know the answer, or keep it from us.
        self._without_jobs: WeakSet[NodeLink] = WeakSet()
        self._without_pauses: WeakSet[NodeLink] = WeakSet()

    def watch(self, node: NodeId) -> None:
        """Watch ``node`` closely for a while: a slot has left it, or is leaving."""
        known = node in self.moves.sources
        self.moves.sources[node] = self._now() + _MOVING
        if not known:
            # Where replicas are listened to, the node itself is from now on, too.
            self._report(set(self._slots()))

    def note(self, node: NodeId, under_way: Mapping[int, str]) -> None:
        """Take what somebody else found: slots of ``node`` on their way."""
        if under_way:
            self.watch(node)
            self._report(self.moves.note_setslot(under_way, self._slots(), self._now()))

    def taken(self, slot: int) -> None:
        """The slot's target has taken a subscription."""
        if self.moves.probed:
            self._report(self.moves.taken(slot, self._slots(), self._now()))

    def tick(self, links: Mapping[NodeId, NodeLink], nodes: int) -> float:
        """Ask what is due of the primaries in ``links``; return the seconds until the next time.

        Args:
            links: by node.
            nodes: how many the cluster has: so many lines has the answer about single slots.
        """
        now = self._now()
        before = len(self.moves.sources)
        gone = self.moves.expire(now)
        sources = self.moves.sources
        self._report(gone if len(sources) == before else set(self._slots()))
        calm = now >= self._calm_at
        if calm:
            self._calm_at = now + max(CALMLY, len(links) / _MOST_CALM)
        for node, link in links.items():
            due = calm and self._is_due(node, link, now)
            if node in sources or (due and nodes <= _FEW_NODES):
                self._ask(node, link, (b"CLUSTER", b"NODES"), self._heard_nodes)
            if (due or node in sources) and link not in self._without_jobs:
                self._ask(node, link, (b"CLUSTER", b"GETSLOTMIGRATIONS"), self._heard_jobs)
            if due and link not in self._without_pauses:
                self._ask(node, link, (b"INFO", b"clients"), self._heard_clients)
        return CLOSELY if sources else max(CLOSELY, self._calm_at - now)

    def _is_due(self, node: NodeId, link: NodeLink, now: float) -> bool:
        asked_at, spoke_at, received = self._before.get(node, (0.0, 0.0, 0))
        if link.received != received:
            spoke_at = now
        # One that falls quiet may do so because it holds its publishers.
        due = now - spoke_at < SELDOM or now - asked_at >= SELDOM
        self._before[node] = (now if due else asked_at, spoke_at, link.received)
        return due

    def _ask(
        self,
        node: NodeId,
        link: NodeLink,
        command: tuple[bytes, bytes],
        heard: Callable[[NodeId, NodeLink, Any], None],
    ) -> None:
        key = (node, command[1])
        if key in self._asked or not link.connection.usable:
            return
        self._asked[key] = self._now()

        def answered(reply: Any) -> None:
            self._answered = self._asked.pop(key)
            heard(node, link, reply)

        link.query(command, answered)

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

    def _heard_clients(self, node: NodeId, link: NodeLink, reply: Any) -> None:
        if not isinstance(reply, bytes) or b"paused_reason:" not in reply:
            self._without_pauses.add(link)
        elif b"paused_reason:failover" in reply:
            self._handing_over(node)
        else:
            self.free[node] = self._answered

    def _report(self, slots: set[int]) -> None:
        if slots:
            self._changed(slots)
