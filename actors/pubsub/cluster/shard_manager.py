"""The role of a manager of shard channels: its parts, its timers, and its periodic look."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from math import inf
from typing import Any

from actors.pubsub.cluster.node_readers import NodeReaders
from actors.pubsub.cluster.promotions import PromotionReads
from actors.pubsub.cluster.shard_events import ShardEvents
from actors.pubsub.cluster.shard_placement import ShardPlacement
from actors.pubsub.cluster.shard_state import ShardState
from actors.pubsub.cluster.topology_watch import TopologyChecked, TopologyRequests
from actors.pubsub.cluster.transitions import UNSETTLED
from actors.pubsub.lifecycle.manager import ReaderKeeper
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.retry_turns import RetryTurns
from actors.pubsub.table.state import NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool

#: Seconds between two periodic looks: while something is not as it should be, and at most.
_BUSY, _LONGEST = 0.05, 5.0
#: Seconds without a message after which nodes are asked less often.
_IDLE_AFTER = 5.0
#: Seconds between two attempts to subscribe where nodes refused for now, at most.
_LONGEST_RETRY = 1.0


class NodeFailed:
    """A node could not be connected to."""

    __slots__ = ("node",)

    def __init__(self, node: NodeId) -> None:
        self.node = node


class ShardTick(Enum):
    """The role's own timers."""

    LOOK = "look"
    PLACE = "place"


