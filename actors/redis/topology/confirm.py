"""Whether one node's view agrees with what is known, and what it adds (pure).

All nodes should agree on who is in the cluster, in which role, and who serves which slot. Only the
two ends of a slot move know of the move, so a view confirms the rest, and adds its own moves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from actors.redis.topology.merge_views import imports_of, in_touch, moves_of
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
    # What the target says that imports a slot holds until the target says otherwise: a source that
    # was not told to migrate (yet) would contradict the target at each look.
    migrating = {
        slot: target
        for slot, target in known.migrating.items()
        if target != node
        and (
            (owner := known.primary_for(slot)) is None
            or owner.id != node
            or slot in known.importing
        )
    }
    migrating |= moves_of(view)
    importing = {
        slot: source
        for slot, source in known.importing.items()
        if known.migrating.get(slot) != node
    }
    importing |= imports_of(view)
    if migrating == known.migrating and importing == known.importing:
        return known
    return replace(known, migrating=migrating, importing=importing)


def carry_over(known: Topology, merged: Topology, asked: Collection[str | None]) -> Topology:
    """Return ``merged`` with the slot moves of ``known`` whose ends were not ``asked``.

    Those are the source, and the target where that has told of the move.
    """
    kept = {
        slot: target
        for slot, target in known.migrating.items()
        if (owner := merged.primary_for(slot)) is not None
        and (owner.id not in asked or (slot in known.importing and target not in asked))
        and (before := known.primary_for(slot)) is not None
        and before.id == owner.id
        and target in merged.nodes
    }
    if not kept.keys() - merged.migrating.keys():
        return merged
    told = {slot: known.importing[slot] for slot in kept if slot in known.importing}
    return replace(
        merged,
        migrating={**kept, **merged.migrating},
        importing={**told, **merged.importing},
    )


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
