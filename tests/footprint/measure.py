"""Measures one row on a cluster."""

from __future__ import annotations

import asyncio
import time

from actors.redis.exceptions import RedisError
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.footprint.consumer import Sample
from tests.footprint.figures import Figures, figures
from tests.footprint.jobs import Job, channel_names
from tests.footprint.processes import Consumer, ConsumerError, consuming, publishing
from tests.footprint.publisher import Plan
from tests.footprint.readings import Reading, consumers, cost, parse_clients, parse_commands
from tests.footprint.rows import CLIENTS, Row, refusal
from tests.support import eventually

__all__ = ["cluster_of", "measure", "read"]

# A primary sends its replicas a PING now and then, which they count as a command: not within a run.
_CONFIGURATION = ["--repl-ping-replica-period", "3600", "--repl-timeout", "7200"]
# Channels to publish to where the consumer has none.
_UNHEARD = 60
_PATIENCE = 30.0


def cluster_of(nodes: int) -> EmbeddedCluster:
    """Return a cluster of so many nodes, not started: half primaries, a replica for each."""
    return EmbeddedCluster(nodes // 2, 1, args=_CONFIGURATION)


async def measure(
    row: Row, cluster: EmbeddedCluster, *, seconds: float = 0.0, warm: float = 2.0
) -> Figures:
    """Run a consumer and a publisher, and return what the consumer cost.

    Args:
        row: what to measure.
        cluster: settled, and nobody else's.
        seconds: how long to measure; 0: as long as the row says.
        warm: seconds from the last subscription to the begin.
    """
    if reason := refusal(row):
        return Figures(row, missing=reason)
    try:
        return await _measure(row, cluster, seconds or row.seconds, warm)
    except ConsumerError as error:
        return Figures(row, missing=str(error))
    except (RedisError, TimeoutError, AssertionError) as error:
        return Figures(row, missing=f"{type(error).__name__}: {error}")


async def _measure(row: Row, cluster: EmbeddedCluster, seconds: float, warm: float) -> Figures:
    start = await read(cluster.nodes)
    async with publishing(await _plan(row, cluster)):
        if row.rate:
            # The publisher connects to all primaries before it publishes the first message.
            await eventually(lambda: _has_published(cluster.nodes, start), _PATIENCE)
        others = [{*reading.clients} for reading in await read(cluster.nodes)]
        host, port = cluster.nodes[0].address
        job = Job(CLIENTS[row.client], host, port, row.channels, row.replicas)
        async with consuming(job) as consumer:
            await _subscribed(row, cluster.nodes, consumer, others)
            await asyncio.sleep(warm)
            first, before, begun = await _look(consumer, cluster.nodes)
            await asyncio.sleep(seconds)
            last, after, ended = await _look(consumer, cluster.nodes)
    costs = [cost(*readings) for readings in zip(before, after, others, strict=True)]
    return figures(row, costs, first, last, ended - begun)


async def read(nodes: list[ClusterNode]) -> list[Reading]:
    """Read what each node counted."""
    return list(await asyncio.gather(*map(_read_one, nodes)))


async def _read_one(node: ClusterNode) -> Reading:
    stats, clients = await node.execute_all([("INFO", "commandstats"), ("CLIENT", "LIST")])
    return Reading(parse_commands(stats.decode()), parse_clients(clients.decode()))


async def _look(
    consumer: Consumer, nodes: list[ClusterNode]
) -> tuple[Sample, list[Reading], float]:
    sample = await consumer.sample()
    return sample, await read(nodes), time.monotonic()


async def _plan(row: Row, cluster: EmbeddedCluster) -> Plan:
    """Return what to publish: to each channel at its primary."""
    topology = await cluster.topology()
    addresses = [node.address for node in await cluster.primaries()]
    channels = row.channels or _UNHEARD
    owners = []
    for name in channel_names(channels):
        primary = topology.primary_for(key_slot(name.encode()))
        assert primary is not None
        owners.append(addresses.index(cluster.node(primary.id).address))
    return Plan(row.rate, channels, addresses, owners)


async def _has_published(nodes: list[ClusterNode], start: list[Reading]) -> bool:
    now = await read(nodes)
    return any(
        after.commands.get("spublish", 0) > before.commands.get("spublish", 0)
        for before, after in zip(start, now, strict=True)
    )


async def _subscribed(
    row: Row, nodes: list[ClusterNode], consumer: Consumer, others: list[set[int]]
) -> None:
    """Wait until the nodes have all subscriptions of the consumer, or its first connection."""

    async def there() -> bool:
        await consumer.sample()
        readings = await read(nodes)
        mine = [
            client
            for reading, own in zip(readings, others, strict=True)
            for client in consumers(reading.clients, own)
        ]
        return bool(mine) and sum(client.channels for client in mine) >= row.channels

    try:
        await eventually(there, _PATIENCE, 0.05)
    except AssertionError:
        raise ConsumerError(f"it did not subscribe within {_PATIENCE:g} s") from None
