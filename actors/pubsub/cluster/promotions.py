"""Which slots have a new primary because the former one died (pure): topologies in, slots out (R5).

A primary that dies may take along messages that it had accepted, and that no replica and no
consumer had seen. A planned failover loses nothing: the primary lives, and waits for its replica.
"""

from __future__ import annotations

from collections.abc import Collection

from actors.pubsub.cluster.shard_roles import promoted
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SlotRange

#: Why messages may be lost, in words.
PRIMARY_DIED = "a primary died, and its replica may lack what it had published last"


class Promotions:
    """Follows the topologies of one cluster.

    Attributes:
        troubled: primaries whose connection ended, or that did not answer, since the last topology
            that shows them well.

    Args:
        topology: the first one.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.troubled: set[NodeId] = set()

    def take(self, topology: Topology, lost: Collection[NodeId] = ()) -> list[SlotRange]:
        """Return the slots whose primary died and was replaced since the topology before.

        Args:
            topology: the latest one.
            lost: nodes that have no connection at the moment, or do not answer.
        """
        before, self._topology = self._topology, topology
        self.troubled.update(lost)
        former = promoted(before, topology)
        slots = [
            run
            for node, primary in former.items()
            if self._died(primary, before, topology) and (shard := topology.shard_of(node))
            for run in shard.slots
        ]
        self.troubled = {
            node
            for node in self.troubled
            if node in lost or (known := topology.nodes.get(node)) is None or known.failing
        }
        return slots

    def _died(self, primary: NodeId, before: Topology, now: Topology) -> bool:
        if primary in self.troubled or primary not in now.nodes:
            return True
        known = before.nodes.get(primary)
        return now.nodes[primary].failing or (known is not None and known.failing)
