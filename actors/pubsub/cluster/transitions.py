"""What is known of shards in upheaval; pure: times and topologies in, answers out.

A primary hands over to a replica, or dies; slots are taken from us, and for a while their nodes
name owners that they have no more. Each of these is over by itself, at a time that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology

__all__ = ["BUS_LAG", "UNSETTLED", "OngoingFailovers", "LostPrimaries", "UnsettledSlots"]

#: Seconds by which the cluster bus may be late: seen were 32 ms at a replica, and 50 ms until a
#: primary knew of its successor, under load.
BUS_LAG = 0.07
#: Seconds for which a slot that was taken from us is looked for on all nodes of its shard, at least
#: and at most: nodes may name the old owner for a while.
_SETTLING, UNSETTLED = 0.5, 1.5


class OngoingFailovers:
    """Primaries that hand over, or just did."""

    def __init__(self) -> None:
        # When each was last seen to hold its publishers for that, and last not to, before.
        self._seen: dict[NodeId, tuple[float, float | None]] = {}

    @property
    def nodes(self) -> AbstractSet[NodeId]:
        """All of them."""
        return self._seen.keys()

    def note(
        self, node: NodeId, now: float, free: float | None, are: Callable[[str, str], bool]
    ) -> bool:
        """``node`` holds its publishers for a hand-over; return whether that is news.

        Args:
            node: the node.
            now: the time in seconds.
            free: when it was seen last not to; None: never.
            are: tells whether two nodes are of one shard: only one of a shard hands over.
        """
        if node in self._seen:
            self._seen[node] = now, self._seen[node][1]
            return False
        self._seen = {peer: seen for peer, seen in self._seen.items() if not are(peer, node)}
        self._seen[node] = now, free
        return True

    def free(self, node: NodeId) -> float | None:
        """Return when ``node`` was last seen not to hand over, before it began; None: unknown."""
        return self._seen[node][1] if node in self._seen else None

    def expire(self, now: float) -> bool:
        """Forget those that are done with it; return whether there were any."""
        over = [node for node, (since, _) in self._seen.items() if now - since > UNSETTLED]
        for node in over:
            del self._seen[node]
        return bool(over)


class UnsettledSlots:
    """Slots that were taken from us, without our knowing where they are."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._since)

    @property
    def slots(self) -> AbstractSet[int]:
        """All of them."""
        return self._since.keys()

    def note(self, slot: int, now: float) -> None:
        """``slot`` was taken from us."""
        self._since[slot] = now

    def found(self, slot: int) -> None:
        """Where ``slot`` is, is known."""
        self._since.pop(slot, None)

    def roles_known(self, topology: Topology, replicas: Collection[NodeId], asked: float) -> None:
        """Take a topology that was asked for at ``asked``, and who became a replica in it.

        Slots that were taken because nodes changed their roles are found by it.
        """
        for slot, since in list(self._since.items()):
            shard = topology.shard_for(slot)
            if since < asked and shard and any(node.id in replicas for node in shard.replicas):
                del self._since[slot]

    def expire(
        self, now: float, sources: Iterable[tuple[int, NodeId | None]], topology: Topology
    ) -> bool:
        """Forget those that are settled by now; return whether there were any.

        Args:
            now: the time in seconds.
            sources: the slot of each channel, and the node that it is heard from.
            topology: says whose the slots are: the sooner are they settled that are heard there.
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
    """Primaries that may have died: what they had not passed on to their replicas died with them.

    For each, what was live on its replicas, and between which times these may not have heard all.
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
        """The connection to ``node`` ended.

        Args:
            node: the node; of one that is no primary nothing is to be told.
            now: the time in seconds.
            topology: says which are its replicas.
            live_since: returns what is live on some nodes, and was at a time.
        """
        shard = topology.shard_of(node)
        if shard is None or shard.primary is None or shard.primary.id != node:
            return
        since = now - BUS_LAG
        replicas = [replica.id for replica in shard.replicas]
        self._of[node] = live_since(replicas, since), since, now

    def lives(self, node: NodeId) -> None:
        """``node`` is connected again."""
        self._of.pop(node, None)

    def take(self, promoted: Mapping[NodeId, NodeId]) -> list[tuple[list[Target], float, float]]:
        """Return what is to be told of primaries whose replicas were promoted, by the new one."""
        told = [self._of.pop(former, None) for former in promoted.values()]
        return [words for words in told if words is not None]

    def keep(self, known: Collection[NodeId]) -> None:
        """Forget the nodes that are not in the cluster any more."""
        self._of = {node: words for node, words in self._of.items() if node in known}
