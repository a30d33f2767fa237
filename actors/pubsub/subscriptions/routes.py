"""Which connection's messages of a target go to its consumer: the data plane's side of the table.

One node is live: its messages go straight to the consumer. Several are: they go through a merge,
which lets each message pass once. The next source may also deliver once more what the last one
delivered before it was lost, so that a merge begins with what was delivered lately.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import combinations
from operator import itemgetter
from typing import Any, Protocol

from actors.pubsub.connection.subscriber import Recent, Subscriber
from actors.pubsub.delivery.dispatcher import Route
from actors.pubsub.delivery.merge import LAG, MEMORY, Merge
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId, TargetState
from actors.pubsub.table.table import Table

__all__ = ["FeedRoutes", "Streams"]

#: Seconds for which it counts that a node took a target away.
_REMEMBERED = 10.0
# What tells the messages of one target apart.
_OF_CHANNEL = itemgetter("data")
_OF_PATTERN = itemgetter("channel", "data")


class Streams(Protocol):
    """What tells which nodes deliver the same."""

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether the two deliver the same messages: they are of one shard."""

    def trusted(self, node: NodeId) -> bool:
        """Return whether what ``node`` delivers is up to date: it answers."""

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return whether the target's slot moves to ``node`` from another shard, or just did."""


