"""Lends a shared cluster to tests: repairs it after each test, and checks what the test left."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from actors import RedisCluster
from actors.redis.config.settings import ConnectionSettings
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SLOTS, SlotRange, slot_ranges
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster

__all__ = ["NODE_TIMEOUT", "client_of", "connect", "lent", "owner_of"]

#: Milliseconds of silence after which the nodes of a test's cluster suspect each other.
NODE_TIMEOUT = 1000


@asynccontextmanager
async def lent(cluster: EmbeddedCluster) -> AsyncIterator[EmbeddedCluster]:
    """Lend a cluster to one test, then resume all nodes and fail if the client left something."""
    asyncio.get_running_loop().set_debug(True)
    before = asyncio.all_tasks()
    yield cluster
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left
    # Collect now: a warning about something unclosed then fails this test, not a later one.
    gc.collect()
    for node in cluster.nodes:
        if node.running:
            node.resume()
    dead = [node for node in cluster.nodes if not node.running]
    await (cluster.start(*dead) if dead else cluster.settled())


async def connect(node: ClusterNode, **options) -> Connection:
    """Return a connection to ``node`` for the test itself."""
    return await Connection.open(ConnectionSettings(location=node.location, **options))


def owner_of(topology: Topology, slot: int) -> str:
    """Return the id of the primary that serves ``slot``."""
    primary = topology.primary_for(slot)
    assert primary is not None
    return primary.id


def client_of(cluster: EmbeddedCluster, **options: Any) -> RedisCluster[Any]:
    options.setdefault("decode_responses", True)
    return RedisCluster(startup_nodes=cluster.startup_nodes, **options)


def expand_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Yield every slot of ``ranges``, in their order."""
    for start, end in ranges:
        yield from range(start, end + 1)


def uncovered(view: Topology) -> tuple[SlotRange, ...]:
    """Return the slots that no shard serves."""
    served = set(expand_ranges(run for shard in view.shards for run in shard.slots))
    return slot_ranges(set(range(SLOTS)) - served)
