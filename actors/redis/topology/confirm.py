"""Whether one node's view agrees with what is known, and what it adds (pure).

All nodes should agree on who is in the cluster, in which role, and who serves which slot. Only the
two ends of a slot move know of the move, so a view confirms the rest, and adds its own moves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from actors.redis.topology.merge_views import in_touch, moves_of
from actors.redis.topology.model import Topology


def confirm(known: Topology, view: Topology) -> Topology | None:
    """Return ``known`` with the slot moves that ``view`` tells of; None where the two disagree.

    ``view`` is the answer of one node, at the addresses that clients use.
    """
    node = view.myself
    if not in_touch(view) or _owners(view) != _owners(known):
        return None
    if _shared(view, node) != _shared(known, node):
        return None
    migrating = {
        slot: target
        for slot, target in known.migrating.items()
        if target != node and ((owner := known.primary_for(slot)) is None or owner.id != node)
    }
    migrating |= moves_of(view)
    importing = {
        slot: source
        for slot, source in known.importing.items()
        if known.migrating.get(slot) != node
    }
    importing |= view.importing
    if migrating == known.migrating and importing == known.importing:
        return known
    return replace(known, migrating=migrating, importing=importing)


def carry_over(known: Topology, merged: Topology, asked: Collection[str | None]) -> Topology:
    """Return ``merged`` with the slot moves of ``known`` whose source was not ``asked``."""
    kept = {
        slot: target
        for slot, target in known.migrating.items()
        if (owner := merged.primary_for(slot)) is not None
        and owner.id not in asked
        and known.primary_for(slot) == owner
        and target in merged.nodes
    }
    if not kept.keys() - merged.migrating.keys():
        return merged
    return replace(merged, migrating={**kept, **merged.migrating})


def _shared(topology: Topology, asked: str | None) -> dict[str, tuple[object, ...]]:
    """Return what every node of a healthy cluster says of each node.

    A node that came back under a new address may go on to name its old one, so the address of
    ``asked`` is left out: it is for the other nodes to say.
    """
    return {
        node.id: (
            node.role,
            node.primary_id,
            node.health,
            node.addressable,
            node.address if node.id != asked else None,
        )
        for node in topology.nodes.values()
    }


def _owners(topology: Topology) -> list[tuple[object, ...]]:
    return [
        (shard.slots, None if shard.primary is None else shard.primary.id)
        for shard in topology.shards
        if shard.slots
    ]
