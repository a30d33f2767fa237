"""Which nodes are of one shard, or were a moment ago; pure but for the clock.

While one node hands over to another, there are moments in which the topology shows them as two
shards. What they deliver is the same all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from actors.redis.topology.model import Topology

__all__ = ["ShardPeers"]

#: Seconds for which nodes count as of one shard after they were seen to be.
_REMEMBERED = 10.0


class ShardPeers:
    """The nodes of each shard, by pairs.

    Args:
        now: returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._current: set[frozenset[str]] = set()
        self._former: dict[frozenset[str], float] = {}

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

    def are(self, node: str, other: str) -> bool:
        """Return whether the two deliver the same messages."""
        pair = frozenset((node, other))
        if node == other or pair in self._current:
            return True
        return self._now() - self._former.get(pair, -_REMEMBERED) < _REMEMBERED