class FeedRoutes:
    """FeedRoutes and merges of one pub/sub object.

    Args:
        registry: what is subscribed to.
        table: who has what.
        subscribers: by node.
        streams: tells which nodes deliver the same.
        now: returns the time in seconds.
        missed: called with a target, the times between which messages of it were dropped, or may
            have been, and the reason.
    """

    def __init__(
        self,
        registry: SubscriptionRegistry,
        table: Table,
        subscribers: Mapping[NodeId, Subscriber],
        streams: Streams,
        now: Callable[[], float],
        missed: Callable[[Target, float, float, str], None],
    ) -> None:
        self._book = registry
        self._missed = missed
        self._table = table
        self._links = subscribers
        self._streams = streams
        self._now = now
        self._merges: dict[Target, Merge] = {}
        # Who took a target away lately, and when.
        self._revoked: dict[Target, dict[NodeId, float]] = {}
        # The subscriber that the target's messages came from last.
        self._last: dict[Target, Subscriber] = {}
        # Since when each is live without interruption.
        self._live: dict[Target, float] = {}

    def update(self, target: Target) -> None:
        """Make the routes of ``target`` agree with the table."""
        subscription = self._book.subscriptions.get(target)
        row = self._table.rows.get(target)
        if subscription is None or row is None or not (row.wanted or row.draining):
            self._forget(target, drained=subscription is not None)
            return
        # Of two nodes of which one is to follow the other, the old one leads until it is left.
        leader = row.leaving or row.source
        if leader is None:
            self._live.pop(target, None)
        elif target not in self._live:
            self._live[target] = self._now()
        if leader is None and not self._links and target not in self._merges:
            return  # nobody delivers anything
        if (
            len(row.nodes) <= 1
            and target not in self._merges
            and (leader is None or (leader in self._links and self._goes_on(target, leader)))
        ):
            self._update_alone(target, leader, (subscription.writer, subscription.label))
            return
        nodes = [node for node in row.nodes if self._counts(row, node)]
        if leader not in nodes:
            leader, nodes = None, []
        merge = self._merges.get(target)
        if merge is None and leader is not None:
            merge = self._new_merge(target, leader, nodes)
        if merge is None:
            self._set(target, {leader: subscription.writer}, subscription.label)
        else:
            merge.writer = subscription.writer
            self._fit(merge, target, nodes, leader)
            self._set(target, merge.ports, subscription.label)
        if leader is not None:
            self._last[target] = self._links[leader]

    def _update_alone(self, target: Target, leader: NodeId | None, route: Route) -> None:
        """One node delivers, or none, and what it delivers cannot have come before."""
        name = target.name
        for node, subscriber in self._links.items():
            if node == leader:
                subscriber.set_route(target, route)
                self._last[target] = subscriber
            elif name in subscriber.channels or name in subscriber.patterns:
                subscriber.set_route(target, None)

    def update_merged(self, target: Target) -> None:
        """Do so where several nodes are, or were, involved."""
        row = self._table.rows.get(target)
        if target in self._merges or (row is not None and len(row.nodes) > 1):
            self.update(target)

    def update_all(self) -> None:
        """Do so for all: another node is trusted, or no longer."""
        for target in list(self._table.rows):
            self.update_merged(target)

    def revoked(self, target: Target, node: NodeId) -> None:
        """``node`` took ``target`` away."""
        self._revoked.setdefault(target, {})[node] = self._now()
        self.update_merged(target)

    def node_lost(self, node: NodeId) -> None:
        """``node`` has no connection any more."""
        for target, merge in list(self._merges.items()):
            if node in merge.ports:
                self.update(target)

    def expire(self) -> bool:
        """Let go what was held for too long, and the merges that are over; return whether any."""
        for target, merge in list(self._merges.items()):
            if merge.expire():
                del self._merges[target]
                self._revoked.pop(target, None)
                self.update(target)
        limit = self._now() - _REMEMBERED
        for target, nodes in list(self._revoked.items()):
            if max(nodes.values()) < limit:
                del self._revoked[target]
        return bool(self._merges)

    # -- tree -------------------------------------------------------------------------------------

    def _goes_on(self, target: Target, node: NodeId) -> bool:
        """Whether what ``node`` delivers follows on what came last: it is the same server."""
        last = self._last.get(target)
        return last is None or last.origin == self._links[node].origin

    def _counts(self, row: TargetState, node: NodeId) -> bool:
        """Whether what ``node`` delivers counts: it is live there, and up to date."""
        if not row.feeds(node) or node not in self._links:
            return False
        return node in (row.leaving, row.source) or self._streams.trusted(node)

    def _set(self, target: Target, ways: Mapping[Any, Any], label: Any) -> None:
        name = target.name
        for node, subscriber in self._links.items():
            way = ways.get(node)
            if way is not None:
                subscriber.set_route(target, (way, label))
            elif name in subscriber.channels or name in subscriber.patterns:
                subscriber.set_route(target, None)

    def _new_merge(self, target: Target, leader: NodeId, nodes: list[NodeId]) -> Merge | None:
        last = self._last.get(target)
        recent = Recent()
        memory = MEMORY if target.kind is Kind.SHARD else LAG
        if last is not None and (len(nodes) > 1 or not self._goes_on(target, leader)):
            recent = last.recent(target, self._now() - memory)
        if len(nodes) == 1 and not recent.keys:
            return None
        key = _OF_PATTERN if target.kind is Kind.PATTERN else _OF_CHANNEL
        merge = self._merges[target] = Merge(
            None,
            self._now,
            key=key,
            memory=memory,
            dropped=partial(self._missed, target),
        )
        if last is not None:
            stream = self._stream(merge, target, last.node)
            merge.remember(recent.keys, stream, recent.repeated)
            if last.node in nodes and self._goes_on(target, last.node):
                merge.add(last.node, stream, repeats=False, since=self._live.get(target))
        return merge

    def _fit(
        self, merge: Merge, target: Target, nodes: list[NodeId], leader: NodeId | None
    ) -> None:
        if len(merge.ports) > 1 and self._turned_out_mates(merge):
            merge.unite()
        for node in [node for node in merge.ports if node not in nodes]:
            merge.remove(node)
        for node in nodes:
            if node not in merge.ports:
                merge.add(node, self._stream(merge, target, node))
        if leader is not None:
            merge.lead(leader)

    def _turned_out_mates(self, merge: Merge) -> bool:
        """Whether the topology shows nodes in one shard that it showed in two when they joined."""
        return any(
            merge.ports[one].stream != merge.ports[other].stream
            and self._streams.same_stream(str(one), str(other))
            for one, other in combinations(merge.ports, 2)
        )

    def _stream(self, merge: Merge, target: Target, node: NodeId) -> Hashable:
        """Return the stream of a node that joins: that of those who deliver the same now.

        What it delivered before it left may have been another one: a primary that was emptied
        comes back as a replica of the node that has its slots.
        """
        known = merge.streams
        others = [str(other) for other in (*merge.ports, *known) if other != node]
        mates = (other for other in others if self._streams.same_stream(node, other))
        if self._may_repeat(merge, target, node):
            known[node] = merge.unite()
            return known[node]
        found = next(mates, None) or node
        known[node] = known[found] if found in known else object()
        return known[node]

    def _may_repeat(self, merge: Merge, target: Target, node: NodeId) -> bool:
        """Whether there is one of the same shard, though the topology does not show it yet.

        A node takes the channels of slots that it owns, or its primary does, or that it imports.
        So one that gave a target up, and took it again while another one has it, is a replica now.
        Those that were its replicas follow it.
        """
        limit = self._now() - _REMEMBERED
        replicas = [
            gone
            for gone, at in self._revoked.get(target, {}).items()
            if at > limit and not self._streams.imports(gone, target)
        ]
        if any(gone in merge.ports for gone in replicas):
            return True
        if self._streams.imports(node, target):
            return False
        return any(self._streams.same_stream(node, gone) for gone in replicas)

    def _forget(self, target: Target, *, drained: bool) -> None:
        merge = self._merges.pop(target, None)
        if merge is not None and drained:
            merge.finish()
        self._last.pop(target, None)
        self._live.pop(target, None)
        for subscriber in self._links.values():
            subscriber.set_route(target, None)
