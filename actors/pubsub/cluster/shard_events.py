"""What a manager of shard subscriptions does about what it is told.

By its connections, lost or had; by servers, that end subscriptions or redirect them; by looks at
the topology; by primaries that are about to hand over. Each alone is enough to act.
"""

from __future__ import annotations

from actors.pubsub.cluster.seconds import first_of, is_second
from actors.pubsub.cluster.shard_placement import ShardPlacement, Tick
from actors.pubsub.cluster.shard_roles import Revocations, new_replicas, promoted
from actors.pubsub.cluster.topology_watch import TopologyRequests
from actors.pubsub.cluster.transitions import LostPrimaries
from actors.pubsub.lifecycle.manager import ManagerOptions
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.locations import TCPLocation
from actors.redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    PrimaryDownError,
    RedisError,
    TryAgainError,
)
from actors.redis.topology.model import Topology
from actors.redis.topology.update import move_slot

__all__ = ["ShardReports"]

# Answers that say: not here, or not now.
_PASSING = (AskError, BusyLoadingError, ClusterDownError, PrimaryDownError, TryAgainError)


class ShardReports(ShardPlacement):
    """Takes reports; see the module's docstring."""

    def __init__(
        self,
        options: ManagerOptions,
        pool: ClusterConnectionPool,
        requests: TopologyRequests,
        replicas: bool,
    ) -> None:
        super().__init__(options, pool, replicas)
        self.requests = requests
        self._compared = self.topology
        self._checked_at = 0.0
        self._revocations = Revocations()
        self._lost_primaries = LostPrimaries()
        # Nodes that took something from us.
        self._to_watch: set[NodeId] = set()
        self._refusals = False

    # -- what is reported --------------------------------------------------------------------------

    def lost(self, node: NodeId) -> bool:
        """A connection ended: its channels move to the shard's other nodes at once (P6)."""
        if is_second(node):
            return False  # the first connection says what is to be done
        now = self.loop.time()
        self._down.setdefault(node, now)
        self._silent_nodes.forget(node)
        if self.replicas_first:
            table = self.reconciler.table
            self._lost_primaries.note(node, now, self.topology, table.live_since)
        # Where all of them end, nothing is to be done about it, and nobody would come to do it.
        return not self.tree.winding_down and self._changed()

    def found(self, node: NodeId) -> bool:
        """A node is connected."""
        if is_second(node) or (node not in self._down and not self._unsettled):
            return False
        self._lost_primaries.lives(node)
        known = self.topology.nodes.get(node)
        if self._down.pop(node, None) and self.replicas_first and known and not known.is_primary:
            now = self.loop.time()
            self._roles.back(node, now)
            self.reconciler.doubt(node, now, "the node was away")
        return self._changed()

    def _changed(self) -> bool:
        self._places.clear()
        self._place_soon()
        self.requests.look()
        return True

    def _node_failed(self, node: NodeId) -> None:
        if node not in self._down and not is_second(node):
            self._down[node] = self.loop.time()
            self.requests.look()
            self._replace()
            self.reconciler.queue_hopeless("no connection could be had")

    def revoked(self, node: NodeId, target: Target) -> bool:
        """A node took a target away: because the slot moves, or because its shard changes (P5)."""
        node, slot = first_of(node), self.slot(target)
        moves, now = self.moves.moves, self.loop.time()
        # Not where replicas are listened to: one may have given it up long before its primary.
        gone_on = not self.replicas_first and moves.is_over(slot, now)
        if gone_on and moves.targets.get(slot) == node:
            moves.forget(slot)  # it came a while ago, and goes on now
        new = moves.targets.get(slot)
        if new is not None and new in self.topology.nodes:
            if new != node:
                moves.changed_hands(slot, now)
                self._repeat(new, target)
                if self._is_early(node, target):
                    return False
                self.topology = move_slot(self.topology, slot, new)
            # Else it is the new owner that takes over, and is asked again.
            self._places.drop(slot)
            self._place_soon()
            self.requests.confirm()
            return False
        shard = self.topology.shard_for(slot)
        peers = [] if shard is None else [peer.id for peer in shard.nodes]
        former = next((peer for peer in peers if peer in self._failovers.nodes), None)
        if former is None:
            self._unsettled.note(slot, now)
            self._roles.taken(node, peers, now)
            # If it is a move that nobody saw, there may be more of them. First this one.
            if not self._to_watch:
                self.context.self_ref.tell(Tick.WATCH)
            self._to_watch.add(node)
            self._places.drop(slot)
            self._place_soon()
        self.requests.look()
        return self._revocations.promoted(
            node,
            target,
            replica=shard is not None and any(node == replica.id for replica in shard.replicas),
            former=former,
            now=now,
        )

    def _is_early(self, node: NodeId, target: Target) -> bool:
        """Whether ``node`` is a replica, and its primary goes on with ``target`` for a moment.

        A replica may hear first that the slot has a new owner. Its primary accepts messages until
        it hears so itself, and says so then.
        """
        row, giver = self.reconciler.table.rows.get(target), self.giver(node, target)
        return row is not None and row.is_live(giver)

    def _repeat(self, node: NodeId, target: Target) -> None:
        """``node`` owns the slot of ``target`` from now on, and ended what it took before that.

        It says so, perhaps after those who publish were sent there: it is asked before all else.
        """
        subscriber, row = (
            self.reconciler.subscribers.get(node),
            self.reconciler.table.rows.get(target),
        )
        # Where it is being left, it is not asked again.
        if subscriber is not None and row is not None and row.wanted and row.asked(node):
            subscriber.repeat(target.kind, target.name)

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Follow MOVED; wait for what passes."""
        if isinstance(error, MovedError):
            if all(self._is_early(node, target) for target in targets):
                self._refusals = True
                return True
            if not self._follow(node, error):
                return True  # it names the owner that we know
            self.reconciler.replace(targets)
        elif not isinstance(error, _PASSING):
            return False
        self._refusals = True
        self._place_soon()
        self.requests.look()
        return True

    def _follow(self, node: NodeId, error: MovedError) -> bool:
        """Take what a MOVED says; return whether it is news."""
        subscriber = self.reconciler.subscribers.get(node)
        location = None if subscriber is None else subscriber.connection.location
        asked = (location.host, location.port) if isinstance(location, TCPLocation) else None
        reached = self.pool.resolve((error.host, error.port), asked=asked)
        owner = None if reached is None else self.topology.at(reached)
        if owner is None:
            return True
        known = self.topology.primary_for(error.slot)
        if known is not None and known.id == owner.id:
            return False
        if not owner.is_primary and known is not None and owner.primary_id == known.id:
            # Roles are the topology's to tell, and any node of the shard takes a subscription. The
            # others go on to name the former primary for a while.
            return True
        if owner.failing or owner.id in self._down or owner.id in self._silent_nodes:
            return True  # some nodes name a dead one for a while
        if known is not None and known.id == node:
            self.moves.watch(node)
        self.pool.note_moved(error.slot, (error.host, error.port), asked=asked)
        self.topology = self.pool.topology
        self._unsettled.found(error.slot)
        self._places.drop(error.slot)
        return True

    def _topology_checked(self, asked_at: float) -> None:
        # Not the one that was reported: what a server said since then is newer.
        topology = self.topology = self.pool.topology
        old, self._compared = self._compared, topology
        for owner in topology.primaries:
            self.moves.note(
                owner.id,
                {
                    slot: target
                    for slot, target in topology.migrating.items()
                    if topology.primary_for(slot) == owner
                },
            )
        if topology != old:
            self._peers.note(topology)
            self._roles.note(old, topology, self.loop.time())
            self._unsettled.roles_known(topology, new_replicas(old, topology), asked_at)
            self._find_misplaced(old, topology)
            for words in self._lost_primaries.take(promoted(old, topology)):
                self.reconciler.missed(*words, "the primary died")
            known = topology.nodes.keys()
            self._down = {node: at for node, at in self._down.items() if node in known}
            self._silent_nodes.keep(known)
            self._lost_primaries.keep(known)
            self._replace()
            self.reconciler.finish_handovers(self.linger)
        self._checked_at = asked_at

    def _find_misplaced(self, old: Topology, new: Topology) -> None:
        """Find the sources that changed their shard: no server says so to their subscribers."""
        for node in {row.source for row in self.reconciler.table.rows.values() if row.source}:
            before, after = old.nodes.get(node), new.nodes.get(node)
            if before is None or after is None or before.is_primary or after.is_primary:
                continue
            if before.primary_id == after.primary_id:
                continue
            shard = new.shard_of(node)
            stays = shard.slots if shard is not None else ()
            lost = [
                target
                for target, row in self.reconciler.table.rows.items()
                if row.source == node
                and not any(start <= self.slot(target) <= end for start, end in stays)
            ]
            self._places.clear()
            self.reconciler.misplaced(
                node, lost, self._checked_at, "the replica changed its primary"
            )

    def _hands_over(self, node: NodeId) -> None:
        """A primary holds its publishers until a replica has taken over: be there, too (P7)."""
        now = self.loop.time()
        free = self.moves.free.get(node)
        if self._failovers.note(node, now, free, self.same_stream):
            self._revocations.forget(node, now if free is None else free)
            self._replace()
            self.requests.look()
