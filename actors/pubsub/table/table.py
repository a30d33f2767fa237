"""The subscription table: what is wanted, what there is, and the commands that follow (pure).

Facts go in as method calls, commands come out as values; nothing here waits, sends, or knows the
time except as an argument. A *target* is wanted or not (P1); on each *node* it has a status:

    ABSENT --Subscribe--> SUBSCRIBING --confirmed--> LIVE --Unsubscribe--> UNSUBSCRIBING
      ^                       | refused                | revoked                | removed
      +-----------------------+------------------------+------------------------+
      (and from every state when the node's connection ends)

The nodes where a target should be live are its *places*, the preferred one first: one node for a
plain subscription; for a shard channel the owner of the slot, and the nodes that may follow it. One
of the nodes where the target is live is its *source*, and only the source's messages are delivered
(P7). When a better place becomes live, a *handover* begins: for a moment both nodes feed a merge,
which delivers each message once, then the former source is left. A target is live at its new place
before it leaves the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf

from actors.pubsub.model.types import Target
from actors.pubsub.table.gaps import Gaps
from actors.pubsub.table.source_choice import choose_source, is_surplus
from actors.pubsub.table.state import (
    Command,
    GapEnded,
    NodeId,
    NodeStatus,
    SetSource,
    Subscribe,
    TargetState,
    Unsubscribe,
)

#: An attribute of an enumeration is looked up by a function.
_LIVE, _SUBSCRIBING = NodeStatus.LIVE, NodeStatus.SUBSCRIBING


class Table:
    """The subscriptions of one pub/sub object."""

    def __init__(self) -> None:
        self.rows: dict[Target, TargetState] = {}
        #: Nodes with a connection.
        self.up: set[NodeId] = set()
        self._gaps = Gaps()
        #: Another number whenever a row may have changed.
        self.version = 0

    # -- what is wanted ----------------------------------------------------------------------------

    def want(self, target: Target, places: tuple[NodeId, ...]) -> list[Command]:
        """``target`` is wanted, and should be live at ``places``."""
        self.version += 1
        row = self.rows.get(target)
        if row is None:
            row = self.rows[target] = TargetState(target)
        row.wanted, row.draining = True, False
        row.places = places
        row.blocked = frozenset()
        return self._settle(row)

    def unwant(self, target: Target, *, drain: bool = False) -> list[Command]:
        """``target`` is not wanted any more; ``drain``: deliver what comes until its end."""
        self.version += 1
        row = self.rows.get(target)
        if row is None:
            return []
        row.wanted, row.draining = False, drain
        row.gap_since = row.gap_doubt = row.gap_awaits = None
        return self._settle(row)

    def place(self, target: Target, places: tuple[NodeId, ...]) -> list[Command]:
        """``target`` should be live at ``places`` from now on."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.places == places:
            return []
        row.places = places
        row.blocked = frozenset()
        return self._settle(row)

    def place_all(
        self, targets: Iterable[Target], places: Iterable[tuple[NodeId, ...]]
    ) -> list[Command]:
        """Each of ``targets`` should be live at its entry of ``places`` from now on."""
        commands: list[Command] = []
        rows = self.rows
        for target, where in zip(targets, places, strict=True):
            row = rows.get(target)
            if row is not None and row.places is not where and row.places != where:
                commands += self.place(target, where)
        return commands

    def open_gap(self, target: Target, since: float, reason: str) -> None:
        """Open a gap: ``target`` is wanted and not live; messages may be missed since ``since``."""
        row = self.rows.get(target)
        if row is not None and row.wanted and row.source is None and row.gap_since is None:
            row.gap_since, row.gap_reason, row.gap_doubt = since, reason, None

    # -- what happened -----------------------------------------------------------------------------

    def node_up(self, node: NodeId) -> list[Command]:
        """``node`` has a new connection, with nothing subscribed on it."""
        self.version += 1
        self.up.add(node)
        commands: list[Command] = []
        for row in self.rows.values():
            if node in row.places:
                row.unblock(node)
                if row.nodes or not row.wanted:
                    commands += self._settle(row)
                else:  # the target is live nowhere, so nothing but a subscription follows
                    self._ask(row, commands)
        return commands

    def node_down(self, node: NodeId, proof: float, reason: str) -> list[Command]:
        """``node``'s connection ended; what was live there surely was until ``proof``."""
        self.version += 1
        self.up.discard(node)
        commands: list[Command] = []
        for row in list(self.rows.values()):
            actual = row.nodes.pop(node, None)
            row.unblock(node)
            if actual is _LIVE and row.is_all(node):
                # The usual case, thousands of times: what Gaps.lost and _settle come to.
                row.spans[node] = row.spans[node][0], proof
                row.gap_since, row.gap_reason = max(proof, row.reported_until), reason
                row.source = None
                self._ask(row, commands)
                commands.append(SetSource(row.target, None))
            elif actual is not None:
                commands += self._gaps.lost(row, actual, node, proof, reason)
                if row.gap_awaits == node:
                    row.gap_awaits = None
                    if self._gaps.proven(row):
                        commands += self._gaps.end(row, max(proof, row.gap_since or proof))
                commands += self._settle(row)
        self._gaps.doubted.discard(node)
        return commands

    def confirmed(self, node: NodeId, target: Target, now: float) -> list[Command]:
        """``node`` confirmed the subscription of ``target``."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not _SUBSCRIBING:
            return []
        row.unblock(node)
        row.nodes[node] = _LIVE
        row.spans[node] = now, inf
        # First, so that the consumer hears of the gap before the next message.
        commands = self._gaps.confirmed(row, node, now)
        if row.wanted and row.source is None and node in row.places:
            # The usual case, thousands of times: the target was live nowhere.
            row.source = node
            commands.append(SetSource(row.target, node))
        else:
            commands += self._settle(row)
        return commands

    def removed(self, node: NodeId, target: Target) -> list[Command]:
        """``node`` confirmed the end of the subscription of ``target``."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not NodeStatus.UNSUBSCRIBING:
            return []
        del row.nodes[node]
        return self._settle(row)

    def revoked(
        self,
        node: NodeId,
        target: Target,
        proof: float,
        *,
        promoted: bool = False,
        heard: float | None = None,
        missed_until: float | None = None,
    ) -> list[Command]:
        """``node`` ended the subscription of ``target`` by itself (P5).

        The slot has moved, or another node of the shard has become its primary. Where ``node`` is
        still a place, it is asked again at once: it confirms, or answers where the slot is now.

        Args:
            node: the node.
            target: the target.
            proof: until then ``node`` delivered everything that any node accepted.
            promoted: ``node`` has become the primary. What it accepts before it confirms again may
                not reach the other nodes: that is a gap, wherever the target is live.
            heard: until then ``node`` delivered what it accepted itself; None: ``proof``.
            missed_until: a gap from ``proof`` to this time, wherever else the target is live:
                messages may have been accepted that only ``node`` would have delivered.
        """
        self.version += 1
        row = self.rows.get(target)
        actual = row.nodes.get(node) if row is not None else None
        if row is None or actual is None or actual is NodeStatus.SUBSCRIBING:
            # The subscription that ended was an earlier one; the command under way gets its answer.
            return []
        del row.nodes[node]
        commands: list[Command] = []
        if promoted and actual is NodeStatus.LIVE and row.wanted and row.gap_since is None:
            self._gaps.took_over(row, node, proof, proof if heard is None else heard)
        else:
            since, reason = self._gaps.gap_start(row, proof), "the slot moved"
            commands = self._gaps.lost(row, actual, node, proof, reason)
            if missed_until is not None and actual is NodeStatus.LIVE and row.gap_since is None:
                # One gap, which ends where the longer one does.
                until = max(row.reported_until, missed_until)
                commands = []
                if since < until:
                    row.reported_until = until
                    commands += self.missed([target], since, until, reason)
        commands += self._settle(row)
        if node not in row.nodes:
            commands += self._gaps.called_off(row, node)
        return commands

    def refused(self, node: NodeId, target: Target) -> list[Command]:
        """``node`` answered the subscription of ``target`` with an error."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not NodeStatus.SUBSCRIBING:
            return []
        del row.nodes[node]
        row.blocked |= {node}
        return [*self._gaps.called_off(row, node), *self._settle(row)]

    def retry(self, targets: Iterable[Target] | None = None) -> list[Command]:
        """Ask again the nodes that refused ``targets``; None: any targets."""
        rows = (
            list(self.rows.values())
            if targets is None
            else [self.rows[target] for target in targets if target in self.rows]
        )
        commands: list[Command] = []
        for row in rows:
            if row.blocked:
                row.blocked = frozenset()
                commands += self._settle(row)
        return commands

    def misplaced(self, node: NodeId, target: Target, proof: float, reason: str) -> list[Command]:
        """``node`` receives ``target`` no longer since ``proof``, without having said so."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not NodeStatus.LIVE:
            return []
        row.nodes[node] = NodeStatus.UNSUBSCRIBING
        commands = self._gaps.lost(row, NodeStatus.LIVE, node, proof, reason)
        return [*commands, Unsubscribe(node, target), *self._settle(row)]

    def doubt(self, node: NodeId, proof: float, reason: str) -> None:
        """``node`` may have received nothing since ``proof``, though it is connected (P10).

        Targets that are live there alone are in a gap until they are live elsewhere.
        """
        if node in self.up and node not in self._gaps.doubted:
            self._gaps.doubt(self.rows.values(), node, proof, reason)

    def started(self, node: NodeId, linked_at: float) -> None:
        """``node`` was just started: others may not reach it before ``linked_at``."""
        self._gaps.started[node] = linked_at

    def live_since(self, nodes: Collection[NodeId], since: float) -> list[Target]:
        """Return the wanted targets that are live on one of ``nodes``, and were at ``since``."""
        return [
            row.target
            for row in self.rows.values()
            if row.wanted
            and any(row.is_live(node) and row.spans[node][0] < since for node in nodes)
        ]

    def missed(
        self, targets: Iterable[Target], since: float, until: float, reason: str
    ) -> list[Command]:
        """Report a gap: messages of ``targets`` accepted between these times may be missing."""
        rows = (self.rows.get(target) for target in targets)
        return [GapEnded(row.target, since, until, reason) for row in rows if row and row.wanted]

    def trust(self, node: NodeId, now: float, *, nothing_lost: bool) -> list[Command]:
        """``node`` surely receives what is live there; ``nothing_lost``: it did all the time."""
        if node not in self._gaps.doubted:
            return []
        return self._gaps.trust(self.rows.values(), node, now, nothing_lost=nothing_lost)

    def handover_done(self, target: Target, old: NodeId) -> list[Command]:
        """The handover from ``old`` is over: the source delivers alone."""
        self.version += 1
        row = self.rows.get(target)
        if row is None or row.leaving != old:
            return []
        row.leaving = None
        return [SetSource(target, row.source), *self._settle(row)]

    # -- what follows ------------------------------------------------------------------------------

    def _settle(self, row: TargetState) -> list[Command]:
        commands: list[Command] = []
        if row.wanted:
            self._ask(row, commands)
        choose_source(row, commands)
        for node, actual in row.nodes.items():
            if actual is _LIVE and is_surplus(row, node):
                row.nodes[node] = NodeStatus.UNSUBSCRIBING
                commands.append(Unsubscribe(node, row.target))
        if not row.wanted and not row.nodes:
            self.rows.pop(row.target, None)
        return commands

    def _ask(self, row: TargetState, commands: list[Command]) -> None:
        """Subscribe to the row's target at those of its places where it has no status."""
        nodes = row.nodes
        for node in row.places:
            if node not in nodes and node in self.up and node not in row.blocked:
                nodes[node] = _SUBSCRIBING
                commands.append(Subscribe(node, row.target))
