"""Where a shard channel should be live: a topology and the health of nodes in, nodes out (pure).

A channel belongs on the owner of its slot. When the connection to the owner is lost, or the owner
is silent, or the cluster calls the owner failing, the channel belongs on the other nodes of the
shard, too: a replica accepts subscriptions at any time, delivers what its primary publishes, and is
already subscribed when it is promoted (P6). While a slot moves to another shard, the channel also
belongs on that shard's primary, which accepts subscriptions after ASKING before it owns the slot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

import msgspec

from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Node, Topology


class NodeHealth(msgspec.Struct, frozen=True):
    """What a manager has seen of the nodes itself, beside the topology.

    Attributes:
        down: nodes whose connection was lost or could not be made.
        silent: connected nodes that do not answer PING, or are out of touch with the others.
        unsettled: slots that a node has just taken from us and whose owner is not known yet.
        moving: the node that a slot moves to, by slot, for the slots that are moving.
        replicas_first: whether replicas are preferred to primaries.
        unsure: nodes that may not receive everything from their primary yet, if they are replicas;
            they are not preferred.
    """

    down: AbstractSet[NodeId] = frozenset()
    silent: AbstractSet[NodeId] = frozenset()
    unsettled: AbstractSet[int] = frozenset()
    moving: Mapping[int, NodeId] = msgspec.field(default_factory=dict)
    replicas_first: bool = False
    unsure: AbstractSet[NodeId] = frozenset()


def shard_places(topology: Topology, slot: int, health: NodeHealth) -> tuple[NodeId, ...] | None:
    """Return the nodes where the channels of ``slot`` should be live, the preferred one first.

    None: the topology shows no node that serves the slot.
    """
    shard = topology.shard_for(slot)
    if shard is None:
        return None
    # Each slot begins with another replica, so that the replicas of a shard share its channels.
    turn = slot % len(shard.replicas) if shard.replicas else 0
    replicas = [*shard.replicas[turn:], *shard.replicas[:turn]]
    primaries = [] if shard.primary is None else [shard.primary]
    nodes = [*primaries, *replicas]
    if health.replicas_first:
        preferred = [node for node in replicas if node.id not in health.unsure]
        nodes = [*preferred, *(node for node in nodes if node not in preferred)]
    nodes = [node for node in nodes if node.addressable]
    if not nodes:
        return None
    places = _within_shard(nodes, slot, health)
    target = health.moving.get(slot)
    if target is not None and target in topology.nodes and target not in places:
        places.append(target)
    return tuple(places)


def _within_shard(nodes: list[Node], slot: int, health: NodeHealth) -> list[NodeId]:
    def sick(node: Node) -> bool:
        return node.failing or node.id in health.silent

    main = nodes[0]
    others = [node.id for node in nodes[1:] if not sick(node) and node.id not in health.down]
    if slot in health.unsettled:
        # Either the slot moved, or another node of the shard took over.
        if not others:
            return [node.id for node in nodes]
        sure = [node for node in others if node not in health.unsure]
        return [*sure, main.id, *(node for node in others if node not in sure)]
    if sick(main):
        return [*others, main.id] if others else [node.id for node in nodes]
    if main.id in health.down:
        return [main.id, *others] if others else [node.id for node in nodes]
    return [main.id]


def primaries_with_slots(topology: Topology) -> set[NodeId]:
    """Return the primaries that serve slots and can be connected to."""
    primaries = (shard.primary for shard in topology.shards if shard.slots)
    return {one.id for one in primaries if one is not None and one.addressable}


def standbys(
    topology: Topology, used: AbstractSet[NodeId], down: Collection[NodeId], most: int | None
) -> set[NodeId]:
    """Return the nodes to keep connected without subscriptions, so that channels can move there.

    One more node of each shard in use, and every primary without slots: slots will move there (P6).

    Args:
        topology: the cluster's.
        used: nodes that channels are, or should be, live on.
        down: nodes that cannot be connected to.
        most: the largest number of connections, those in use included; no standby is kept where
            all of them together would exceed it. None: any number.
    """
    found: set[NodeId] = set()
    for shard in topology.shards:
        ids = [node.id for node in shard.nodes if node.addressable and not node.failing]
        if not shard.slots and shard.primary is not None:
            found.update(ids[:1])
        elif len(used & set(ids)) == 1:
            others = (node for node in ids if node not in used and node not in down)
            found.update(islice(others, 1))
    return set() if most is not None and len(used) + len(found) > most else found
