"""Which views are of one cluster (pure).

A cluster has no name: it is the nodes that know each other, by their ids. An address says nothing,
for it may be given to a node of another cluster; and a node that was reset and joined another
cluster may have kept its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actors.redis.topology.model import Topology


def same_cluster(one: Topology, other: Topology) -> bool:
    """Whether two topologies are of one cluster: at least half of the smaller one is in both.

    Nodes that come and go between two looks leave more than that, a node that joined another
    cluster leaves itself at most.
    """
    shared = len(one.nodes.keys() & other.nodes.keys())
    return 2 * shared >= min(len(one.nodes), len(other.nodes))


def by_cluster(views: Iterable[Topology]) -> list[list[Topology]]:
    """Group views by the cluster that they are of; the cluster with the most voters comes first.

    The asked nodes vote, those that see slots served: a node that was not joined to any cluster
    yet, and knows nobody, is no other cluster.
    """
    groups: list[list[Topology]] = []
    for view in views:
        alike = [group for group in groups if any(same_cluster(view, one) for one in group)]
        groups = [group for group in groups if group not in alike]
        groups.append([*(one for group in alike for one in group), view])
    return sorted(groups, key=votes, reverse=True)


def votes(views: Sequence[Topology]) -> int:
    """Return how many of ``views`` see slots served."""
    return sum(bool(view.primaries) for view in views)
