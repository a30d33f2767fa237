"""The network to one primary is cut for 5 s under 2,000 messages a second, with recovery."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Collection
from typing import Any

from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.servers.binary import ServerBinary
from tests.faults.load import Load, Report
from tests.faults.recovered import Recovered, complaints
from tests.faults.results import Result
from tests.faults.stage import MANY_RECOVERING
from tests.support import eventually

__all__ = ["recovery_cut"]

_RATE = 2000.0
_CUT = 5.0
#: Seconds from the network's return until each channel has a message that was sent since.
_LIMIT = 0.5
_WARM = 1.5


async def recovery_cut(binary: ServerBinary) -> Result:
    """Measure on a cluster of its own, and return the row."""
    names = MANY_RECOVERING
    arrivals, gaps = Recovered(names), list[Any]()
    async with EmbeddedCluster(binary=binary) as cluster, ClusterProxies(cluster.nodes) as proxies:
        load = Load(cluster.startup_nodes, names, _RATE, histories=len(names), history_rate=_RATE)
        async with ShardedPubSub(
            ClusterConnectionPool(
                proxies.startup_nodes, address_remap=proxies.address_remap, decode_responses=True
            ),
            channel_handlers=dict.fromkeys(names, arrivals.take),
            recover=True,
            on_gap=gaps.append,
            retry_policy=DEFAULT_RETRY_POLICY,
        ) as pubsub:
            try:
                await load.start()
                await asyncio.sleep(_WARM)
                back_at, cut_off = await _cut(cluster, proxies, names)
                await eventually(lambda: not pubsub.stats().behind, 20.0, 0.02)
                await asyncio.sleep(_WARM)
                report = await load.stop()
            finally:
                await load.close()
            missing = await arrivals.all_of(report)
    seconds = _back_after(arrivals, report, names, cut_off, back_at)
    checks = {
        f"{missing} messages lost": missing > 0,
        f"{arrivals.wrong()} messages twice or out of order": arrivals.wrong() > 0,
        f"{len(gaps)} gaps where nothing was lost": bool(gaps),
        f"live again {seconds:.2f} s after the network, at most {_LIMIT} s are allowed": (
            seconds > _LIMIT
        ),
    }
    return Result(
        title="network to a primary cut 5 s",
        complaints=complaints(checks),
        detail=(
            f" with recovery, at {_RATE:,g} messages a second: {missing} of "
            f"{len(report.accepted):,} lost, {arrivals.wrong()} twice or out of order, live again "
            f"{seconds:.2f} s after the network"
        ),
    )


async def _cut(
    cluster: EmbeddedCluster, proxies: ClusterProxies, names: Collection[str]
) -> tuple[float, set[str]]:
    """Cut one primary off; return when its network was back, and which channels it serves."""
    primary = (await cluster.primaries())[0]
    topology = await cluster.topology()
    owners = {name: topology.primary_for(key_slot(name.encode())) for name in names}
    proxies[primary].swallow()
    await asyncio.sleep(_CUT)
    proxies[primary].heal()
    proxies[primary].cut()  # what was swallowed is gone: TCP would have given up, too
    return time.time(), {
        name for name, owner in owners.items() if owner is not None and owner.id == primary.id
    }


def _back_after(
    arrivals: Recovered, report: Report, names: list[str], cut_off: Collection[str], since: float
) -> float:
    """Return the seconds from ``since`` until each channel had a message accepted after that."""
    slowest = 0.0
    for name in cut_off:
        own = [one for one in report.accepted if names[one.channel] == name]
        first = own[bisect_right([one.sent for one in own], since)]
        arrived = arrivals.times[name][arrivals.numbers[name].index(first.number)]
        slowest = max(slowest, arrived - since)
    return slowest
