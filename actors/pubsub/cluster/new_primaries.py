"""Which slots have a new primary, and whether the former one died (R5): topologies in, slots out.

A primary that dies may take along messages that it had accepted, and that no replica and no
consumer had seen. A planned failover loses nothing: the primary lives, waits for its replica, and
then ends the subscriptions of its slots; the primary may be restarted a moment later. After either,
nodes relay no messages to each other for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from actors.pubsub.cluster.promotion_reads import Promoted
from actors.pubsub.cluster.shard_roles import promoted
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SlotRange, without_slot


class NewPrimaries:
    """Follows the topologies of one cluster.

    Attributes:
        troubled: primaries whose connection ended, or that did not answer, since the last topology
            that shows them well.
        resigned: the slots whose subscriptions their primary ended while it was well, with the
            primary.

    Args:
        topology: the first one.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.troubled: set[NodeId] = set()
        self.resigned: dict[int, NodeId] = {}

    def resign(self, node: NodeId, slot: int) -> None:
        """Take that the primary ``node`` ended a subscription: it gave up the slot, and lives."""
        if node not in self.troubled:
            self.resigned[slot] = node

    def take(self, topology: Topology, lost: Collection[NodeId] = ()) -> Promoted:
        """Return the slots whose primary was replaced by a replica since the topology before.

        Args:
            topology: the latest one.
            lost: nodes that have no connection at the moment, or do not answer.
        """
        before, self._topology = self._topology, topology
        self.troubled.update(lost)
        slots: list[SlotRange] = []
        died: list[SlotRange] = []
        for node, primary in promoted(before, topology).items():
            shard = topology.shard_of(node)
            runs = () if shard is None else shard.slots
            slots += runs
            if self._died(primary, before, topology):
                died += self._not_resigned(primary, runs)
        self.resigned = {
            slot: node
            for slot, node in self.resigned.items()
            if (known := topology.primary_for(slot)) is not None and known.id == node
        }
        self.troubled = {
            node
            for node in self.troubled
            if node in lost or (known := topology.nodes.get(node)) is None or known.failing
        }
        return Promoted(tuple(slots), tuple(died))

    def _not_resigned(self, primary: NodeId, runs: Sequence[SlotRange]) -> Sequence[SlotRange]:
        for slot, node in self.resigned.items():
            if node == primary:
                runs = without_slot(runs, slot)
        return runs

    def _died(self, primary: NodeId, before: Topology, now: Topology) -> bool:
        if primary in self.troubled or primary not in now.nodes:
            return True
        known = before.nodes.get(primary)
        return now.nodes[primary].failing or (known is not None and known.failing)
