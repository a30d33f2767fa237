"""The manager of shard subscriptions: moves them as slots, roles and connections move.

Where a channel belongs: see ``shard_placement``; what it does about what it is told:
``shard_reports``; what to do about the difference: the table. Here is what it does by itself, on
timers: it asks servers about slots on the move, tries channels where these go, and looks after what
no event brings up.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

from actors.pubsub.cluster.move_watch import MoveWatch
from actors.pubsub.cluster.seconds import first_of
from actors.pubsub.cluster.shard_events import ShardReports
from actors.pubsub.cluster.shard_placement import Tick
from actors.pubsub.cluster.topology_watch import CALM, URGENT, TopologyChecked, TopologyRequests
from actors.pubsub.cluster.transitions import UNSETTLED
from actors.pubsub.cluster.tries import Tries
from actors.pubsub.cluster.used_slots import UsedSlots
from actors.pubsub.lifecycle.manager import ManagerOptions
from actors.pubsub.lifecycle.tree import READERS_READY
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.slots import SlotRange
from supervisor import ExitReason

__all__ = ["NodeFailed", "ShardManager"]

#: Seconds between two looks at what is not as it should be, and at what is.
_BUSY, _IDLE = 0.05, 0.25
#: Seconds between two attempts to subscribe to what is live elsewhere at nodes that refused it.
_RETRY = 0.25
#: Seconds between two attempts to connect to a node that a target has no other place than.
_HASTEN = 0.25


class NodeFailed:
    """A node could not be connected to."""

    __slots__ = ("node",)

    def __init__(self, node: NodeId) -> None:
        self.node = node


class ShardManager(ShardReports):
    """Keeps shard channels live; see the module's docstring."""

    def __init__(
        self,
        options: ManagerOptions,
        pool: ClusterConnectionPool,
        requests: TopologyRequests,
        replicas: bool,
    ) -> None:
        super().__init__(options, pool, requests, replicas)
        self._used_slots = UsedSlots(
            lambda: self.reconciler.table.changes,
            lambda: self.reconciler.table.rows,
            self._slots.of,
        )
        self._look_due = inf
        self._hastened_at = 0.0
        self._retried_at = 0.0

    async def on_start(self) -> None:
        """Make a reconciler; take reports."""
        now = self.context.system.loop.time
        self._checked_at = now()
        self.moves = MoveWatch(
            now,
            self._used_slots,
            self._runs_of,
            self._moves_changed,
            self._hands_over,
        )
        await super().on_start()
        self._tries = Tries(self.reconciler, self.moves, self.slot, self._used_slots.targets_in)
        self.requests.report = self.context.self_ref.tell
        self.requests.prefer = lambda: {first_of(node) for node in self.readers}
        self._look_again(now(), _IDLE)
        self.context.timers.after(_IDLE, Tick.MOVES)

    async def on_stop(self, reason: ExitReason) -> None:
        """Take no more reports."""
        self.requests.report = lambda _: None
        await super().on_stop(reason)

    async def receive(self, message: Any) -> None:
        """Take a report, look after everything, or do what every manager does."""
        match message:
            case TopologyChecked(_, asked_at):
                self._topology_checked(asked_at)
                self._watch_moves()  # who is a primary by now is asked at once
            case NodeFailed():
                self._node_failed(message.node)
            case Tick.LOOK:
                self._look()
            case Tick.PLACE:
                self.place_readers()
            case Tick.WATCH:
                while self._to_watch:
                    self.moves.watch(self._to_watch.pop())
            case Tick.MOVES:
                self._watch_moves()
            case Tick.JOBS:
                self._try_jobs()
            case _:
                await super().receive(message)
                if message is READERS_READY:
                    self.tree.ready.set()  # a cluster can be subscribed to without connections
                self._place_soon()

    # -- slots on the move -------------------------------------------------------------------------

    def _watch_moves(self) -> None:
        """Ask the primaries that we listen on what they are about to do."""
        nodes = self.topology.nodes
        subscribers = {
            node: subscriber
            for node, subscriber in self.reconciler.subscribers.items()
            if node in nodes and nodes[node].is_primary and node not in self._silent_nodes
        }
        counts = self._slot_counts()
        delay = self.moves.tick(
            subscribers, len(nodes), {n for n in subscribers if not counts.get(n)}
        )
        self.context.timers.after(delay, Tick.MOVES)

    def _try_jobs(self) -> None:
        pause = self._tries.again(self.loop.time())
        if pause is not None:
            self.context.timers.after(pause, Tick.JOBS)

    def accepted(self, node: NodeId, target: Target) -> None:
        """Hear that ``node`` took ``target``: a move in one step may be at its end."""
        if self.moves.moves.jobs and self.asking(node, target):
            self.moves.taken(self.slot(target))

    def _runs_of(self, node: NodeId) -> Iterable[SlotRange]:
        shard = self.topology.shard_of(node)
        owns = shard is not None and shard.primary is not None and shard.primary.id == node
        return shard.slots if shard is not None and owns else ()

    def _moves_changed(self, slots: set[int]) -> None:
        for slot in slots:
            self._places.drop(slot)
        targets = self._used_slots.targets_in(slots)
        self.reconciler.replace(targets)
        self.reconciler.retry(targets)
        self._try_jobs()
        self._place_soon()

    # -- the look ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look after what no event brings up."""
        now = self.loop.time()
        orphans = self._look_for_silence(now, now - self._look_due)
        if self._unsettled or self._failovers.nodes:
            self._look_for_settled(now)
        if self._roles.expire(now):
            self._replace()
        for node in self._roles.trusted(self.topology):
            if node not in self._silent_nodes:
                self.reconciler.trust(node, nothing_lost=False)
                self.reconciler.retrust()
        self._revocations.expire(now - 2 * UNSETTLED)
        homeless = self.reconciler.homeless()
        if self._refusals and now - self._retried_at > _RETRY:
            self._refusals, self._retried_at = False, now
            self.reconciler.retry()
        elif homeless:
            self.reconciler.retry(homeless)
        self.requests.interval = URGENT if homeless or self._unsettled else CALM
        if homeless:
            self._refusals = True
            if self._hasten(now):
                self.requests.look()
        self._shard_readers.let_go_unused(self.topology, self._down, now)
        merging = self.reconciler.expire()
        busy = (
            homeless
            or self._unsettled
            or self._failovers.nodes
            or self._refusals
            or self._silent_nodes.pinged
            or orphans
            or merging
        )
        self._look_again(now, _BUSY if busy else _IDLE)

    def _look_again(self, now: float, seconds: float) -> None:
        self._look_due = now + seconds
        self.context.timers.after(seconds, Tick.LOOK)

    def _look_for_settled(self, now: float) -> None:
        rows = self.reconciler.table.rows.items()
        sources = ((self.slot(target), first_of(row.source or "")) for target, row in rows)
        settled = self._unsettled.expire(now, sources, self.topology)
        if self._failovers.expire(now) or settled:
            self._replace()

    def _look_for_silence(self, now: float, late: float) -> bool:
        """Do without the nodes that fell silent; return whether there are orphans.

        Those are replicas of a dead primary. They have nothing to deliver, and one of them will
        take its targets away when it is promoted: the gap begins with the latest sign of life
        before that.
        """
        nodes = self.topology.nodes
        subscribers = self.reconciler.subscribers
        orphans = {
            node for node in subscribers if node in nodes and nodes[node].primary_id in self._down
        }
        news = self._silent_nodes.look(
            subscribers, orphans, now, inf if self.reconciler.paused else late
        )
        for node in news.found:
            self.reconciler.trust(node, nothing_lost=True)
        for node in news.lost:
            self.reconciler.doubt(node, subscribers[node].connection.proof, "the node fell silent")
            self.requests.look()
        if news.found or news.lost:
            self._replace()
            self.reconciler.retrust()
        return bool(orphans)

    def _hasten(self, now: float) -> bool:
        """Connect to the nodes that something has no other place than."""
        if now - self._hastened_at < _HASTEN:
            return False
        self._hastened_at = now
        for node in {node for places in self._places_in_use() for node in places}:
            if node in self.readers and node not in self.reconciler.subscribers:
                self.tree.hasten_reader(self.readers[node])
        return True

    def _places_in_use(self) -> set[tuple[NodeId, ...]]:
        return set(self.places_of(self.reconciler.homeless()))
