"""What a table is made of: the actual states, a row for each target, and the commands; values.

See ``table`` for how they follow from each other.
"""

from __future__ import annotations

from enum import Enum
from math import inf

import msgspec

from actors.pubsub.model.types import Target

__all__ = [
    "NodeStatus",
    "Command",
    "GapEnded",
    "Handover",
    "NodeId",
    "TargetState",
    "SetSource",
    "Subscribe",
    "Unsubscribe",
]

NodeId = str


class NodeStatus(Enum):
    """What a target is on one node; absent where there is no entry."""

    SUBSCRIBING = "subscribing"
    LIVE = "live"
    UNSUBSCRIBING = "unsubscribing"


# None of these is ever part of a cycle, and there may be tens of thousands of them at a time: the
# collector need not look at them.


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
    """Let the messages of ``target`` come from both, each once, until ``Table.handover_done``."""

    target: Target
    old: NodeId
    new: NodeId


class GapEnded(msgspec.Struct, frozen=True, gc=False):
    """``target`` is live again; it was surely live last at ``since`` (the caller's clock)."""

    target: Target
    since: float
    until: float
    reason: str


Command = Subscribe | Unsubscribe | SetSource | Handover | GapEnded


class TargetState(msgspec.Struct, gc=False):
    """All that is known of one target.

    Attributes:
        wanted: whether it is desired.
        draining: desired no longer, and what comes until each node has said so still counts.
        places: where it should be live, best first.
        nodes: its actual state by node.
        blocked: nodes that refused it: not asked again before :meth:`Table.retry`.
        source: the node whose messages count.
        leaving: the node that hands over to the source.
        gap_since: the last proof of life, while a gap is open.
        gap_reason: what opened it.
        gap_doubt: the node whose doubtful word opened it, where that was all.
        gap_awaits: the node that must be live again to end it, wherever else the target is live.
        spans: for each node, since when the target is live there, and until when it surely was.
        told: the end of the latest gap that was reported.
    """

    target: Target
    places: tuple[NodeId, ...] = ()
    wanted: bool = True
    draining: bool = False
    nodes: dict[NodeId, NodeStatus] = msgspec.field(default_factory=dict)
    blocked: set[NodeId] = msgspec.field(default_factory=set)
    source: NodeId | None = None
    leaving: NodeId | None = None
    gap_since: float | None = None
    gap_reason: str = ""
    gap_doubt: NodeId | None = None
    gap_awaits: NodeId | None = None
    spans: dict[NodeId, tuple[float, float]] = {}
    told: float = -inf

    def is_live(self, node: NodeId | None) -> bool:
        """Whether the target is live on ``node``."""
        return node is not None and self.nodes.get(node) is NodeStatus.LIVE

    def was_live(self, node: NodeId, since: float) -> bool:
        """Whether the target is or was live on ``node``, and was already at ``since``."""
        return node in self.spans and self.spans[node][0] <= since

    def feeds(self, node: NodeId | None) -> bool:
        """Whether what ``node`` delivers counts: until its last word, where the target drains."""
        actual = None if node is None else self.nodes.get(node)
        return actual is NodeStatus.LIVE or (self.draining and actual is NodeStatus.UNSUBSCRIBING)

    def is_all(self, node: NodeId) -> bool:
        """Whether ``node``, lost by now, was all that there was of it, without a gap."""
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
