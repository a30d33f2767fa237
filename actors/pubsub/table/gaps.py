"""When a target was surely live, and which gaps follow; pure.

A gap opens where a target is lost that is live nowhere else for sure: with the last proof of life,
or where another node's life ends that it had until then. It ends with the acknowledgement of a node
that is sure to receive the target. Where a node took over, what it accepted meanwhile may have come
to nobody: then the gap awaits that node, wherever else the target is live.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from actors.pubsub.table.state import Command, GapEnded, NodeId, NodeStatus, TargetState

__all__ = ["Gaps"]

# Seconds for which it is known where a target was live: no node's word is older than that.
_REMEMBERED = 10.0


class Gaps:
    """The gaps of rows.

    Attributes:
        doubted: nodes on which being live proves nothing at the moment.
    """

    def __init__(self) -> None:
        self.doubted: set[NodeId] = set()

    def doubt(self, rows: Iterable[TargetState], node: NodeId, proof: float, reason: str) -> None:
        """Being live on ``node`` proves nothing from ``proof`` on."""
        self.doubted.add(node)
        for row in rows:
            if row.wanted and row.is_live(node) and row.gap_since is None and not self.proven(row):
                row.gap_since = self.owed(row, proof)
                row.gap_reason, row.gap_doubt = reason, node

    def trust(
        self, rows: Iterable[TargetState], node: NodeId, now: float, *, nothing_lost: bool
    ) -> list[Command]:
        """Being live on ``node`` is a proof again; ``nothing_lost``: it was one all the time."""
        self.doubted.discard(node)
        commands: list[Command] = []
        for row in rows:
            if row.is_live(node) and nothing_lost and row.gap_doubt == node:
                row.gap_since = row.gap_doubt = None
            elif row.is_live(node) and row.gap_awaits is None:
                commands += self.end(row, now)
        return commands

    def confirmed(self, row: TargetState, node: NodeId, now: float) -> list[Command]:
        """``node`` acknowledged the subscription, and the target is live there."""
        if row.gap_since is None:
            return []
        if row.gap_awaits == node:
            row.gap_awaits = None  # here it is, and it counts as any other, doubted or not
        if row.gap_awaits is None and self.proven(row):
            return self.end(row, now)
        return []

    def took_over(self, row: TargetState, node: NodeId, proof: float, end: float) -> None:
        """``node`` took over, and ended the subscription: what it accepts reaches nobody for sure.

        Args:
            row: the target's; without a gap.
            node: the node.
            proof: until then it surely delivered all that was accepted anywhere.
            end: until then it surely delivered what it accepted itself.
        """
        row.spans[node] = row.spans[node][0], proof
        covered = self.covered(row, self.owed(row, proof))
        row.gap_since = self.owed(row, min(covered, end))
        row.gap_reason = "another node took over"
        row.gap_awaits = node if self.proven(row) else None

    def sure(self, row: TargetState) -> list[NodeId]:
        """Return the nodes that the target is live on, and that are sure to receive it."""
        return [
            node
            for node, actual in row.nodes.items()
            if actual is NodeStatus.LIVE and node not in self.doubted
        ]

    def proven(self, row: TargetState) -> bool:
        """Whether the target is live on a node that is sure to receive it."""
        return bool(self.sure(row))

    def covered(self, row: TargetState, since: float) -> float:
        """Return until when the target was surely live somewhere from ``since`` on."""
        sure = self.sure(row)
        spans = [
            (begin, end) for node, (begin, end) in row.spans.items() if end < inf or node in sure
        ]
        for begin, end in sorted(spans):
            if begin <= since < end:
                since = end
        return since

    @staticmethod
    def owed(row: TargetState, proof: float) -> float:
        """Return ``proof``, or what is later: the first acknowledgement, the end of a told gap."""
        first = min((begin for begin, _ in row.spans.values()), default=proof)
        return max(proof, first, row.told)

    def end(self, row: TargetState, now: float) -> list[Command]:
        """End the gap, if there is one: the target is live, and was not until ``now``."""
        if row.gap_since is None or not row.wanted:
            return []
        ended = GapEnded(row.target, row.gap_since, now, row.gap_reason)
        row.gap_since = row.gap_doubt = row.gap_awaits = None
        row.told = now
        return [ended]

    def lost(
        self, row: TargetState, actual: NodeStatus, node: NodeId, proof: float, reason: str
    ) -> list[Command]:
        """``node`` was lost, where it was ``actual``; until ``proof`` it surely delivered."""
        if actual is not NodeStatus.LIVE or not row.wanted:
            return []
        row.spans[node] = row.spans[node][0], proof
        for other in [n for n, (_, end) in row.spans.items() if end < proof - _REMEMBERED]:
            del row.spans[other]
        if row.gap_since is not None:
            if row.gap_doubt == node:
                row.gap_doubt = None  # it is certain now
            if not self.proven(row):
                row.gap_awaits = None  # any node will do
            return []
        since = self.covered(row, self.owed(row, proof))
        if since == inf:
            return []
        row.gap_since, row.gap_reason, row.gap_doubt = since, reason, None
        if not self.proven(row):
            return []
        # Another one is live, and was not yet when this one was surely heard last.
        return self.end(row, min(row.spans[live][0] for live in self.sure(row)))

    def called_off(self, row: TargetState, node: NodeId) -> list[Command]:
        """``node`` did not take over, after all: it counts where else it was live meanwhile."""
        if row.gap_awaits != node:
            return []
        row.gap_awaits = None
        if not self.proven(row):
            return []
        if self.covered(row, self.owed(row, row.spans[node][1])) == inf:
            row.gap_since = None
            return []
        return self.end(row, min(row.spans[live][0] for live in self.sure(row)))
