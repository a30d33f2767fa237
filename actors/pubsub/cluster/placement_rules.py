"""Where a shard channel should be live, pure: a topology and what we see ourselves in, nodes out.

The owner of the slot, as long as it is well. When its connection is lost, or it is silent or about
to hand over, or the cluster calls it failing, the other nodes of its shard, too: a replica accepts
subscriptions at any time, receives what the primary published, and is live already when it is
promoted (P6). While the slot is on its way to another shard, that shard's primary, too, last: it
takes a subscription before it owns the slot, and takes over when the slot's owner ends its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

import msgspec

from actors.pubsub.cluster.seconds import second_of
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Node, Topology

__all__ = ["NodeHealth", "shard_places", "standbys"]


class NodeHealth(msgspec.Struct, frozen=True):
    """What we see of the nodes ourselves.

    Attributes:
        down: their connection was lost, or could not be had.
        silent: connected, and not answering.
        handing_over: primaries about to hand over to a replica.
        unsettled: slots that were just taken from us: their owner is being found out.
        giving: primaries that slots leave.
        connected: primaries with a connection, asked for unsettled slots, too: whoever publishes
            learns of a move at the same moment as we, and is one hop from the new owner.
        moving: slots that are about to leave, each with the node that they go to.
        replicas_first: whether replicas are preferred to primaries.
        unsure: nodes that may not get all that their primary accepts, yet, if they are replicas:
            not preferred.
    """

    down: AbstractSet[NodeId] = frozenset()
    silent: AbstractSet[NodeId] = frozenset()
    handing_over: AbstractSet[NodeId] = frozenset()
    unsettled: AbstractSet[int] = frozenset()
    giving: AbstractSet[NodeId] = frozenset()
    connected: tuple[NodeId, ...] = ()
    moving: Mapping[int, NodeId] = msgspec.field(default_factory=dict)
    replicas_first: bool = False
    unsure: AbstractSet[NodeId] = frozenset()


def shard_places(topology: Topology, slot: int, health: NodeHealth) -> tuple[NodeId, ...] | None:
    """Return the nodes where the channels of ``slot`` should be live, best first.

    None: nobody is known to serve the slot.
    """
    shard = topology.shard_for(slot)
    if shard is None:
        return None
    # Another replica for each slot, so that the load of one shard is spread over its replicas.
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
    if slot in health.unsettled:
        places += [node for node in health.connected if node not in places]
    target = health.moving.get(slot)
    leaves = target is not None and target in topology.nodes
    for node in nodes:
        # A replica gives the slot up before all that its primary accepted has come to it.
        if node.is_primary and node.id not in health.down and (leaves or node.id in health.giving):
            places += [] if node.id in places else [node.id]
    if leaves and target is not None and target not in places:
        places.append(target)
    if leaves and target is not None:
        # There the moment is not missed in which it takes the slot over: see ``tries``.
        places.append(second_of(target))
    return tuple(places)


def _within_shard(nodes: list[Node], slot: int, health: NodeHealth) -> list[NodeId]:
    def sick(node: Node) -> bool:
        return node.failing or node.id in health.silent

    main = nodes[0]
    others = [node.id for node in nodes[1:] if not sick(node) and node.id not in health.down]
    if slot in health.unsettled:
        # It was taken from us: by a move, or because another node of the shard took over.
        if not others:
            return [node.id for node in nodes]
        sure = [node for node in others if node not in health.unsure]
        return [*sure, main.id, *(node for node in others if node not in sure)]
    if sick(main):
        return [*others, main.id] if others else [node.id for node in nodes]
    if main.id in health.down or main.id in health.handing_over:
        return [main.id, *others] if others else [node.id for node in nodes]
    return [main.id]


def standbys(
    topology: Topology, used: AbstractSet[NodeId], down: Collection[NodeId], most: int | None
) -> set[NodeId]:
    """Return nodes to be connected to beside those in use, so that channels go on there (P6).

    That is one more of each shard in use, and each primary without slots: it will get some.

    Args:
        topology: the cluster's.
        used: nodes that channels are, or should be, live on.
        down: nodes that cannot be had.
        most: so many connections in all, or none beside those in use; None: any number.
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
