"""Commands that get no answer: a node that is stopped takes them, and nothing tells its clients.

The other nodes notice, and CLUSTER NODES says so. So while commands wait for long, the nodes are
asked; the commands at a node that has failed then end with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from actors.redis import exceptions
from actors.redis.pools.node_pools import NodePools
from actors.redis.topology.model import Health, Topology

__all__ = ["StuckCommandWatch"]

# Seconds between two looks at what waits, and after which something has waited for long.
_PERIOD: Final = 0.5


class StuckCommandWatch:
    """Looks after the leases of ``pools``; runs only while there are any for commands."""

    def __init__(self, pools: NodePools, refresh_soon: Callable[[], None]) -> None:
        self._pools = pools
        self._refresh_soon = refresh_soon
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self) -> None:
        """Note that there is a lease."""
        if self._timer is None and not self._ended:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._walk)

    def end(self) -> None:
        """Stop for good."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def topology_changed(self, topology: Topology) -> None:
        """End what waits for nodes that have failed."""
        healthy = {n.address for n in topology.nodes.values() if n.health is not Health.FAILED}
        for node in topology.nodes.values():
            if node.health is Health.FAILED and node.address not in healthy:
                self._pools.fail(
                    node.address,
                    exceptions.ConnectionError(
                        "the node failed, as the other nodes of the cluster say"
                    ),
                )

    def _walk(self) -> None:
        self._timer = None
        waiting = self._pools.longest_wait()
        if waiting is None:
            return
        if waiting >= _PERIOD:
            self._refresh_soon()
        self.begin()
