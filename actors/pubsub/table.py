"""The subscription table, pure: what is desired, what is, and what to do about the difference.

Facts go in as method calls, commands come out as values; nothing here waits, sends or knows time
but as an argument. A *target* is desired or not (P1); for each *node* it has an actual state:

    ABSENT --Subscribe--> SUBSCRIBING --confirmed--> LIVE --Unsubscribe--> UNSUBSCRIBING
      ^                       | refused                | revoked                | removed
      +-----------------------+------------------------+------------------------+
      (and from every state when the node's connection ends)

Where a target should be live is its *places*, best first: one node for a plain subscription; the
slot's owner, and those that may follow it, for a shard channel. Of the nodes where it is live one
is its *source*, and only that one's messages count (P7). When a better place becomes live the
source *hands over*: for a moment both feed a merge that lets each message through once, then the
old one is let go. A new place is live before an old one is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from math import inf

import msgspec

from actors.pubsub.types import Target

__all__ = [
    "Actual",
    "Command",
    "GapEnded",
    "HandOver",
    "NodeId",
    "Row",
    "SetSource",
    "Subscribe",
    "Table",
    "Unsubscribe",
]

NodeId = str


class Actual(Enum):
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


class HandOver(msgspec.Struct, frozen=True, gc=False):
    """Let the messages of ``target`` come from both, each once, until ``Table.handed_over``."""

    target: Target
    old: NodeId
    new: NodeId


class GapEnded(msgspec.Struct, frozen=True, gc=False):
    """``target`` is live again; it was surely live last at ``since`` (the caller's clock)."""

    target: Target
    since: float
    until: float
    reason: str


Command = Subscribe | Unsubscribe | SetSource | HandOver | GapEnded


# Seconds for which it is known where a target was live: no node's word is older than that.
_REMEMBERED = 10.0
#: An attribute of an enumeration is looked up by a function.
_LIVE, _SUBSCRIBING = Actual.LIVE, Actual.SUBSCRIBING


class Row(msgspec.Struct, gc=False):
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
    nodes: dict[NodeId, Actual] = msgspec.field(default_factory=dict)
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
        return node is not None and self.nodes.get(node) is Actual.LIVE

    def asked(self, node: NodeId) -> bool:
        """Whether the target is live on ``node``, or will be when that one answers."""
        return self.nodes.get(node) in (Actual.LIVE, Actual.SUBSCRIBING)

    def was_live(self, node: NodeId, since: float) -> bool:
        """Whether the target is or was live on ``node``, and was already at ``since``."""
        return node in self.spans and self.spans[node][0] <= since

    def is_tried(self, node: NodeId) -> bool:
        """Whether ``node`` refused the target, and may take it at the next try."""
        return self.wanted and node in self.blocked and node in self.places

    def feeds(self, node: NodeId | None) -> bool:
        """Whether what ``node`` delivers counts: until its last word, where the target drains."""
        actual = None if node is None else self.nodes.get(node)
        return actual is Actual.LIVE or (self.draining and actual is Actual.UNSUBSCRIBING)


class Table:
    """The subscriptions of one pub/sub object."""

    def __init__(self) -> None:
        self.rows: dict[Target, Row] = {}
        #: Nodes with a connection.
        self.up: set[NodeId] = set()
        #: Nodes on which being live proves nothing at the moment; see :meth:`doubt`.
        self.doubted: set[NodeId] = set()
        #: How often a row came or went.
        self.changes = 0

    # -- what is wanted ----------------------------------------------------------------------------

    def want(self, target: Target, places: tuple[NodeId, ...]) -> list[Command]:
        """``target`` is desired, and should be live at ``places``."""
        row = self.rows.get(target)
        if row is None:
            row = self.rows[target] = Row(target)
            self.changes += 1
        row.wanted, row.draining = True, False
        row.places = places
        row.blocked.clear()
        return self._settle(row)

    def unwant(self, target: Target, *, drain: bool = False) -> list[Command]:
        """``target`` is no longer desired; ``drain``: what comes until its end still counts."""
        row = self.rows.get(target)
        if row is None:
            return []
        row.wanted, row.draining = False, drain
        row.gap_since = row.gap_doubt = row.gap_awaits = None
        return self._settle(row)

    def place(self, target: Target, places: tuple[NodeId, ...]) -> list[Command]:
        """``target`` should be live at ``places`` from now on."""
        row = self.rows.get(target)
        if row is None or row.places == places:
            return []
        row.places = places
        row.blocked.clear()
        return self._settle(row)

    def place_all(
        self, targets: Iterable[Target], places: Iterable[tuple[NodeId, ...]]
    ) -> list[Command]:
        """Each of ``targets`` should be live at the place of its turn from now on."""
        commands: list[Command] = []
        rows = self.rows
        for target, where in zip(targets, places, strict=True):
            row = rows.get(target)
            if row is not None and row.places is not where and row.places != where:
                commands += self.place(target, where)
        return commands

    def open_gap(self, target: Target, since: float, reason: str) -> None:
        """``target`` is desired and not live; messages may be missed since ``since``."""
        row = self.rows.get(target)
        if row is not None and row.wanted and row.source is None and row.gap_since is None:
            row.gap_since, row.gap_reason, row.gap_doubt = since, reason, None

    # -- what happened -----------------------------------------------------------------------------

    def node_up(self, node: NodeId) -> list[Command]:
        """``node`` has a new connection, with nothing subscribed on it."""
        self.up.add(node)
        commands: list[Command] = []
        for row in self.rows.values():
            if node in row.places:
                row.blocked.discard(node)
                if row.nodes or not row.wanted:
                    commands += self._settle(row)
                else:  # it is live nowhere, and nothing but the question follows
                    self._ask(row, commands)
        return commands

    def node_down(self, node: NodeId, proof: float, reason: str) -> list[Command]:
        """``node``'s connection ended; it was surely live last at ``proof``."""
        self.up.discard(node)
        commands: list[Command] = []
        for row in list(self.rows.values()):
            actual = row.nodes.pop(node, None)
            row.blocked.discard(node)
            if actual is _LIVE and self._is_plain(row, node):
                # The usual case, thousands of times: what _note_loss and _settle come to.
                row.spans[node] = row.spans[node][0], proof
                row.gap_since, row.gap_reason = max(proof, row.told), reason
                row.source = None
                self._ask(row, commands)
                commands.append(SetSource(row.target, None))
            elif actual is not None:
                commands += self._note_loss(row, actual, node, proof, reason)
                if row.gap_awaits == node:
                    row.gap_awaits = None
                    if self._proven(row):
                        commands += self._end_gap(row, max(proof, row.gap_since or proof))
                commands += self._settle(row)
        self.doubted.discard(node)
        return commands

    def confirmed(self, node: NodeId, target: Target, now: float) -> list[Command]:
        """``node`` acknowledged the subscription of ``target``."""
        row = self.rows.get(target)
        if row is None or (row.nodes.get(node) is not _SUBSCRIBING and not row.is_tried(node)):
            return []
        row.blocked.discard(node)
        row.nodes[node] = _LIVE
        row.spans[node] = now, inf
        commands: list[Command] = []
        # First, so that whoever consumes the target hears of the gap before any message.
        if row.gap_since is not None:
            if row.gap_awaits == node:
                row.gap_awaits = None  # here it is, and it counts as any other, doubted or not
            if row.gap_awaits is None and self._proven(row):
                commands += self._end_gap(row, now)
        if row.wanted and row.source is None and node in row.places:
            # The usual case, thousands of times: it was live nowhere, and nothing else follows.
            row.source = node
            commands.append(SetSource(target, node))
        else:
            commands += self._settle(row)
        return commands

    def removed(self, node: NodeId, target: Target) -> list[Command]:
        """``node`` acknowledged the end of the subscription of ``target``."""
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not Actual.UNSUBSCRIBING:
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

        The slot moves, or another node of its shard takes over. Where the node is still a place it
        is asked again at once: it agrees, or answers where the slot is now.

        Args:
            node: the node.
            target: the target.
            proof: until then it surely delivered all that was accepted anywhere.
            promoted: it is the one that takes over. What it gets until it is asked again may not
                reach the others: that is a gap, wherever the target is live.
            heard: until then it surely delivered what it accepted itself; None: ``proof``.
            missed_until: until then messages may have been accepted that only ``node`` would have
                delivered, wherever else the target is live: a gap from ``proof`` on.
        """
        row = self.rows.get(target)
        actual = row.nodes.get(node) if row is not None else None
        if row is None or actual is None or actual is Actual.SUBSCRIBING:
            # What ended was there before the command on its way, which is answered by itself.
            return []
        del row.nodes[node]
        commands: list[Command] = []
        if promoted and actual is Actual.LIVE and row.wanted and row.gap_since is None:
            end = proof if heard is None else heard
            row.spans[node] = row.spans[node][0], proof
            row.gap_since = self._owed(row, min(self._covered(row, proof), end))
            row.gap_reason = "another node took over"
            row.gap_awaits = node if self._proven(row) else None
        else:
            since, reason = self._owed(row, proof), "the slot moved"
            commands = self._note_loss(row, actual, node, proof, reason)
            if missed_until is not None and actual is Actual.LIVE and row.gap_since is None:
                # One gap, up to where the longer one ends.
                until = max(row.told, missed_until)
                commands = []
                if since < until:
                    row.told = until
                    commands += self.missed([target], since, until, reason)
        commands += self._settle(row)
        if node not in row.nodes:
            commands += self._call_off(row, node)
        return commands

    def _call_off(self, row: Row, node: NodeId) -> list[Command]:
        """``node`` did not take over, after all: it counts where else it was live meanwhile."""
        if row.gap_awaits != node:
            return []
        row.gap_awaits = None
        if not self._proven(row):
            return []
        if self._covered(row, self._owed(row, row.spans[node][1])) == inf:
            row.gap_since = None
            return []
        return self._end_gap(row, min(row.spans[live][0] for live in self._sure(row)))

    def refused(self, node: NodeId, target: Target) -> list[Command]:
        """``node`` answered the subscription of ``target`` with an error."""
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not Actual.SUBSCRIBING:
            return []
        del row.nodes[node]
        row.blocked.add(node)
        return [*self._call_off(row, node), *self._settle(row)]

    def retry(self, targets: Iterable[Target] | None = None) -> list[Command]:
        """Ask again the nodes that refused ``targets``, or any target."""
        rows = (
            list(self.rows.values())
            if targets is None
            else [self.rows[target] for target in targets if target in self.rows]
        )
        commands: list[Command] = []
        for row in rows:
            if row.blocked:
                row.blocked.clear()
                commands += self._settle(row)
        return commands

    def misplaced(self, node: NodeId, target: Target, proof: float, reason: str) -> list[Command]:
        """``node`` no longer receives ``target``, without having said so; ``proof``: see above."""
        row = self.rows.get(target)
        if row is None or row.nodes.get(node) is not Actual.LIVE:
            return []
        row.nodes[node] = Actual.UNSUBSCRIBING
        commands = self._note_loss(row, Actual.LIVE, node, proof, reason)
        return [*commands, Unsubscribe(node, target), *self._settle(row)]

    def doubt(self, node: NodeId, proof: float, reason: str) -> None:
        """``node`` may receive nothing, though nothing was heard of an end (P10).

        What is live there alone is in a gap from ``proof`` on, until it is live elsewhere.
        """
        if node not in self.up or node in self.doubted:
            return
        self.doubted.add(node)
        for row in self.rows.values():
            if row.wanted and row.is_live(node) and row.gap_since is None and not self._proven(row):
                row.gap_since = self._owed(row, proof)
                row.gap_reason, row.gap_doubt = reason, node

    def live_since(self, nodes: Collection[NodeId], since: float) -> list[Target]:
        """Return the desired targets that are live on one of ``nodes``, and were at ``since``."""
        return [
            row.target
            for row in self.rows.values()
            if row.wanted
            and any(row.is_live(node) and row.spans[node][0] < since for node in nodes)
        ]

    def missed(
        self, targets: Iterable[Target], since: float, until: float, reason: str
    ) -> list[Command]:
        """What was accepted of ``targets`` between these times may have come to nobody."""
        rows = (self.rows.get(target) for target in targets)
        return [GapEnded(row.target, since, until, reason) for row in rows if row and row.wanted]

    def trust(self, node: NodeId, now: float, *, nothing_lost: bool) -> list[Command]:
        """``node`` is sure to receive what is live there; ``nothing_lost``: it always did."""
        commands: list[Command] = []
        if node not in self.doubted:
            return commands
        self.doubted.discard(node)
        for row in self.rows.values():
            if row.is_live(node) and nothing_lost and row.gap_doubt == node:
                row.gap_since = row.gap_doubt = None
            elif row.is_live(node) and row.gap_awaits is None:
                commands += self._end_gap(row, now)
        return commands

    def handed_over(self, target: Target, old: NodeId) -> list[Command]:
        """Nothing more of ``target`` is on its way from ``old``: the source is alone."""
        row = self.rows.get(target)
        if row is None or row.leaving != old:
            return []
        row.leaving = None
        return [SetSource(target, row.source), *self._settle(row)]

    # -- what follows ------------------------------------------------------------------------------

    def _note_loss(
        self, row: Row, actual: Actual, node: NodeId, proof: float, reason: str
    ) -> list[Command]:
        if actual is not Actual.LIVE or not row.wanted:
            return []
        row.spans[node] = row.spans[node][0], proof
        for other in [n for n, (_, end) in row.spans.items() if end < proof - _REMEMBERED]:
            del row.spans[other]
        if row.gap_since is not None:
            if row.gap_doubt == node:
                row.gap_doubt = None  # it is certain now
            if not self._proven(row):
                row.gap_awaits = None  # any node will do
            return []
        since = self._covered(row, self._owed(row, proof))
        if since == inf:
            return []
        row.gap_since, row.gap_reason, row.gap_doubt = since, reason, None
        if not self._proven(row):
            return []
        # Another one is live, and was not yet when this one was surely heard last.
        return self._end_gap(row, min(row.spans[live][0] for live in self._sure(row)))

    def _owed(self, row: Row, proof: float) -> float:
        """Return ``proof``, or what is later: the first acknowledgement, the end of a told gap."""
        first = min((begin for begin, _ in row.spans.values()), default=proof)
        return max(proof, first, row.told)

    @staticmethod
    def _is_plain(row: Row, node: NodeId) -> bool:
        """Whether ``node``, lost by now, was all that there was of ``row``, without a gap."""
        return (
            row.source == node
            and row.wanted
            and not row.nodes
            and row.gap_since is None
            and row.gap_doubt is None
            and row.gap_awaits is None
            and row.leaving is None
            and len(row.spans) == 1
        )

    def _covered(self, row: Row, since: float) -> float:
        """Return until when the target was surely live somewhere from ``since`` on."""
        sure = self._sure(row)
        spans = [
            (begin, end) for node, (begin, end) in row.spans.items() if end < inf or node in sure
        ]
        for begin, end in sorted(spans):
            if begin <= since < end:
                since = end
        return since

    def _sure(self, row: Row) -> list[NodeId]:
        return [
            node
            for node, actual in row.nodes.items()
            if actual is Actual.LIVE and node not in self.doubted
        ]

    def _proven(self, row: Row) -> bool:
        """Whether the target is live on a node that is sure to receive it."""
        return bool(self._sure(row))

    def _end_gap(self, row: Row, now: float) -> list[Command]:
        if row.gap_since is None or not row.wanted:
            return []
        ended = GapEnded(row.target, row.gap_since, now, row.gap_reason)
        row.gap_since = row.gap_doubt = row.gap_awaits = None
        row.told = now
        return [ended]

    def _settle(self, row: Row) -> list[Command]:
        commands: list[Command] = []
        if row.wanted:
            self._ask(row, commands)
        self._choose_source(row, commands)
        for node, actual in row.nodes.items():
            if actual is _LIVE and self._is_surplus(row, node):
                row.nodes[node] = Actual.UNSUBSCRIBING
                commands.append(Unsubscribe(node, row.target))
        if not row.wanted and not row.nodes:
            self.rows.pop(row.target, None)
            self.changes += 1
        return commands

    def _ask(self, row: Row, commands: list[Command]) -> None:
        """Have ``row`` subscribed at its places, where it is not."""
        nodes = row.nodes
        for node in row.places:
            if node not in nodes and node in self.up and node not in row.blocked:
                nodes[node] = _SUBSCRIBING
                commands.append(Subscribe(node, row.target))

    def _choose_source(self, row: Row, commands: list[Command]) -> None:
        old = row.source
        best = self._best_source(row)
        if row.leaving is not None and not row.feeds(row.leaving):
            row.leaving = None
            if best is not None and row.feeds(old):
                commands.append(SetSource(row.target, old))
        if best == old:
            return
        if best is not None and row.feeds(old) and row.leaving is None:
            assert old is not None
            row.source, row.leaving = best, old
            commands.append(HandOver(row.target, old, best))
        elif best is not None and row.leaving not in (None, best) and not row.feeds(old):
            # The one in between is gone. What the first one has yet to deliver still counts.
            assert row.leaving is not None
            row.source = best
            commands.append(SetSource(row.target, row.leaving))
            commands.append(HandOver(row.target, row.leaving, best))
        elif best is None or not row.feeds(old):
            row.source, row.leaving = best, None
            commands.append(SetSource(row.target, best))
        # Else a second hand-over while one is under way: it begins when the first one is done.

    def _best_source(self, row: Row) -> NodeId | None:
        if row.wanted:
            # Asked for each acknowledgement of thousands: the usual case first, without a tuple.
            nodes = row.nodes
            for node in row.places:
                if nodes.get(node) is _LIVE:
                    return node
            for node, actual in nodes.items():
                if actual is _LIVE:
                    return node
            return None
        if not row.draining:
            return None
        # One that drains goes nowhere any more: who feeds it does so to the end.
        candidates = (row.source, row.leaving, *row.nodes)
        return next((node for node in candidates if row.feeds(node)), None)

    def _is_surplus(self, row: Row, node: NodeId) -> bool:
        """Whether ``node`` can be left: nobody wants it there, and it is not what we live on."""
        if not row.wanted:
            return True
        return node not in row.places and node not in (row.source, row.leaving)
