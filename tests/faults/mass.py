"""10,000 shard channels: how long they take to be live, and again after all connections broke."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.servers.binary import ServerBinary
from tests.faults.results import Result
from tests.support import eventually

__all__ = ["COUNT", "LIMIT", "mass", "measure"]

COUNT = 10_000
#: Seconds that each of the two may take.
LIMIT = 1.0


async def mass(binary: ServerBinary) -> Result:
    """Measure on a cluster of its own, and return the row."""
    async with EmbeddedCluster(binary=binary) as cluster:
        subscribed, again = await measure(cluster)
    late = [
        f"{what} took {seconds:.2f} s, at most {LIMIT} s are allowed"
        for what, seconds in (("subscribing", subscribed), ("resubscribing", again))
        if seconds > LIMIT
    ]
    return Result(
        title="10,000 shard channels",
        took=round(subscribed + again, 3),
        complaints=tuple(late),
        detail=(
            f" subscribed in one call in {subscribed * 1000:.0f} ms, "
            f"again {again * 1000:.0f} ms after all connections were killed"
        ),
    )


async def measure(cluster: EmbeddedCluster) -> tuple[float, float]:
    """Return the seconds for the first subscription and for that after a kill."""
    names = [f"mass:{i}" for i in range(COUNT)]
    pool = ClusterConnectionPool(cluster.startup_nodes)
    ends: list[float] = []
    async with ShardedPubSub(
        pool,
        ignore_subscribe_messages=True,
        retry_policy=DEFAULT_RETRY_POLICY,
        subscription_timeout=10.0,
        on_gap=lambda gap: ends.append(gap.until),
    ) as pubsub:
        began = time.perf_counter()
        await pubsub.subscribe(*names)
        subscribed = time.perf_counter() - began
        consumer = asyncio.create_task(_consume(pubsub))
        try:
            killed_at = time.time()
            await cluster.kill_clients("pubsub")
            await eventually(lambda: len(ends) >= COUNT, 20.0, 0.01)
        finally:
            consumer.cancel()
            await asyncio.gather(consumer, return_exceptions=True)
        return subscribed, max(ends) - killed_at


async def _consume(pubsub: ShardedPubSub[Any]) -> None:
    async for _ in pubsub:
        pass
