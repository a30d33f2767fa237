"""Roles within a shard, and what follows when they change (pure).

After a failover the nodes of a shard do not relay messages to each other for a while: Redis 7.0
closes the cluster bus connections between them and opens new ones. The promoted node delivers what
it accepts; that another node of the shard delivers nothing in that time proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology

#: Seconds after a change of roles until a replica surely receives what its primary accepts (seen:
#: 0.7 s; when the roles changed is known only roughly).
RELAYED = 1.5
#: Seconds after a start until a node is surely connected to the others of its shard (seen: 0.2 s).
LINKED = 0.5
#: Seconds for which two nodes count as of one shard after the topology showed them so.
_REMEMBERED = 10.0


def new_replicas(old: Topology, new: Topology) -> set[NodeId]:
    """Return the replicas of ``new`` that were none in ``old``, or followed another primary."""
    return {
        node
        for node, now in new.nodes.items()
        if not now.is_primary
        and ((before := old.nodes.get(node)) is None or before.primary_id != now.primary_id)
    }


def promoted(old: Topology, new: Topology) -> dict[NodeId, NodeId]:
    """Return the primaries of ``new`` that ``old`` shows as replicas, with their former primary."""
    return {
        node: before.primary_id
        for node, now in new.nodes.items()
        if now.is_primary and (before := old.nodes.get(node)) is not None and before.primary_id
    }


class ShardPeers:
    """Which nodes are of one shard, or were within the last seconds.

    In the middle of a failover the topology may show the nodes of one shard as two shards. They
    deliver the same messages all the time.

    Args:
        now: returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._current: set[frozenset[NodeId]] = set()
        self._former: dict[frozenset[NodeId], float] = {}

    def note(self, topology: Topology) -> None:
        """Take the topology that counts from now on."""
        now = self._now()
        former = {pair: at for pair, at in self._former.items() if now - at < _REMEMBERED}
        self._former = former | dict.fromkeys(self._current, now)
        self._current = {
            frozenset((one.id, other.id))
            for shard in topology.shards
            for one, other in combinations(shard.nodes, 2)
        }

    def are(self, node: NodeId, other: NodeId) -> bool:
        """Return whether the two nodes are of one shard and deliver the same messages."""
        pair = frozenset((node, other))
        if node == other or pair in self._current:
            return True
        return self._now() - self._former.get(pair, -_REMEMBERED) < _REMEMBERED


class Roles:
    """Nodes that, as replicas, may not receive everything that their primary accepts yet.

    Attributes:
        unsure: those nodes, each with the time until which that is so.
    """

    def __init__(self) -> None:
        self.unsure: dict[NodeId, float] = {}
        # The nodes that came back, each with the time from which it is sure if it is a primary.
        self._back: dict[NodeId, float] = {}

    def note(self, old: Topology, new: Topology, now: float) -> None:
        """Take a topology that follows another one: its new replicas are unsure."""
        self.unsure |= dict.fromkeys(new_replicas(old, new), now + RELAYED)

    def taken(self, node: NodeId, peers: Iterable[NodeId], now: float) -> None:
        """Note that ``node`` ended a subscription, by a change of roles that no topology showed.

        Only ``node`` is unsure then. (A node that was promoted and demoted again between two looks
        at the topology is shown by neither.)

        Args:
            node: the node.
            peers: the nodes of its shard.
            now: the time in seconds.
        """
        for peer in peers:
            self.unsure.pop(peer, None)
        self.unsure[node] = now + RELAYED

    def back(self, node: NodeId, now: float, *, restarted: bool = False) -> None:
        """Note that ``node`` is connected again.

        A node that was just started receives nothing until the other nodes have connected to it.

        Args:
            node: the node.
            now: the time in seconds.
            restarted: whether the node may have been started anew; else its connection was lost.
        """
        self.unsure[node] = now + RELAYED
        self._back[node] = now + LINKED if restarted else now

    @property
    def any_returning(self) -> bool:
        """Whether a node came :meth:`back` and is still unsure."""
        return bool(self._back)

    def returning(self, node: NodeId) -> bool:
        """Return whether ``node`` came :meth:`back` and is still unsure."""
        return node in self._back

    def trusted(self, topology: Topology, now: float) -> list[NodeId]:
        """Return, once each, the nodes that came :meth:`back` and are sure by now.

        A primary delivers what it accepts itself, so it is sure as soon as the others reach it.
        """

        def is_sure(node: NodeId, linked: float) -> bool:
            known = topology.nodes.get(node)
            return node not in self.unsure or (
                known is not None and known.is_primary and linked <= now
            )

        sure = [node for node, linked in self._back.items() if is_sure(node, linked)]
        for node in sure:
            del self._back[node]
        return sure

    def expire(self, now: float) -> bool:
        """Forget the nodes that are sure by now; return whether there were any."""
        over = [node for node, until in self.unsure.items() if until <= now]
        for node in over:
            del self.unsure[node]
        return bool(over)


class Revocations:
    """Which subscriptions a node has ended lately: tells a promoted node from a demoted one.

    In a failover every node of the shard ends its subscriptions. The former primary ends them
    because it was demoted; a replica because it was promoted, or because its primary changed.
    """

    def __init__(self) -> None:
        self._taken: dict[NodeId, tuple[float, set[Target]]] = {}

    def promoted(self, node: NodeId, target: Target, *, replica: bool, now: float) -> bool:
        """Return whether ``node`` may have ended ``target`` because it is the primary now.

        Where that is not certain the answer is True: it costs a gap that the next confirmation of
        ``node`` ends.

        Args:
            node: the node.
            target: the target.
            replica: whether the last topology shows ``node`` as a replica of the slot's shard.
            now: the time in seconds.
        """
        if replica:
            return True
        _, taken = self._taken.setdefault(node, (now, set()))
        if target in taken:
            return True  # the first time it was demoted
        taken.add(target)
        return False

    def expire(self, limit: float) -> None:
        """Forget what was ended before ``limit``."""
        for node in [node for node, (at, _) in self._taken.items() if at < limit]:
            del self._taken[node]
