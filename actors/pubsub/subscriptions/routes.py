"""Which connections feed the consumer of a target, directly or through a merge.

Where a target is live on one node, that node's messages go straight to the consumer. Where it is
live on several, they go through a merge, which delivers each message once. A new source may repeat
what the former source delivered before it was lost, so a merge begins with what was delivered
lately. Where the consumer asked for recovery, messages have numbers, and all nodes feed the
channel's intake.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import combinations
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from actors.pubsub.connection.subscriber import Recent, Subscriber
from actors.pubsub.delivery.dispatcher import Route
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.merge import LAG, MEMORY, OWED, Merge
from actors.pubsub.model.types import Kind, NodeTarget, Target
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId, TargetState
from actors.pubsub.table.table import Table

if TYPE_CHECKING:
    from actors.pubsub.recovery.intake import Intake

#: Seconds for which it counts that a node has ended a subscription by itself.
_REMEMBERED = 10.0
# What tells the messages of one target apart.
_OF_CHANNEL = itemgetter("data")
_OF_PATTERN = itemgetter("channel", "data")


class Streams(Protocol):
    """Tells which nodes deliver the same messages."""

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether the two deliver the same messages: they are of one shard."""

    def trusted(self, node: NodeId) -> bool:
        """Return whether what ``node`` delivers is up to date: it answers."""

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return whether the target's slot moves to ``node`` from another shard, or just did."""


