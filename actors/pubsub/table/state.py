"""The values of a subscription table: a target's state, its status on a node, and commands.

:mod:`actors.pubsub.table.table` says how they follow from each other.
"""

from __future__ import annotations

from enum import Enum
from math import inf

import msgspec

from actors.pubsub.model.types import Target

NodeId = str


class NodeStatus(Enum):
    """What a target is on one node; a node without an entry has no subscription."""

    SUBSCRIBING = "subscribing"
    LIVE = "live"
    UNSUBSCRIBING = "unsubscribing"


# gc=False: none of these is ever part of a reference cycle, and there may be tens of thousands of
# them at a time.


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """Send the subscription of ``target`` to ``node``."""

    node: NodeId
    target: Target


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """Send the end of the subscription of ``target`` to ``node``."""

    node: NodeId
    target: Target


class SetSource(msgspec.Struct, frozen=True, gc=False):
    """Let the messages of ``target`` come from ``node`` alone; None: from nowhere."""

    target: Target
    node: NodeId | None


class Handover(msgspec.Struct, frozen=True, gc=False):
    """Let the messages of ``target`` come from both nodes, each message once.

    Until ``Table.handover_done``.
    """

    target: Target
    old: NodeId
    new: NodeId


class GapEnded(msgspec.Struct, frozen=True, gc=False):
    """Report that ``target`` may have missed messages from ``since`` to ``until`` (loop time)."""

    target: Target
    since: float
    until: float
    reason: str


Command = Subscribe | Unsubscribe | SetSource | Handover | GapEnded


class TargetState(msgspec.Struct, gc=False):
    """Everything known of one target: a row of the table.

    Attributes:
        wanted: whether the user wants the target.
        draining: not wanted any more, and messages that come until its end are still delivered.
        places: the nodes where the target should be live, the preferred one first.
        nodes: the target's status on each node.
        blocked: nodes that refused the target; :meth:`Table.retry` asks them again.
        source: the node whose messages are delivered.
        leaving: the former source, while a handover to ``source`` goes on.
        gap_since: when the target was surely live last, while a gap is open.
        gap_reason: what opened the gap.
        gap_doubt: the node whose silence opened the gap, where its connection still stands.
        gap_awaits: the node that has to confirm before the gap ends, wherever else the target is
            live.
        spans: for each node, since when the target is live there, and until when it surely was.
        reported_until: the end of the latest gap that was reported.
    """

    target: Target
    places: tuple[NodeId, ...] = ()
    wanted: bool = True
    draining: bool = False
    nodes: dict[NodeId, NodeStatus] = msgspec.field(default_factory=dict)
    blocked: frozenset[NodeId] = frozenset()
    source: NodeId | None = None
    leaving: NodeId | None = None
    gap_since: float | None = None
    gap_reason: str = ""
    gap_doubt: NodeId | None = None
    gap_awaits: NodeId | None = None
    spans: dict[NodeId, tuple[float, float]] = {}
    reported_until: float = -inf

    def unblock(self, node: NodeId) -> None:
        """Note that ``node`` may be asked again."""
        if self.blocked:
            self.blocked -= {node}

    def is_live(self, node: NodeId | None) -> bool:
        """Whether the target is live on ``node``."""
        return node is not None and self.nodes.get(node) is NodeStatus.LIVE

    def feeds(self, node: NodeId | None) -> bool:
        """Whether what ``node`` delivers is used: also until it confirms the end of a drain."""
        actual = None if node is None else self.nodes.get(node)
        return actual is NodeStatus.LIVE or (self.draining and actual is NodeStatus.UNSUBSCRIBING)

    def is_all(self, node: NodeId) -> bool:
        """Whether the target was live on the lost ``node`` alone, and no gap is open."""
        return (
            self.source == node
            and self.wanted
            and not self.nodes
            and self.gap_since is None
            and self.gap_doubt is None
            and self.gap_awaits is None
            and self.leaving is None
            and len(self.spans) == 1
        )
