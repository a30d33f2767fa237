"""The PUBSUB commands that several nodes of a cluster answer together.

Subscribers of plain channels and patterns may be connected to any node: CHANNELS is the union over
all nodes, NUMSUB and NUMPAT are sums (NUMPAT counts a pattern once for each node that has it).
SHARDCHANNELS and SHARDNUMSUB ask the primaries, and so do not count subscribers on replicas. A node
that other nodes call failing is not asked: it has no subscribers that could be reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from actors.redis.clients.replies import pairs
from actors.redis.topology.model import Node, Topology
from actors.redis.wire.resp import Argument, text_of


class Gathering(NamedTuple):
    """How one command is answered by several nodes."""

    #: Whether replicas are asked, too.
    replicas: bool
    #: Makes one reply of theirs.
    combine: Callable[[Iterable[Any]], Any]

    def nodes(self, topology: Topology) -> list[Node]:
        """Return the nodes to ask."""
        nodes = topology.nodes.values() if self.replicas else topology.primaries
        return [node for node in nodes if node.addressable and not node.failing]


def gathering(args: tuple[Argument, ...]) -> Gathering | None:
    """Return how several nodes answer the command ``args``; None: one node answers it."""
    upper = [text_of(word).upper() for word in args[:2]]
    return _GATHERINGS.get(upper[1]) if upper[:1] == ["PUBSUB"] and len(upper) == 2 else None


def _union(replies: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(name for reply in replies for name in reply))


def _sums(replies: Iterable[Any]) -> dict[Any, int]:
    counts: Counter[Any] = Counter()
    for reply in replies:
        counts.update(pairs(reply))
    return dict(counts)


_GATHERINGS: Final = {
    "CHANNELS": Gathering(True, _union),
    "NUMPAT": Gathering(True, sum),
    "NUMSUB": Gathering(True, _sums),
    "SHARDCHANNELS": Gathering(False, _union),
    "SHARDNUMSUB": Gathering(False, _sums),
}
