"""Who just changed its role, and what that means; pure: times and topologies in, answers out.

After a change of roles the nodes of a shard do not relay to each other for a while: Redis 7.0
closes the connections between them and opens them anew. The promoted node delivers what it accepts
at once; what another one delivers in that time proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology

__all__ = ["RELAYED", "Revocations", "Roles", "new_replicas", "promoted"]

#: Seconds after a change of roles until a replica is sure to get what its primary accepts: seen
#: were 0.7 s, and the change is seen a moment late or early.
RELAYED = 1.5


def new_replicas(old: Topology, new: Topology) -> set[NodeId]:
    """Return the replicas that were none before, or that follow another primary now."""
    return {
        node
        for node, now in new.nodes.items()
        if not now.is_primary
        and ((before := old.nodes.get(node)) is None or before.primary_id != now.primary_id)
    }


def promoted(old: Topology, new: Topology) -> dict[NodeId, NodeId]:
    """Return the primaries that were replicas before, each with its primary of then."""
    return {
        node: before.primary_id
        for node, now in new.nodes.items()
        if now.is_primary and (before := old.nodes.get(node)) is not None and before.primary_id
    }


class Roles:
    """The nodes that may not get all that their primary accepts, yet, if they are replicas.

    Attributes:
        unsure: until when each of them is one of those.
    """

    def __init__(self) -> None:
        self.unsure: dict[NodeId, float] = {}
        self._back: set[NodeId] = set()

    def note(self, old: Topology, new: Topology, now: float) -> None:
        """Take a topology that follows another one."""
        self.unsure |= dict.fromkeys(new_replicas(old, new), now + RELAYED)

    def taken(self, node: NodeId, peers: Iterable[NodeId], now: float) -> None:
        """``node`` took a target away, by a change of roles that nobody saw before.

        Where it was promoted and is a replica again, without our knowing, no topology will tell.
        """
        for peer in peers:
            self.unsure.pop(peer, None)
        self.unsure[node] = now + RELAYED

    def back(self, node: NodeId, now: float) -> None:
        """``node``, a replica, is connected again.

        If it was restarted, it hears nothing before the other nodes have connected to it.
        """
        self.unsure[node] = now + RELAYED
        self._back.add(node)

    def returning(self, node: NodeId) -> bool:
        """Return whether ``node`` is one of those of :meth:`back`, and not sure yet."""
        return node in self._back

    def trusted(self, topology: Topology) -> list[NodeId]:
        """Return, once, those that were :meth:`back` and are sure by now, or primaries."""
        sure = [
            node
            for node in self._back
            if node not in self.unsure
            or ((known := topology.nodes.get(node)) is not None and known.is_primary)
        ]
        self._back.difference_update(sure)
        return sure

    def expire(self, now: float) -> bool:
        """Forget those that are sure by now; return whether there were any."""
        over = [node for node, until in self.unsure.items() if until <= now]
        for node in over:
            del self.unsure[node]
        return bool(over)


class Revocations:
    """What primaries took away lately: the first time they hand over, then they are promoted."""

    def __init__(self) -> None:
        self._taken: dict[NodeId, tuple[float, set[Target]]] = {}

    def promoted(
        self, node: NodeId, target: Target, *, replica: bool, former: NodeId | None, now: float
    ) -> bool:
        """Whether ``node`` took ``target`` away because it is the primary now.

        In doubt it is: that costs a gap that ends with its next word.

        Args:
            node: the node.
            target: the target.
            replica: it was one of the shard's replicas at the last look.
            former: the node of the shard that hands over, or just did; None: nobody was seen to.
            now: the time.
        """
        if former not in (None, node) or (former is None and replica):
            return True
        _, taken = self._taken.setdefault(node, (now, set()))
        if target in taken:
            return True
        taken.add(target)
        return False

    def forget(self, node: NodeId, before: float) -> None:
        """``node`` hands over, and did not yet at ``before``: what it took until then is past."""
        if node in self._taken and self._taken[node][0] < before:
            del self._taken[node]

    def expire(self, limit: float) -> None:
        """Forget what was taken before ``limit``."""
        for node in [node for node, (at, _) in self._taken.items() if at < limit]:
            del self._taken[node]
