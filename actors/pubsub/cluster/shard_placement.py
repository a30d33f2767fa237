"""Where shard channels belong, as far as a manager knows; and the readers that it takes.

What it knows comes from three sides: the topology; the connections, lost or silent; and what
servers say to a subscription. Where a channel belongs follows from that in ``placement``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf
from typing import Any

from actors.pubsub.cluster.move_watch import MoveWatch
from actors.pubsub.cluster.node_readers import ShardReaders
from actors.pubsub.cluster.placement_rules import NodeHealth
from actors.pubsub.cluster.seconds import first_of, is_second
from actors.pubsub.cluster.shard_peers import ShardPeers
from actors.pubsub.cluster.shard_roles import Roles
from actors.pubsub.cluster.silent_nodes import SilentNodes
from actors.pubsub.cluster.slot_assignment import SlotAssignments, TargetSlots
from actors.pubsub.cluster.transitions import BUS_LAG, OngoingFailovers, UnsettledSlots
from actors.pubsub.lifecycle.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.model import Topology

__all__ = ["ShardPlacement", "Tick"]

#: Seconds for which both nodes feed a target when the source changes: longer than the cluster bus
#: is ever late.
_HAND_OVER = 0.1
#: Most primaries that are asked for a slot that was taken from us.
_MOST_ASKED = 8
#: Seconds between two looks at which readers are needed, for each channel: one costs a tenth.
_PER_ROW = 0.000_003


class Tick(Enum):
    """The manager's own timers."""

    LOOK = "look"
    PLACE = "place"
    WATCH = "watch"
    MOVES = "moves"
    JOBS = "jobs"


