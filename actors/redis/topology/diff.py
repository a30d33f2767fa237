"""What changed between two topologies: the facts that subscriptions act upon."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SLOTS, SlotRange

__all__ = ["SlotMove", "TopologyDiff", "diff"]


class SlotMove(msgspec.Struct, frozen=True):
    """A run of slots with another primary than before; None stands for nobody."""

    slots: SlotRange
    source: str | None
    target: str | None


class TopologyDiff(msgspec.Struct, frozen=True):
    """What differs between two topologies; sets hold node ids. False when nothing does."""

    moved: tuple[SlotMove, ...] = ()
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    promoted: frozenset[str] = frozenset()
    demoted: frozenset[str] = frozenset()
    reparented: frozenset[str] = frozenset()
    """Replicas, before and after, that follow another primary now."""
    readdressed: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    """Nodes that are failing now and were not before."""
    recovered: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self != _NO_CHANGE


_NO_CHANGE = TopologyDiff()


def diff(old: Topology, new: Topology) -> TopologyDiff:
    """Return what changed from ``old`` to ``new``."""
    both = [(old.nodes[i], new.nodes[i]) for i in old.nodes.keys() & new.nodes.keys()]
    return TopologyDiff(
        moved=_moves(old, new),
        added=frozenset(new.nodes.keys() - old.nodes.keys()),
        removed=frozenset(old.nodes.keys() - new.nodes.keys()),
        promoted=frozenset(b.id for a, b in both if b.is_primary and not a.is_primary),
        demoted=frozenset(b.id for a, b in both if a.is_primary and not b.is_primary),
        reparented=frozenset(
            b.id
            for a, b in both
            if not a.is_primary and not b.is_primary and a.primary_id != b.primary_id
        ),
        readdressed=frozenset(b.id for a, b in both if a.address != b.address),
        failing=new.failing - old.failing,
        recovered=frozenset(b.id for a, b in both if a.failing and not b.failing),
    )


def _moves(old: Topology, new: Topology) -> tuple[SlotMove, ...]:
    """Compare owners run by run: only where a run starts or ends can the owner change."""
    edges = {0, SLOTS}
    for shard in (*old.shards, *new.shards):
        for start, end in shard.slots:
            edges |= {start, end + 1}
    moves: list[SlotMove] = []
    ordered = sorted(edges)
    for start, after in pairwise(ordered):
        source, target = _owner(old, start), _owner(new, start)
        if source == target:
            continue
        last = moves[-1] if moves else None
        if last and (last.slots.end, last.source, last.target) == (start - 1, source, target):
            moves[-1] = SlotMove(SlotRange(last.slots.start, after - 1), source, target)
        else:
            moves.append(SlotMove(SlotRange(start, after - 1), source, target))
    return tuple(moves)


def _owner(topology: Topology, slot: int) -> str | None:
    primary = topology.primary_for(slot)
    return None if primary is None else primary.id
