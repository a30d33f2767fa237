"""What the manager of shard channels knows of the cluster: topology, connections, transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.pubsub.cluster.down_nodes import DownNodes
from actors.pubsub.cluster.placement_rules import NodeHealth
from actors.pubsub.cluster.redirects import Redirects
from actors.pubsub.cluster.shard_roles import Revocations, Roles, ShardPeers, new_replicas
from actors.pubsub.cluster.silent_nodes import SilentNodes
from actors.pubsub.cluster.transitions import BUS_LAG, LostPrimaries, UnsettledSlots
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology
from actors.redis.topology.update import with_owners

#: Seconds for which it counts that a slot has moved.
_REMEMBERED = 10.0


class ShardState:
    """Holds what is known; decides nothing.

    Attributes:
        topology: the latest one, with what servers have said since.
        replicas_first: whether channels are consumed from replicas where there are any.
        down: nodes whose connection was lost or could not be made.
        silent: connected nodes that do not answer.
        cut_off: connected nodes that answer, and are out of touch with the others.
        roles: nodes that may not receive everything yet, as replicas.
        peers: which nodes are of one shard.
        unsettled: slots whose owner is being found out.
        revocations: which subscriptions nodes have ended lately.
        lost_primaries: primaries that may be dead, where replicas are consumed from.
        arrived: slots that have just moved to another shard, each with the node and the time.
        redirects: how often slots were followed to another node lately.
        refusals: whether a node has refused a subscription for now.

    Args:
        topology: the one that is known at the beginning.
        now: returns the time in seconds.
        replicas_first: see above.
    """

    def __init__(
        self, topology: Topology, now: Callable[[], float], *, replicas_first: bool
    ) -> None:
        self.topology = topology
        self.now = now
        self.replicas_first = replicas_first
        self.down = DownNodes(now, self._shard_of)
        self.silent = SilentNodes()
        self.cut_off: frozenset[NodeId] = frozenset()
        self.roles = Roles()
        self.peers = ShardPeers(now)
        self.peers.note(topology)
        self.unsettled = UnsettledSlots()
        self.revocations = Revocations()
        self.lost_primaries = LostPrimaries()
        self.arrived: dict[int, tuple[NodeId, float]] = {}
        self.redirects = Redirects()
        self.refusals = False

    def _shard_of(self, node: NodeId) -> list[NodeId]:
        shard = self.topology.shard_of(node)
        return [] if shard is None else [peer.id for peer in shard.nodes]

    def health(self) -> NodeHealth:
        """Return what decides where channels belong, beside the topology."""
        return NodeHealth(
            self.down.since.keys(),
            self.silent.silent | self.cut_off,
            self.unsettled.slots,
            self.topology.migrating,
            self.replicas_first,
            self.roles.unsure.keys(),
        )

    def answers(self, node: NodeId) -> bool:
        """Return whether ``node`` answers, and is in touch with the others."""
        return node not in self.cut_off and node not in self.silent

    def trusted(self, node: NodeId) -> bool:
        """Return whether ``node`` answers, and surely receives what its primary accepts."""
        return self.answers(node) and not self.roles.returning(node)

    def complete(self, node: NodeId, heard: float) -> float:
        """Return until when ``node`` has delivered everything that its shard accepted.

        Any node of a shard accepts messages, a demoted primary too, and passes them on over the
        cluster bus, which is late. Of a primary that died long enough ago nothing is on its way.
        """
        known = self.topology.nodes.get(node)
        ended = None if known is None else self.down.since.get(known.primary_id or "")
        if ended is not None and heard - ended >= BUS_LAG:
            return heard
        return heard - BUS_LAG

    def lost_slot(self, node: NodeId, slot: int) -> bool:
        """Return whether ``node`` is a replica and ``slot`` is moving, or moved, off its shard."""
        known = self.topology.nodes.get(node)
        if known is None or known.is_primary:
            return False
        owner = self.topology.migrating.get(slot)
        if owner is None:
            primary = self.topology.primary_for(slot)
            owner = None if primary is None else primary.id
        return owner is not None and not self.peers.are(node, owner)

    def moved(self, slot: int, node: NodeId) -> None:
        """Note that ``slot`` has moved to ``node``, from another shard."""
        self.arrived[slot] = node, self.now()

    def imports(self, node: NodeId, slot: int) -> bool:
        """Return whether ``slot`` is moving to ``node`` from another shard, or has just arrived."""
        arrived = slot in self.arrived and self.arrived[slot][0] == node
        return arrived or self.topology.migrating.get(slot) == node

    def steady(self, topology: Topology, slots: Iterable[int]) -> Topology:
        """Return ``topology`` with those of ``slots`` where they were that change to and fro.

        While nodes contradict each other about a slot, so do the looks at the topology.
        """
        kept = {}
        for slot in slots:
            before, after = self.topology.primary_for(slot), topology.primary_for(slot)
            if before is None or after is None or self.peers.are(before.id, after.id):
                continue
            known = topology.nodes.get(before.id)
            if known is None or not known.is_primary or known.failing:
                continue
            if not self.redirects.may_follow(slot, self.now(), after.config_epoch):
                kept[slot] = before.id
        return with_owners(topology, kept) if kept else topology

    def take(self, topology: Topology, asked_at: float) -> None:
        """Take a topology that the cluster was asked for at ``asked_at``."""
        old, self.topology = self.topology, topology
        self.peers.note(topology)
        self.roles.note(old, topology, self.now())
        self.unsettled.roles_known(topology, new_replicas(old, topology), asked_at)

    def expire(self) -> None:
        """Forget the slots that arrived, or were redirected, a while ago."""
        self.redirects.expire(self.now())
        limit = self.now() - _REMEMBERED
        self.arrived = {slot: one for slot, one in self.arrived.items() if one[1] >= limit}

    def forget_others(self) -> None:
        """Forget the nodes that are not in the topology."""
        known = self.topology.nodes.keys()
        self.down.keep(known)
        self.silent.keep(known)
        self.lost_primaries.keep(known)