class ShardPlacement(SubscriptionManager):
    """Knows where shard channels belong, and has readers there; see the module's docstring."""

    def __init__(
        self, options: ManagerOptions, pool: ClusterConnectionPool, replicas: bool
    ) -> None:
        super().__init__(options)
        self.pool = pool
        self.replicas_first = replicas
        self.topology = pool.topology
        self.moves: MoveWatch
        # Nodes whose connection was lost, or could not be had, and when.
        self._down: dict[NodeId, float] = {}
        self._silent_nodes = SilentNodes()
        self._failovers = OngoingFailovers()
        self._roles = Roles()
        self._unsettled = UnsettledSlots()
        self._places = SlotAssignments(lambda: (self.topology, self._health()), self._place_soon)
        self._slots = TargetSlots(lambda: len(self.tree.registry.subscriptions))
        # How many slots each primary has, and the topology that says so.
        self._counted: tuple[Topology | None, dict[NodeId, int]] = (None, {})
        self._shard_readers = ShardReaders(
            pool, self.readers, self.keep_reader, lambda: self.reconciler.table.rows
        )
        self._placing, self._placed_at = False, -inf

    async def on_start(self) -> None:
        """Make a reconciler."""
        self.loop = self.context.system.loop
        self._peers = ShardPeers(self.loop.time)
        self._peers.note(self.topology)
        await super().on_start()

    # -- placement ---------------------------------------------------------------------------------

    def slot(self, target: Target) -> int:
        """Return the slot of a shard channel."""
        return self._slots[target]

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return where ``target`` should be live, best first."""
        return self._places.all()[self._slots[target]]

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return where each of ``targets`` should be live."""
        return list(map(self._places.all().__getitem__, self._slots.of(targets)))

    def _health(self) -> NodeHealth:
        connected = [] if not self._unsettled else list(self.reconciler.subscribers)
        nodes = self.topology.nodes
        primaries = [node for node in connected if node in nodes and nodes[node].is_primary]
        if len(primaries) > 1:
            # Slots move to where there are few: that one is asked first.
            counts = self._slot_counts()
            primaries.sort(key=lambda node: counts.get(node, 0))
        return NodeHealth(
            self._down.keys(),
            self._silent_nodes.silent,
            self._failovers.nodes,
            self._unsettled.slots,
            self.moves.moves.sources.keys(),
            tuple(primaries[:_MOST_ASKED]),
            self.moves.moves.targets,
            self.replicas_first,
            self._roles.unsure.keys(),
        )

    def _slot_counts(self) -> dict[NodeId, int]:
        """Return how many slots each primary has; counted once for each topology."""
        if self._counted[0] is not self.topology:
            counts = {
                shard.primary.id: sum(run.end - run.start + 1 for run in shard.slots)
                for shard in self.topology.shards
                if shard.primary is not None
            }
            self._counted = self.topology, counts
        return self._counted[1]

    def hopeless(self, target: Target) -> bool:
        """Return whether no node that should take ``target`` can be connected to."""
        down = self._down
        return bool(down) and all(first_of(node) in down for node in self.places(target))

    def group(self, target: Target) -> int:
        """Return the slot: channels of different slots cannot share a command (P4)."""
        return self.slot(target)

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return whether ``node`` is importing the target's slot."""
        return self.moves.moves.targets.get(self.slot(target)) == first_of(node)

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether two nodes are of one shard."""
        return self._peers.are(first_of(node), first_of(other))

    def trusted(self, node: NodeId) -> bool:
        """Return whether ``node`` answers, and hears what its primary accepts."""
        node = first_of(node)
        return node not in self._silent_nodes and not self._roles.returning(node)

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        """Return until when ``node`` delivered all that was accepted in its shard.

        A primary hands over at some time after it was last seen not to; what its successor accepts
        from then on may come too late to it. Where that was not seen, the primary hears over the
        bus that it has a successor. A replica is behind by the bus, as long as there is a primary
        that accepts messages.
        """
        node = first_of(node)
        free = self._failovers.free(node)
        if free is not None:
            return min(heard, free)
        known = self.topology.nodes.get(node)
        if known is None or known.is_primary:
            unseen = taken is not None and self.slot(taken) in self._unsettled.slots
            return heard - BUS_LAG if unseen else heard
        ended = self._down.get(known.primary_id or "")
        if ended is not None and heard - ended >= BUS_LAG:
            return heard  # of the dead one nothing is on its way any more
        return heard - BUS_LAG

    def replica_until(self, node: NodeId) -> float:
        """Return when the primary that ``node`` takes over from was last seen not to hand over."""
        node = first_of(node)
        peers = [peer for peer in self._failovers.nodes if self.same_stream(peer, node)]
        times = [self._failovers.free(peer) for peer in peers if peer != node]
        return max((free for free in times if free is not None), default=-inf)

    def giver(self, node: NodeId, target: Target) -> NodeId | None:
        """Return the primary of the replica ``node`` that gives the target's slot away."""
        taker = self.moves.moves.targets.get(self.slot(target))
        known = self.topology.nodes.get(node)
        if taker is None or known is None or known.is_primary or self.same_stream(node, taker):
            return None
        return known.primary_id

    def linger(self, handover: Handover) -> float | None:
        """Return how long both nodes feed a target."""
        if not self.trusted(handover.old):
            return 0.0
        if self.same_stream(handover.old, handover.new):
            return _HAND_OVER
        if self.asking(handover.new, handover.target):
            return None  # until the slot has moved: both own it in turn, neither repeats the other
        return _HAND_OVER

    def _replace(self) -> None:
        self._places.clear()
        self.reconciler.replace()
        self._place_soon()

    # -- readers -----------------------------------------------------------------------------------

    def _place_soon(self) -> None:
        if self._placing:
            return
        self._placing = True
        # At once, but with many channels not all the time: it looks at all of them.
        rows = len(self.tree.registry.subscriptions)
        left = self._placed_at + _PER_ROW * rows - self.loop.time()
        if left > 0:
            self.context.timers.after(left, Tick.PLACE)
        else:
            self.context.self_ref.tell(Tick.PLACE)

    def place_readers(self) -> None:
        """Have a reader for each node in use, and for none that left the cluster."""
        self._placing, self._placed_at = False, self.loop.time()
        self._shard_readers.place(self.topology, self._down)

    def reader_ended(self, ref: Any, reason: Any) -> None:
        """A reader ended for good."""
        for node in [node for node, other in self.readers.items() if other is ref]:
            self._shard_readers.ended(node)
            self._down.pop(node, None)
            if is_second(node):
                del self.readers[node]  # a help, while it lasts: nothing fails with it
                return
        super().reader_ended(ref, reason)
        self._place_soon()
