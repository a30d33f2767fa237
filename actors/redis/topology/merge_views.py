"""One topology out of what several nodes say.

Nodes disagree while a cluster changes, and some talk nonsense: one that was just restarted has the
map of yesterday, one that is cut off believes that everybody else is gone. The rules:

- A view in which the asked node is out of touch with the majority of primaries does not count, as
  long as there is one that does.
- A node that most of the others do not know is none of the cluster, whatever it says itself: the
  others have forgotten it (CLUSTER FORGET), or have not met it yet.
- About its own role a node is right, about its address the others are: they talk to it, and a node
  that came back elsewhere may go on to name its old address. About a slot the claim with the higher
  config epoch is right: that is how servers settle it among themselves. A claim for a node that
  denies it counts last.
- One view that calls a node failing is enough: acting early on a false alarm costs little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from actors.redis.topology.model import Address, Health, Node, Topology, build_topology
from actors.redis.topology.slots import SLOTS

_GRAVITY = (Health.ONLINE, Health.LOADING, Health.SUSPECTED, Health.FAILED)


def in_touch(view: Topology) -> bool:
    """Whether the node that gave ``view`` sees the majority of the primaries that serve slots."""
    primaries = view.primaries
    seen = sum(1 for p in primaries if p.id == view.myself or (p.link_up and not p.failing))
    return 2 * seen > len(primaries)


def choose(views: Sequence[Topology]) -> Topology:
    """Return the one view to trust most; ValueError without any.

    In touch before out of touch, then more slots served, then the higher epoch, then more nodes.
    """
    if not views:
        raise ValueError("no views of the topology to choose from")
    return max(views, key=_trust)


def _trust(view: Topology) -> tuple[bool, int, int, int]:
    served = sum(run.end - run.start + 1 for shard in view.shards for run in shard.slots)
    return (in_touch(view), served, view.epoch, len(view.nodes))


def moves_of(view: Topology) -> dict[int, str]:
    """Return where slots are moving to, by slot: those that leave the asked node or come to it.

    Replicas of Valkey repeat what their primary says, later, and take no part in the move.
    """
    node = view.nodes.get(view.myself or "")
    if node is None or not node.is_primary:
        return {}
    return {**dict.fromkeys(view.importing, node.id), **view.migrating}


def imports_of(view: Topology) -> dict[int, str]:
    """Return where slots come from, by slot: those that come to the asked node."""
    node = view.nodes.get(view.myself or "")
    return dict(view.importing) if node is not None and node.is_primary else {}


def merge(views: Sequence[Topology]) -> Topology:
    """Combine what several nodes said into one topology; ValueError without any view."""
    sane = [view for view in views if in_touch(view)] or [choose(views)]
    unknown = forgotten(sane)
    members = [view for view in sane if view.myself not in unknown]
    sane, unknown = (members, unknown) if members else ([choose(sane)], frozenset())
    if len(sane) == 1:
        return replace(sane[0], migrating=moves_of(sane[0]), importing=imports_of(sane[0]))
    own = {view.myself: view for view in sane if view.myself is not None}
    ids = {node_id: None for view in sane for node_id in view.nodes if node_id not in unknown}
    nodes = {node_id: _merge_node(node_id, sane) for node_id in ids}
    owned: dict[str, list[tuple[int, int]]] = {}
    for start, after in pairwise(_edges(sane)):
        owner = _owner(start, sane, own, nodes)
        if owner is not None:
            owned.setdefault(owner, []).append((start, after - 1))
    return build_topology(
        nodes.values(),
        owned,
        migrating={slot: to for view in sane for slot, to in moves_of(view).items()},
        importing={slot: source for view in sane for slot, source in imports_of(view).items()},
    )


def forgotten(views: Sequence[Topology]) -> frozenset[str]:
    """Return the ids of the nodes that less than half of the other asked nodes know.

    Only views that say whose they are count: CLUSTER SLOTS leaves nodes out.
    """
    found = set()
    for node_id in {node_id for view in views for node_id in view.nodes}:
        others = [view for view in views if view.myself not in (None, node_id)]
        if 2 * sum(node_id in view.nodes for view in others) < len(others):
            found.add(node_id)
    return frozenset(found)


def _merge_node(node_id: str, views: Sequence[Topology]) -> Node:
    seen = [(view.nodes[node_id], view) for view in views if node_id in view.nodes]
    votes = Counter((node.role, node.primary_id) for node, _ in seen)

    def weight(item: tuple[Node, Topology]) -> tuple[bool, int, int]:
        node, view = item
        return (view.myself == node_id, node.config_epoch, votes[node.role, node.primary_id])

    best, _ = max(seen, key=weight)
    offsets = [n.replication_offset for n, _ in seen if n.replication_offset is not None]
    host, port = _address(node_id, best, seen)
    return replace(
        best,
        host=host,
        port=port,
        health=max((node.health for node, _ in seen), key=_GRAVITY.index),
        flags=best.flags - {"myself"},
        replication_offset=max(offsets, default=None),
        link_up=any(node.link_up for node, _ in seen),
    )


def _address(node_id: str, best: Node, seen: Sequence[tuple[Node, Topology]]) -> Address:
    """Return the address that most other nodes name; the one of ``best`` where none names any."""
    named = Counter(
        node.address for node, view in seen if view.myself != node_id and node.addressable
    )
    if not named or not best.addressable:
        return best.address
    return max(named, key=lambda address: (named[address], address == best.address, address))


def _edges(views: Sequence[Topology]) -> list[int]:
    """Where a run of slots starts or has ended in any view: in between, owners stay the same."""
    edges = {0, SLOTS}
    for view in views:
        for shard in view.shards:
            for start, end in shard.slots:
                edges |= {start, end + 1}
    return sorted(edges)


def _owner(
    slot: int, views: Sequence[Topology], own: Mapping[str, Topology], nodes: Mapping[str, Node]
) -> str | None:
    claims: Counter[str] = Counter()
    epochs: dict[str, int] = {}
    for view in views:
        primary = view.primary_for(slot)
        known = None if primary is None else nodes.get(primary.id)
        if primary is not None and known is not None and known.is_primary:
            claims[primary.id] += 1
            epochs[primary.id] = max(epochs.get(primary.id, 0), primary.config_epoch)

    def weight(node_id: str) -> tuple[bool, int, int]:
        asserted = own[node_id].primary_for(slot) if node_id in own else nodes[node_id]
        denied = asserted is None or asserted.id != node_id
        return (not denied, epochs[node_id], claims[node_id])

    return max(claims, key=weight, default=None)
