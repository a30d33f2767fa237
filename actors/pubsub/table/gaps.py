"""When a target was surely live, and which gaps follow (pure).

A gap opens when a node is lost and the target is not surely live elsewhere. It begins when the
target was surely live last, on any node. It ends when a node confirms the target that surely
receives its messages. Where a node took over its shard and ended the subscription, messages that it
accepts before it confirms again may reach nobody: such a gap waits for that node, wherever else the
target is live.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from actors.pubsub.table.state import Command, GapEnded, NodeId, NodeStatus, TargetState

# Seconds for which it is remembered where a target was live: no proof of life is older.
_REMEMBERED = 10.0


class Gaps:
    """Opens and ends the gaps of rows.

    Attributes:
        doubted: nodes that may receive nothing at the moment, though they are connected.
        started: nodes that were just started, each with the time from which they surely receive
            what other nodes of their shard accept.
    """

    def __init__(self) -> None:
        self.doubted: set[NodeId] = set()
        self.started: dict[NodeId, float] = {}

    def doubt(self, rows: Iterable[TargetState], node: NodeId, proof: float, reason: str) -> None:
        """Doubt ``node``: it may have received nothing since ``proof``."""
        self.doubted.add(node)
        for row in rows:
            if row.wanted and row.is_live(node) and row.gap_since is None and not self.proven(row):
                row.gap_since = self.gap_start(row, proof)
                row.gap_reason, row.gap_doubt = reason, node

    def trust(
        self, rows: Iterable[TargetState], node: NodeId, now: float, *, nothing_lost: bool
    ) -> list[Command]:
        """Trust ``node`` again; ``nothing_lost``: it has received everything all the time."""
        self.doubted.discard(node)
        commands: list[Command] = []
        for row in rows:
            if row.is_live(node) and nothing_lost and row.gap_doubt == node:
                row.gap_since = row.gap_doubt = None
            elif row.is_live(node) and row.gap_awaits is None:
                commands += self.end(row, now)
        return commands

    def confirmed(self, row: TargetState, node: NodeId, now: float) -> list[Command]:
        """``node`` confirmed the subscription, and the target is live there."""
        if row.gap_since is None:
            return []
        if row.gap_awaits == node:
            row.gap_awaits = None
        if row.gap_awaits is None and self.proven(row):
            return self.end(row, now)
        return []

    def took_over(self, row: TargetState, node: NodeId, proof: float, end: float) -> None:
        """Open a gap: ``node`` became the primary of its shard, and ended the subscription.

        Args:
            row: the target's; no gap is open.
            node: the node.
            proof: until then ``node`` delivered everything that any node accepted.
            end: until then ``node`` delivered everything that it accepted itself.
        """
        row.spans[node] = row.spans[node][0], proof
        covered = self.covered(row, self.gap_start(row, proof))
        row.gap_since = self.gap_start(row, min(covered, end))
        row.gap_reason = "another node took over"
        row.gap_awaits = node if self.proven(row) else None

    def sure(self, row: TargetState) -> list[NodeId]:
        """Return the nodes on which the target is surely live."""
        return [
            node
            for node, actual in row.nodes.items()
            if actual is NodeStatus.LIVE and node not in self.doubted
        ]

    def proven(self, row: TargetState) -> bool:
        """Whether the target is surely live on a node."""
        return bool(self.sure(row))

    def covered(self, row: TargetState, since: float) -> float:
        """Return until when the target was surely live, on any nodes, from ``since`` on."""
        sure = self.sure(row)
        spans = [
            (begin, end) for node, (begin, end) in row.spans.items() if end < inf or node in sure
        ]
        for begin, end in sorted(spans):
            if begin <= since < end:
                since = end
        return since

    @staticmethod
    def gap_start(row: TargetState, proof: float) -> float:
        """Return when a gap begins: at ``proof``, or later after a first confirmation or a gap."""
        first = min((begin for begin, _ in row.spans.values()), default=proof)
        return max(proof, first, row.reported_until)

    def end(self, row: TargetState, now: float) -> list[Command]:
        """End the open gap, if there is one, at ``now``, and report it.

        Where the target is live on nodes alone that were just started, the gap is reported with a
        later end: what the others accept until then may not reach these nodes.
        """
        if row.gap_since is None or not row.wanted:
            return []
        linked = min((self.started.get(node, now) for node in self.sure(row)), default=now)
        until = max(now, linked)
        # An earlier gap may have been reported with a later end.
        ended = GapEnded(row.target, min(row.gap_since, now), until, row.gap_reason)
        row.gap_since = row.gap_doubt = row.gap_awaits = None
        row.reported_until = until
        return [ended]

    def lost(
        self, row: TargetState, actual: NodeStatus, node: NodeId, proof: float, reason: str
    ) -> list[Command]:
        """Open a gap, if one follows from the loss of ``node``.

        Args:
            row: the target's; ``node`` is not among its nodes any more.
            actual: the target's status on ``node`` before.
            node: the lost node.
            proof: until then ``node`` delivered everything that any node accepted.
            reason: why the node was lost.
        """
        if actual is not NodeStatus.LIVE or not row.wanted:
            return []
        row.spans[node] = row.spans[node][0], proof
        for other in [n for n, (_, end) in row.spans.items() if end < proof - _REMEMBERED]:
            del row.spans[other]
        if row.gap_since is not None:
            if row.gap_doubt == node:
                row.gap_doubt = None  # what was doubted is certain now
            if not self.proven(row):
                row.gap_awaits = None  # any node's confirmation ends it
            return []
        since = self.covered(row, self.gap_start(row, proof))
        if since == inf:
            return []
        row.gap_since, row.gap_reason, row.gap_doubt = since, reason, None
        if not self.proven(row):
            return []
        # The target is live on another node, and was not yet when this one was surely live last.
        return self.end(row, min(row.spans[live][0] for live in self.sure(row)))

    def called_off(self, row: TargetState, node: NodeId) -> list[Command]:
        """``node`` did not become the primary: the target's other nodes count again."""
        if row.gap_awaits != node:
            return []
        row.gap_awaits = None
        if not self.proven(row):
            return []
        if self.covered(row, self.gap_start(row, row.spans[node][1])) == inf:
            row.gap_since = None
            return []
        return self.end(row, min(row.spans[live][0] for live in self.sure(row)))