class ShardRole:
    """Keeps shard channels live: places them, follows what servers say, looks after the rest.

    Args:
        pool: the cluster's.
        requests: where looks at the topology are asked for.
        replicas: whether channels are consumed from replicas.
    """

    def __init__(
        self, pool: ClusterConnectionPool, requests: TopologyRequests, *, replicas: bool
    ) -> None:
        self._pool = pool
        self._requests = requests
        self._replicas = replicas
        self._look_due = self._silence_due = inf
        self._turns: RetryTurns[Target] = RetryTurns(_LONGEST_RETRY)
        self._retried_at = -inf
        # How many messages had come at the last look that saw new ones, and when that was.
        self._received, self._received_at = 0, 0.0
        self._keeper: ReaderKeeper
        self.placement: ShardPlacement
        self.events: ShardEvents

    @property
    def reconciler(self) -> Reconciler:
        """The manager's reconciler."""
        return self._keeper.reconciler

    @property
    def winding_down(self) -> bool:
        """Whether there are no readers any more, or they are about to end together."""
        return self._keeper.tree.winding_down

    def start(self, keeper: ReaderKeeper) -> None:
        """Make the parts, and begin to look."""
        self._keeper = keeper
        state = self._state = ShardState(
            self._pool.topology, keeper.loop.time, replicas_first=self._replicas
        )
        readers = self._readers = NodeReaders(keeper, state, self._pool, ShardTick.PLACE)
        registry = keeper.tree.registry
        self.placement = ShardPlacement(
            state, lambda: len(registry.subscriptions), readers.place_soon
        )
        reads = self._promotion_reads = PromotionReads(registry, keeper.loop)
        self.events = ShardEvents(
            self, state, self.placement, readers, self._pool, self._requests, reads.take
        )
        self._received_at = keeper.loop.time()
        self._requests.report = keeper.tell
        self._requests.used = self._nodes_with_subscriptions
        self._requests.replicas = self._replicas
        self._look_due = keeper.loop.time() + _BUSY
        keeper.after(_BUSY, ShardTick.LOOK)

    def stop(self) -> None:
        """Take no more reports."""
        self._requests.report = lambda _: None
        self.reconciler.clock.came()
        self._promotion_reads.cancel()

    def place_readers(self) -> None:
        """Have a reader for each node in use."""
        self._readers.place()
        # A cluster can be subscribed to before there is a connection: channels decide where to.
        self._keeper.tree.ready.set()

    def server_of(self, node: NodeId) -> NodeId:
        """Return ``node``: each reader has a node of its own."""
        return node

    def could_serve(self) -> list[NodeId]:
        """Return all nodes of the cluster: slots may move to any of them."""
        return [node.id for node in self._state.topology.nodes.values() if node.addressable]

    def reader_ended(self, node: NodeId) -> None:
        """Take that a reader ended for good."""
        self._keeper.tree.refusing.forget(node)
        self._readers.ended(node)
        self._state.down.forget(node)
        if not self.winding_down:
            self._readers.place_soon()

    def targets_changed(self) -> None:
        """Have readers where they are needed, and looks as often as subscriptions need them."""
        self._readers.place_soon()
        if self._requests.unused:
            self._requests.look()

    def reconcile(self) -> None:
        """End the rare looks when messages come; while none comes, look when it is time."""
        was_idle, now = self._state.silent.idle, self._state.now()
        self._note_idleness(now)
        if was_idle and not self._state.silent.idle:
            self._requests.look()
            self.look_soon()
        elif was_idle and now >= self._silence_due:
            self._look()

    def receive(self, message: Any) -> None:
        """Take a report or a timer's message."""
        match message:
            case TopologyChecked(_, asked_at):
                self.events.topology_checked(asked_at)
            case NodeFailed():
                self.events.unreachable(message.node)
            case ShardTick.LOOK:
                self._look()
            case ShardTick.PLACE:
                self._readers.place()

    def _nodes_with_subscriptions(self) -> AbstractSet[NodeId]:
        return self._readers.used() & self.reconciler.subscribers.keys()

    # -- the periodic look -------------------------------------------------------------------------

    def _look(self) -> None:
        """Look after what no event reports."""
        state, reconciler = self._state, self.reconciler
        now = state.now()
        reconciler.clock.came()
        self._note_idleness(now)
        self._look_for_silence(now)
        self._look_for_settled(now)
        for node in state.roles.trusted(state.topology, now):
            if node not in state.silent:
                reconciler.trust(node, nothing_lost=False)
                reconciler.update_routes()
        state.revocations.expire(now - 2 * UNSETTLED)
        state.expire()
        homeless = reconciler.homeless()
        self._requests.urgent = bool(homeless or state.unsettled)
        if homeless:
            state.refusals = True
            if self._readers.hasten(self._places_of(homeless), now):
                self._requests.look()
        self._retry(now)
        self._readers.place()
        self._readers.let_go_unused(now)
        merging = reconciler.expire()
        busy = homeless or state.unsettled or state.refusals or merging or state.roles.any_returning
        due = state.silent.due(reconciler.subscribers, self._nodes_with_subscriptions(), now)
        self._silence_due = now + due
        if busy:
            self._look_again(_BUSY)
        elif state.silent.idle:
            self._look_again(_LONGEST)  # or with the manager's next tick: one wake-up for both
        else:
            self._look_again(max(_BUSY, min(due, _LONGEST)))

    def _note_idleness(self, now: float) -> None:
        received = sum(subscriber.received for subscriber in self.reconciler.subscribers.values())
        if received != self._received:
            self._received, self._received_at = received, now
        self._state.silent.idle = self._requests.idle = now - self._received_at > _IDLE_AFTER

    def look_soon(self) -> None:
        """Have the periodic look taken soon: something has happened that it looks after."""
        if self._look_due - self._state.now() > _BUSY:
            self._look_again(_BUSY)

    def _look_again(self, seconds: float) -> None:
        self._look_due = self._state.now() + seconds
        self.reconciler.clock.expect(self._look_due)
        self._keeper.after(seconds, ShardTick.LOOK)

    def _retry(self, now: float) -> None:
        """Ask nodes again that refused for now: a few channels, and more as nodes accept some."""
        turns = self._turns
        if not self._state.refusals:
            self._turns = RetryTurns(_LONGEST_RETRY)
        elif now - self._retried_at > turns.pause:
            self._state.refusals, self._retried_at = False, now
            refused = self.reconciler.refused_for_now()
            tried = turns.take(refused, self.reconciler.is_served)
            self.reconciler.retry(tried)
            self._state.refusals |= len(tried) < len(refused)

    def _look_for_settled(self, now: float) -> None:
        state = self._state
        rows = self.reconciler.table.rows.items() if state.unsettled else ()
        sources = ((self.placement.slots[target], row.source) for target, row in rows)
        settled = state.unsettled.expire(now, sources, state.topology)
        if state.roles.expire(now) or settled:
            self.events.replace()

    def _look_for_silence(self, now: float) -> None:
        """Do without the nodes that fell silent; trust those that answer again."""
        state, reconciler = self._state, self.reconciler
        late = inf if reconciler.paused else now - self._look_due
        subscribers = reconciler.subscribers
        news = state.silent.look(subscribers, self._nodes_with_subscriptions(), now, late)
        for node in news.found:
            reconciler.trust(node, nothing_lost=True)
        for node in news.lost:
            proof = subscribers[node].connection.proof
            reconciler.doubt(node, proof, "the node fell silent")
            self._requests.look()
        if news.found or news.lost:
            self.events.replace()
            reconciler.update_routes()

    def _places_of(self, targets: Sequence[Target]) -> set[NodeId]:
        return {node for places in set(self.placement.places_of(targets)) for node in places}
