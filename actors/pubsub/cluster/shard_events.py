"""What follows when connections, servers or the topology report something about shard channels.

Connections are lost and made; servers end subscriptions, or redirect them; looks at the topology
show who serves what. Each report alone is enough to act on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.pubsub.cluster.node_readers import NodeReaders
from actors.pubsub.cluster.promotions import NewPrimaries, Promoted
from actors.pubsub.cluster.shard_placement import ShardPlacement
from actors.pubsub.cluster.shard_roles import LINKED, RELAYED, promoted
from actors.pubsub.cluster.shard_state import ShardState
from actors.pubsub.cluster.topology_watch import TopologyRequests
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.placement import Revocation
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.table.state import NodeId
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.config.locations import TCPLocation
from actors.redis.error_meaning import will_pass
from actors.redis.exceptions import AskError, MovedError, RedisError
from actors.redis.topology.model import Topology


class _Owner(Protocol):
    """Whose reconciler it is, and whether its readers are about to end."""

    @property
    def reconciler(self) -> Reconciler: ...

    @property
    def winding_down(self) -> bool: ...

    def look_soon(self) -> None: ...


class ShardEvents:
    """Takes reports, changes what is known, and has the reconciler look again.

    Args:
        owner: has the reconciler.
        state: what is known.
        placement: what follows for channels.
        readers: what follows for connections.
        pool: knows addresses, and keeps the topology.
        requests: takes requests for looks at the topology.
        promoted: has histories read when replicas have become primaries.
    """

    def __init__(
        self,
        owner: _Owner,
        state: ShardState,
        placement: ShardPlacement,
        readers: NodeReaders,
        pool: ClusterConnectionPool,
        requests: TopologyRequests,
        promoted: Callable[[Promoted, float], None],
    ) -> None:
        self._owner = owner
        self._state = state
        self._placement = placement
        self._readers = readers
        self._pool = pool
        self._requests = requests
        self._compared = state.topology
        self._promoted = promoted
        self._new_primaries = NewPrimaries(state.topology)

    # -- connections -------------------------------------------------------------------------------

    def lost(self, node: NodeId) -> bool:
        """Take that a connection ended: its channels move to the shard's other nodes (P6)."""
        state, now = self._state, self._state.now()
        state.down.lost(node)
        state.silent.forget(node)
        if state.replicas_first:
            table = self._owner.reconciler.table
            state.lost_primaries.note(node, now, state.topology, table.live_since)
        # Where all connections end, there is nothing to move to, and no reader to be made.
        return not self._owner.winding_down and self._changed()

    def found(self, node: NodeId) -> bool:
        """Take that a node is connected."""
        state = self._state
        connection = self._owner.reconciler.subscribers[node].connection
        was_down, restarted = state.down.found(node, connection.client_id)
        if not was_down and not state.unsettled:
            return False
        state.lost_primaries.lives(node)
        known = state.topology.nodes.get(node)
        reconciler, now = self._owner.reconciler, state.now()
        is_doubtful = was_down and state.replicas_first and known and not known.is_primary
        if restarted:
            reconciler.started(node, now + LINKED)
        if is_doubtful:
            reconciler.doubt(node, now, "the node was away")
        if restarted or is_doubtful:
            state.roles.back(node, now, restarted=restarted)
        return self._changed()

    def unreachable(self, node: NodeId) -> None:
        """Take that a node could not be connected to."""
        is_news = node not in self._state.down.since
        self._state.down.unreachable(node)
        if is_news:
            self._look_everywhere()
            self.replace()
            self._owner.reconciler.calls.queue_hopeless("no connection could be had")

    def _changed(self) -> bool:
        self._placement.places_by_slot.clear()
        self._look_everywhere()
        return True

    def _look_everywhere(self) -> None:
        """Have the topology, the readers and what no event reports looked at soon."""
        self._requests.look()
        self._readers.place_soon()
        self._owner.look_soon()

    def replace(self) -> None:
        """Have the reconciler look again where every channel belongs."""
        self._placement.places_by_slot.clear()
        self._owner.reconciler.replace()
        self._readers.place_soon()

    # -- what servers say --------------------------------------------------------------------------

    def revoked(self, node: NodeId, target: Target) -> Revocation:
        """Take that a node ended a subscription: its slot moved, or its shard changed (P5)."""
        state, slot, now = self._state, self._placement.slots[target], self._state.now()
        primary = state.topology.primary_for(slot)
        if primary is not None and primary.id == node and node not in state.silent:
            self._new_primaries.resign(node, slot)
        missed = state.lost_slot(node, slot)
        new = state.topology.migrating.get(slot)
        self._look_everywhere()
        self._placement.places_by_slot.drop(slot)
        if new is not None and new in self._pool.topology.nodes:
            # The new owner ends what it took before it owned the slot, and is asked again.
            if new != node:
                state.moved(slot, new)
                self._pool.note_owner(slot, new)
                state.topology = self._pool.topology
            return Revocation(missed=missed)
        shard = state.topology.shard_for(slot)
        peers = [] if shard is None else [peer.id for peer in shard.nodes]
        state.unsettled.note(slot, now)
        state.roles.taken(node, peers, now)
        replica = shard is not None and any(node == replica.id for replica in shard.replicas)
        took_over = state.revocations.promoted(node, target, replica=replica, now=now)
        return Revocation(promoted=took_over, missed=missed)

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Follow MOVED; wait while an error will pass; return False for any other error."""
        if isinstance(error, MovedError):
            news = self._follow(node, error)
            # Of several channels in one slot only the first one's MOVED is news.
            self._owner.reconciler.replace(targets)
            if not news:
                self._state.refusals = True
                self._owner.look_soon()
                return True
        elif not (isinstance(error, AskError) or will_pass(error)):
            return False
        self._state.refusals = True
        self._look_everywhere()
        return True

    def _follow(self, node: NodeId, error: MovedError) -> bool:
        """Take what a MOVED says; return whether it is news."""
        state, pool = self._state, self._pool
        subscriber = self._owner.reconciler.subscribers.get(node)
        location = None if subscriber is None else subscriber.connection.location
        asked = (location.host, location.port) if isinstance(location, TCPLocation) else None
        reached = pool.resolve((error.host, error.port), asked=asked)
        owner = None if reached is None else state.topology.at(reached)
        if owner is None:
            return True
        known = state.topology.primary_for(error.slot)
        if known is not None and known.id == owner.id:
            return False
        if not owner.is_primary and known is not None and owner.primary_id == known.id:
            # Roles are the topology's to tell, and any node of the shard takes a subscription. The
            # others go on to name the former primary for a while.
            return True
        if owner.failing or owner.id in state.down.since or owner.id in state.silent:
            return True  # some nodes name a dead one for a while
        if not state.redirects.may_follow(error.slot, state.now()):
            return False  # nodes contradict each other: asked again after a pause
        if known is not None and not state.peers.are(known.id, owner.id):
            state.moved(error.slot, owner.id)
        pool.note_moved(error.slot, (error.host, error.port), asked=asked)
        state.topology = pool.topology
        state.unsettled.found(error.slot)
        self._placement.places_by_slot.drop(error.slot)
        return True

    # -- the topology ------------------------------------------------------------------------------

    def _leave_forgotten(self, topology: Topology) -> None:
        """Leave connected nodes that the others have forgotten: they go on answering, and are deaf.

        What such a node delivered since the others were last known to know it proves nothing.
        """
        reconciler, contacts = self._owner.reconciler, self._pool.contacts
        for node, subscriber in list(reconciler.subscribers.items()):
            if node not in topology.nodes and node in self._compared.nodes:
                where = subscriber.connection.location
                reason = f"{where} left the cluster, or the other nodes have forgotten it"
                reconciler.on_disconnected(subscriber, reason, proven_at=contacts.known_at(node))

    def _leave_cut_off(self, topology: Topology) -> None:
        """Doubt connected nodes that lost touch with the others, and trust those that are back.

        A node that is the only one of its shard is all there is: what it accepts, it delivers.
        """
        state, reconciler = self._state, self._owner.reconciler
        contacts = self._pool.contacts
        cut_off = frozenset(
            node
            for node in contacts.cut_off.keys() & reconciler.subscribers.keys()
            if (shard := topology.shard_of(node)) is not None and len(shard.nodes) > 1
        )
        lost, back = cut_off - state.cut_off, state.cut_off - cut_off
        state.cut_off = cut_off
        for node in lost:
            reason = "the node lost touch with the others"
            reconciler.doubt(node, contacts.heard_at(node), reason)
        for node in back - state.silent.silent:
            reconciler.trust(node, nothing_lost=False)
        if lost or back:
            self.replace()
            reconciler.update_routes()

    def topology_checked(self, asked_at: float) -> None:
        """Take what a look at the topology showed."""
        # The pool's, not the one that was reported: what servers have said since then is newer.
        state, old, topology = self._state, self._compared, self._pool.topology
        self._leave_forgotten(topology)
        self._leave_cut_off(topology)
        self._compared = topology
        # A consumer of replicas does not hear that a primary hands over before it restarts: that a
        # primary died only the other nodes can say.
        lost = (
            ()
            if state.replicas_first
            else {*state.down.since, *state.silent.silent, *state.cut_off}
        )
        self._promoted(self._new_primaries.take(topology, lost), RELAYED)
        if topology != old or topology != state.topology:
            slots = set(map(self._placement.slots.__getitem__, self._owner.reconciler.table.rows))
            topology = state.steady(topology, slots)
            state.take(topology, asked_at)
            self._find_misplaced(old, topology)
            reconciler = self._owner.reconciler
            for gap in state.lost_primaries.take(promoted(old, topology)):
                reconciler.missed(*gap, "the primary died")
            state.forget_others()
            self.replace()
            reconciler.finish_handovers(self._placement.linger)

    def _find_misplaced(self, old: Topology, new: Topology) -> None:
        """Find the sources that changed their shard: no server says so to their subscribers."""
        reconciler, slots = self._owner.reconciler, self._placement.slots
        for node in {row.source for row in reconciler.table.rows.values() if row.source}:
            before, after = old.nodes.get(node), new.nodes.get(node)
            if before is None or after is None or before.is_primary or after.is_primary:
                continue
            if before.primary_id == after.primary_id:
                continue
            shard = new.shard_of(node)
            stays = shard.slots if shard is not None else ()
            lost = [
                target
                for target, row in reconciler.table.rows.items()
                if row.source == node
                and not any(start <= slots[target] <= end for start, end in stays)
            ]
            self._placement.places_by_slot.clear()
            # The looks since then have asked other nodes, which did not know yet.
            proof = self._pool.contacts.followed_at(node, before.primary_id)
            reconciler.misplaced(node, lost, proof, "the replica changed its primary")
