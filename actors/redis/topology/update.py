"""Small changes to a topology: a slot's new owner, other addresses, lost nodes, a tidy form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import replace

from actors.redis.topology.model import (
    Address,
    Health,
    Node,
    Role,
    Shard,
    Topology,
    build_topology,
)
from actors.redis.topology.slots import SlotRange, join_ranges, without_slot


def move_slot(topology: Topology, slot: int, owner_id: str) -> Topology:
    """Return ``topology`` with ``slot`` at the node ``owner_id``; unchanged if it is there already.

    A replica that owns a slot was promoted: it becomes the primary of its shard, gets all slots of
    the former primary, and that becomes its replica. Raises KeyError for an unknown node.
    """
    owner = topology.nodes[owner_id]
    current = topology.primary_for(slot)
    if current is not None and current.id == owner_id:
        return topology
    nodes = dict(topology.nodes)
    owned = {
        shard.primary.id: shard.slots for shard in topology.shards if shard.primary is not None
    }
    if not owner.is_primary:
        _promote(owner, nodes, owned)
    for node_id, runs in owned.items():
        if any(run.start <= slot <= run.end for run in runs):
            owned[node_id] = without_slot(runs, slot)
    owned[owner_id] = join_ranges([*owned.get(owner_id, ()), (slot, slot)])
    return build_topology(
        nodes.values(),
        owned,
        migrating={k: v for k, v in topology.migrating.items() if k != slot},
        importing={k: v for k, v in topology.importing.items() if k != slot},
    )


def with_owners(topology: Topology, owners: Mapping[int, str]) -> Topology:
    """Return ``topology`` with each of some slots at a primary of it, by id; the others stay."""
    owned = {shard.primary.id: list(shard.slots) for shard in topology.shards if shard.primary}
    for slot, owner in owners.items():
        current = topology.primary_for(slot)
        if current is not None:
            owned[current.id] = list(without_slot(owned[current.id], slot))
        owned[owner].append(SlotRange(slot, slot))
    return build_topology(
        topology.nodes.values(),
        owned,
        myself=topology.myself,
        migrating=topology.migrating,
        importing=topology.importing,
    )


def _promote(owner: Node, nodes: dict[str, Node], owned: dict[str, tuple[SlotRange, ...]]) -> None:
    former = owner.primary_id
    nodes[owner.id] = replace(owner, role=Role.PRIMARY, primary_id=None)
    if former is None or former not in nodes:
        return
    for node in list(nodes.values()):
        if node.id == former or (node.primary_id == former and node.id != owner.id):
            nodes[node.id] = replace(node, role=Role.REPLICA, primary_id=owner.id)
    owned[owner.id] = owned.pop(former, ())


def at_addresses(topology: Topology, address_of: Callable[[Node], Address]) -> Topology:
    """Return ``topology`` with the addresses that ``address_of`` returns."""

    def moved(node: Node) -> Node:
        host, port = address_of(node)
        return replace(node, host=host, port=port)

    return _with_nodes(topology, moved)


def disown(topology: Topology, addresses: Container[Address]) -> Topology:
    """Return ``topology`` with the nodes at ``addresses`` failed, and without an address.

    For addresses at which somebody else answers by now.
    """

    def lost(node: Node) -> Node:
        if not node.addressable or node.address not in addresses:
            return node
        return replace(node, health=Health.FAILED, flags=node.flags | {"noaddr"})

    return _with_nodes(topology, lost)


def without_members(topology: Topology, ids: Collection[str]) -> Topology:
    """Return ``topology`` without those nodes of ``ids`` that serve no slots."""
    serving = {primary.id for primary in topology.primaries}
    leaving = topology.nodes.keys() & set(ids) - serving
    if not leaving:
        return topology
    return build_topology(
        (node for node in topology.nodes.values() if node.id not in leaving),
        {shard.primary.id: shard.slots for shard in topology.shards if shard.primary is not None},
        myself=topology.myself,
        migrating=topology.migrating,
        importing=topology.importing,
    )


def tidy(topology: Topology) -> Topology:
    """Return ``topology`` without the id of the asked node and without replication offsets.

    Two tidy topologies are equal exactly if the cluster did not change between them.
    """

    def plain(node: Node) -> Node:
        return replace(node, flags=node.flags - {"myself"}, replication_offset=None)

    return replace(_with_nodes(topology, plain), myself=None)


def _with_nodes(topology: Topology, change: Callable[[Node], Node]) -> Topology:
    nodes = {node.id: change(node) for node in topology.nodes.values()}
    if nodes == topology.nodes:
        return topology
    shards = (
        Shard(s.slots, s.primary and nodes[s.primary.id], tuple(nodes[n.id] for n in s.replicas))
        for s in topology.shards
    )
    return replace(topology, shards=tuple(shards), nodes=nodes)
