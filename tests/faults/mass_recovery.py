"""10,000 recovering shard channels whose connections are killed under load."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import msgspec

from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.pubsub.handlers.handler import Handler
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.servers.binary import ServerBinary
from tests.faults.load import Load
from tests.faults.recovered import Recovered, complaints
from tests.faults.results import Result
from tests.support import eventually

__all__ = ["mass_recovery"]

_COUNT = 10_000
_RATE = 2000.0
#: Seconds from the kill until nothing is behind, at most.
_LIMIT = 3.0
#: MiB by which memory may have grown: the messages themselves are not kept.
_GROWTH = 10.0
# Seconds before the kill, and after everything is recovered.
_WARM = 3.0


class _Found(msgspec.Struct, frozen=True):
    """What one run showed.

    Attributes:
        seconds: from the kill until every channel was live and nothing was behind.
        recovered: messages that were read out of histories.
        growth: MiB by which the process's memory is larger than before the kill.
        missing: messages that were accepted and did not arrive.
        wrong: messages that arrived twice or out of order.
        gaps: how many gaps were reported.
    """

    seconds: float
    recovered: int
    growth: float
    missing: int
    wrong: int
    gaps: int


async def mass_recovery(binary: ServerBinary) -> Result:
    """Measure on a cluster of its own, and return the row."""
    async with EmbeddedCluster(binary=binary) as cluster:
        found = await _measure(cluster)
    checks = {
        f"everything recovered after {found.seconds:.2f} s, at most {_LIMIT} s are allowed": (
            found.seconds > _LIMIT
        ),
        f"{found.missing} messages lost": found.missing > 0,
        f"{found.wrong} messages twice or out of order": found.wrong > 0,
        f"{found.gaps} gaps where nothing was lost": found.gaps > 0,
        f"{found.growth:.1f} MiB more memory afterwards": found.growth > _GROWTH,
    }
    return Result(
        title=f"{_COUNT:,} recovering channels",
        took=round(found.seconds, 3),
        complaints=complaints(checks),
        detail=(
            f" {found.recovered} messages recovered in {found.seconds:.2f} s after all "
            f"connections were killed, at {_RATE:,g} messages a second; {found.missing} lost, "
            f"{found.wrong} twice or out of order, memory {found.growth:+.1f} MiB"
        ),
    )


async def _measure(cluster: EmbeddedCluster) -> _Found:
    names = [f"{{mass:{i}}}" for i in range(_COUNT)]
    arrivals = Recovered(names)
    gaps: list[Any] = []
    load = Load(cluster.startup_nodes, names, _RATE, histories=_COUNT, history_rate=_RATE)
    async with ShardedPubSub(
        ClusterConnectionPool(cluster.startup_nodes, decode_responses=True),
        recover=True,
        on_gap=gaps.append,
        ignore_subscribe_messages=True,
        retry_policy=DEFAULT_RETRY_POLICY,
        subscription_timeout=30.0,
    ) as pubsub:
        handler = Handler(arrivals.take, shared=True, mailbox=100_000)
        await pubsub.subscribe(**dict.fromkeys(names, handler))
        await eventually(lambda: not pubsub.stats().behind, 30.0, 0.01)
        try:
            await load.start()
            await asyncio.sleep(_WARM)
            before, recovered = _memory(), pubsub.stats().recovered
            seconds = await _kill(cluster, pubsub)
            recovered = pubsub.stats().recovered - recovered
            await asyncio.sleep(_WARM)
            growth = _memory() - before
            report = await load.stop()
        finally:
            await load.close()
        missing = await arrivals.all_of(report)
        return _Found(seconds, recovered, growth, missing, arrivals.wrong(), len(gaps))


async def _kill(cluster: EmbeddedCluster, pubsub: ShardedPubSub[Any]) -> float:
    """Kill all connections; return the seconds until all channels are live and caught up."""
    killed_at = time.perf_counter()
    await cluster.kill_clients("pubsub")
    await eventually(lambda: bool(pubsub.unconfirmed()), 5.0, 0.001)
    await eventually(lambda: not pubsub.unconfirmed() and not pubsub.stats().behind, 60.0, 0.05)
    return time.perf_counter() - killed_at


def _memory() -> float:
    """Return the process's resident memory in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20
