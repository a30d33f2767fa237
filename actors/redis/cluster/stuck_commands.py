"""Ends the commands that wait at a node whose process is stopped.

A stopped process accepts commands, and its connections stay open. Only the other nodes of the
cluster notice, and CLUSTER NODES tells. So while a command waits for long, the topology is
refreshed; commands at a node that has failed then end with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from actors.redis import exceptions
from actors.redis.pools.node_pools import NodePools
from actors.redis.topology.model import Health, Topology

# Seconds between two looks at the leases; a lease that is older than this waits for long.
_PERIOD: Final = 0.5


class StuckCommandWatch:
    """Watches the leases of ``pools``; its timer runs only while there are leases for commands."""

    def __init__(self, pools: NodePools, refresh_soon: Callable[[], None]) -> None:
        self._pools = pools
        self._refresh_soon = refresh_soon
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self) -> None:
        """Start the timer: there is a lease."""
        if self._timer is None and not self._ended:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._walk)

    def end(self) -> None:
        """Stop the timer for good."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def topology_changed(self, topology: Topology) -> None:
        """End the commands at nodes that have failed."""
        healthy = {n.address for n in topology.nodes.values() if n.health is not Health.FAILED}
        for node in topology.nodes.values():
            if node.health is Health.FAILED and node.address not in healthy:
                self._pools.fail(
                    node.address,
                    exceptions.ConnectionError("the other nodes of the cluster call it failed"),
                )

    def _walk(self) -> None:
        self._timer = None
        waiting = self._pools.longest_wait()
        if waiting is None:
            return
        if waiting >= _PERIOD:
            self._refresh_soon()
        self.begin()