class FeedRoutes:
    """The routes and merges of one pub/sub object.

    Args:
        registry: what is subscribed to, and who consumes it.
        table: on which nodes each target is live.
        subscribers: the connections, by node.
        streams: tells which nodes deliver the same messages.
        clock: merges wait by this clock.
        missed: called with a target, the real times between which messages of it were dropped, or
            may have been, and the reason.
    """

    def __init__(
        self,
        registry: SubscriptionRegistry,
        table: Table,
        subscribers: Mapping[NodeId, Subscriber],
        streams: Streams,
        clock: ListeningClock,
        missed: Callable[[Target, float, float, str], None],
    ) -> None:
        self._registry = registry
        self._missed = missed
        self._table = table
        self._subscribers = subscribers
        self._streams = streams
        self._clock, self._now = clock, clock.now
        self._merges: dict[Target, Merge] = {}
        # The nodes that have ended a target's subscription by themselves lately, with the time.
        self._revoked: dict[Target, dict[NodeId, float]] = {}
        # The connection from which the target's messages came last.
        self._last: dict[Target, Subscriber] = {}
        # Since when each target has had a source without interruption, in real time.
        self._live: dict[Target, float] = {}

    def update(self, target: Target) -> None:
        """Make the routes of ``target`` agree with the table."""
        subscription = self._registry.subscriptions.get(target)
        row = self._table.rows.get(target)
        if subscription is None or row is None or not (row.wanted or row.draining):
            self._forget(target, drained=subscription is not None)
            return
        if subscription.intake is not None:
            self._update_recovering(target, row, subscription.intake)
            return
        # During a handover the former source leads.
        leader = row.leaving or row.source
        if leader is None:
            self._live.pop(target, None)
        elif target not in self._live:
            self._live[target] = self._clock.real()
        if leader is None and not self._subscribers and target not in self._merges:
            return  # no node delivers anything
        if (
            len(row.nodes) <= 1
            and target not in self._merges
            and (leader is None or (leader in self._subscribers and self._goes_on(target, leader)))
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
            self._set(target, merge.inputs, subscription.label)
        if leader is not None:
            self._last[target] = self._subscribers[leader]

    def _update_recovering(self, target: Target, row: TargetState, intake: Intake) -> None:
        """Route a target whose messages have numbers: all nodes feed it, repeats are dropped."""
        nodes = (node for node in row.nodes if row.feeds(node))
        self._set(target, dict.fromkeys(nodes, intake), intake.label)
        if row.source is not None and self._registry.passes(row.source, target):
            intake.begin()

    def _update_alone(self, target: Target, leader: NodeId | None, route: Route) -> None:
        """Route a target that one node delivers, or none, and that no other node has delivered."""
        name = target.name
        for node, subscriber in self._feeders(target).items():
            if node == leader and self._registry.passes(node, target):
                subscriber.set_route(target, route)
                self._last[target] = subscriber
            elif name in subscriber.channels or name in subscriber.patterns:
                subscriber.set_route(target, None)

    def _feeders(self, target: Target) -> Mapping[NodeId, Subscriber]:
        """Return the connections whose messages of the target's name are the target's."""
        if not isinstance(target, NodeTarget):
            return self._subscribers
        subscriber = self._subscribers.get(target.node)
        return {} if subscriber is None else {target.node: subscriber}

    def update_merged(self, target: Target) -> None:
        """Make the routes agree with the table where several nodes are, or were, involved."""
        row = self._table.rows.get(target)
        if target in self._merges or (row is not None and len(row.nodes) > 1):
            self.update(target)

    def update_all(self) -> None:
        """Make all routes agree with the table: another node is trusted, or no longer."""
        for target in list(self._table.rows):
            self.update_merged(target)

    def revoked(self, target: Target, node: NodeId) -> None:
        """Note that ``node`` ended the subscription of ``target`` by itself."""
        self._revoked.setdefault(target, {})[node] = self._now()
        self.update_merged(target)

    def node_lost(self, node: NodeId) -> None:
        """Route what ``node`` fed: its connection has ended."""
        for target, merge in list(self._merges.items()):
            if node in merge.inputs:
                self.update(target)

    def expire(self) -> bool:
        """Deliver what merges held too long, and end idle merges; return whether any are left."""
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

    # -- merges ------------------------------------------------------------------------------------

    def _goes_on(self, target: Target, node: NodeId) -> bool:
        """Whether ``node`` is the server that delivered the target last: it repeats nothing."""
        last = self._last.get(target)
        return last is None or last.origin == self._subscribers[node].origin

    def _counts(self, row: TargetState, node: NodeId) -> bool:
        """Whether what ``node`` delivers is used: it is live there, and the node is in sync."""
        if not row.feeds(node) or node not in self._subscribers:
            return False
        return node in (row.leaving, row.source) or self._streams.trusted(node)

    def _set(self, target: Target, ways: Mapping[Any, Any], label: Any) -> None:
        name = target.name
        for node, subscriber in self._feeders(target).items():
            way = ways.get(node)
            if way is not None and self._registry.passes(node, target):
                subscriber.set_route(target, (way, label))
            elif name in subscriber.channels or name in subscriber.patterns:
                subscriber.set_route(target, None)

    def _new_merge(self, target: Target, leader: NodeId, nodes: list[NodeId]) -> Merge | None:
        last = self._last.get(target)
        recent = Recent()
        memory, late = (MEMORY, OWED) if target.kind is Kind.SHARD else (LAG, LAG)
        if last is not None and (len(nodes) > 1 or not self._goes_on(target, leader)):
            recent = last.recent(target, self._clock.earliest(self._now() - memory))
        if len(nodes) == 1 and not recent.keys:
            return None
        key = _OF_PATTERN if target.kind is Kind.PATTERN else _OF_CHANNEL
        merge = self._merges[target] = Merge(
            None,
            self._now,
            key=key,
            memory=memory,
            late=late,
            dropped=partial(self._dropped, target),
        )
        if last is not None:
            stream = self._stream(merge, target, last.node)
            merge.remember(recent.keys, stream, recent.repeated)
            if last.node in nodes and self._goes_on(target, last.node):
                live = self._live.get(target)
                since = None if live is None else self._clock.listened(live)
                merge.add(last.node, stream, repeats=False, since=since)
        return merge

    def _dropped(self, target: Target, since: float, until: float, reason: str) -> None:
        clock = self._clock
        self._missed(target, clock.earliest(since), clock.latest(until), reason)

    def _fit(
        self, merge: Merge, target: Target, nodes: list[NodeId], leader: NodeId | None
    ) -> None:
        if len(merge.inputs) > 1 and self._turned_out_peers(merge):
            merge.unite()
        for node in [node for node in merge.inputs if node not in nodes]:
            merge.remove(node)
        for node in nodes:
            if node not in merge.inputs:
                merge.add(node, self._stream(merge, target, node))
        if leader is not None:
            merge.lead(leader)

    def _turned_out_peers(self, merge: Merge) -> bool:
        """Whether the topology now shows two feeders in one shard that joined as of two."""
        return any(
            merge.inputs[one].stream != merge.inputs[other].stream
            and self._streams.same_stream(str(one), str(other))
            for one, other in combinations(merge.inputs, 2)
        )

    def _stream(self, merge: Merge, target: Target, node: NodeId) -> Hashable:
        """Return the stream of a node that joins: that of the nodes that deliver the same now.

        A node that was in the merge before may deliver another stream now: a primary that lost its
        slots comes back as a replica of their new owner.
        """
        known = merge.streams
        others = [str(other) for other in (*merge.inputs, *known) if other != node]
        peers = (other for other in others if self._streams.same_stream(node, other))
        if self._may_repeat(merge, target, node):
            known[node] = merge.unite()
            return known[node]
        found = next(peers, None) or node
        known[node] = known[found] if found in known else object()
        return known[node]

    def _may_repeat(self, merge: Merge, target: Target, node: NodeId) -> bool:
        """Whether ``node`` is of one shard with another feeder, though no topology shows it yet.

        A node accepts channels of the slots that it owns, that its primary owns, or that it
        imports. So a node that ended a subscription, and accepted it again while another node has
        it, is a replica now, unless the slot moved to it. Its former replicas follow it.
        """
        limit = self._now() - _REMEMBERED
        replicas = [
            gone
            for gone, at in self._revoked.get(target, {}).items()
            if at > limit and not self._streams.imports(gone, target)
        ]
        if any(gone in merge.inputs for gone in replicas):
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
        for subscriber in self._feeders(target).values():
            subscriber.set_route(target, None)
