"""Slots and primaries in transition (pure): times and topologies in, answers out.

A server that ends a shard subscription says that the slot has moved, or that its shard has a new
primary. For up to 1.5 s afterwards nodes may still name the former owner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology

#: Seconds by which the cluster bus may be late. Observed with an idle core: 32 ms until a replica
#: delivered a message, 50 ms until a primary knew of its successor; with ten busy processes on two
#: cores more than 70 ms. A gap begins so much earlier than the last word of a node.
BUS_LAG = 0.2
#: Seconds for which the channels of an unsettled slot are subscribed on all nodes of its shard: if
#: the slot's owner delivers them already, and otherwise.
_SETTLING, UNSETTLED = 0.5, 1.5


class UnsettledSlots:
    """Slots whose subscriptions a server ended, and whose new owner is not known yet."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._since)

    @property
    def slots(self) -> AbstractSet[int]:
        """All of them."""
        return self._since.keys()

    def note(self, slot: int, now: float) -> None:
        """Note that a server ended the subscriptions of ``slot``."""
        self._since[slot] = now

    def found(self, slot: int) -> None:
        """Note that the owner of ``slot`` is known."""
        self._since.pop(slot, None)

    def roles_known(self, topology: Topology, replicas: Collection[NodeId], asked: float) -> None:
        """Settle the slots whose shard has changed roles.

        Args:
            topology: what the cluster looked like.
            replicas: the nodes that became replicas in ``topology``.
            asked: when the cluster was asked; slots that were noted later stay unsettled.
        """
        for slot, since in list(self._since.items()):
            shard = topology.shard_for(slot)
            if since < asked and shard and any(node.id in replicas for node in shard.replicas):
                del self._since[slot]

    def expire(
        self, now: float, sources: Iterable[tuple[int, NodeId | None]], topology: Topology
    ) -> bool:
        """Settle the slots whose time is over; return whether there were any.

        Args:
            now: the time in seconds.
            sources: for each channel its slot and the node that delivers it.
            topology: says who owns the slots; a slot whose owner delivers is settled sooner.
        """
        if not self._since:
            return False
        at_home = dict.fromkeys(self._since, True)
        for slot, source in sources:
            if slot in at_home:
                owner = topology.primary_for(slot)
                at_home[slot] &= owner is not None and source == owner.id
        settled = [
            slot
            for slot, since in self._since.items()
            if now - since > (_SETTLING if at_home[slot] else UNSETTLED)
        ]
        for slot in settled:
            del self._since[slot]
        return bool(settled)


class LostPrimaries:
    """Primaries whose connection ended and that may be dead.

    A primary may have accepted messages that had not reached its replicas when it died; nobody
    delivers these. Where channels are consumed from replicas, such messages are reported as a gap
    once a replica is promoted.
    """

    def __init__(self) -> None:
        self._of: dict[NodeId, tuple[list[Target], float, float]] = {}

    def note(
        self,
        node: NodeId,
        now: float,
        topology: Topology,
        live_since: Callable[[list[NodeId], float], list[Target]],
    ) -> None:
        """Note that the connection to ``node`` ended.

        Args:
            node: any node; nothing is noted of one that is no primary.
            now: the time in seconds.
            topology: says which nodes are its replicas.
            live_since: returns the targets that are live on some nodes, and were at a time.
        """
        shard = topology.shard_of(node)
        if shard is None or shard.primary is None or shard.primary.id != node:
            return
        since = now - BUS_LAG
        replicas = [replica.id for replica in shard.replicas]
        self._of[node] = live_since(replicas, since), since, now

    def lives(self, node: NodeId) -> None:
        """Forget ``node``: it is connected again."""
        self._of.pop(node, None)

    def take(self, promoted: Mapping[NodeId, NodeId]) -> list[tuple[list[Target], float, float]]:
        """Return the gaps to report, as (targets, since, until), and forget their primaries.

        Args:
            promoted: the former primary of each promoted node.
        """
        found = [self._of.pop(former, None) for former in promoted.values()]
        return [gap for gap in found if gap is not None]

    def keep(self, known: Collection[NodeId]) -> None:
        """Forget the nodes that have left the cluster."""
        self._of = {node: gap for node, gap in self._of.items() if node in known}
