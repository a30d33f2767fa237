"""Subscriptions on a cluster never wait for a place in the pool: there are as many as needed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import RedisCluster, exceptions
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import NODE_TIMEOUT, client_of
from tests.faults.load import even_channels
from tests.pubsub.helpers import QUICK, Heard, within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One in each shard.
NAMES = even_channels(6)[::2]


async def kill_subscribers(*nodes: ClusterNode) -> None:
    await asyncio.gather(*(node.execute("CLIENT", "KILL", "TYPE", "pubsub") for node in nodes))


def held(client: RedisCluster[Any]) -> int:
    session = client.connection_pool._session
    assert session is not None
    return len(session.connections._held)


@pytest.mark.parametrize("per_node", [False, True])
async def test_shards_come_back_whatever_the_limit(cluster, per_node, caplog):
    first, second = ({name: Heard() for name in NAMES} for _ in range(2))
    async with (
        client_of(cluster) as outside,
        client_of(cluster, max_connections=1, max_connections_per_node=per_node) as client,
        client.sharded_pubsub(channel_handlers=first, retry_policy=QUICK) as one,
        client.sharded_pubsub(channel_handlers=second, retry_policy=QUICK) as two,
    ):
        for turn in range(1, 4):
            await kill_subscribers(*cluster.nodes)
            for pubsub in (one, two):
                await eventually(lambda n=turn, p=pubsub: p.stats().gaps >= 3 * n)
                await eventually(lambda p=pubsub: p.unconfirmed() == [])
            for name in NAMES:
                await outside.spublish(name, str(turn))
                await first[name].wait(turn)
                await second[name].wait(turn)
    warnings = [r for r in caplog.records if "max_connections_exceeded" in r.getMessage()]
    assert len(warnings) == 1
    assert client.connection_pool.in_use == 0


async def test_p6_a_replica_takes_over_where_the_limit_is_reached(cluster):
    heard = {name: Heard() for name in NAMES}
    async with (
        client_of(cluster) as outside,
        client_of(cluster, max_connections=3) as client,
        client.sharded_pubsub(channel_handlers=heard, retry_policy=QUICK) as p,
    ):
        owner = outside.connection_pool.topology.primary_for(key_slot(NAMES[0].encode()))
        assert owner is not None
        node = cluster.node(owner.id)
        cluster.kill(node)
        with within(10):
            await eventually(lambda: p.unconfirmed() == [])
        await cluster.start(node)
        await eventually(lambda: _arrives(outside, NAMES[0], heard), 15)


async def _arrives(client: RedisCluster[Any], name: str, heard: dict[str, Heard]) -> bool:
    before = len(heard[name])
    try:
        await client.spublish(name, "here")
    except exceptions.RedisError:
        return False
    await asyncio.sleep(0.01)
    return len(heard[name]) > before


@pytest.mark.asyncio(loop_scope="function")
async def test_p5_channels_that_move_beyond_the_limit_are_live(caplog):
    """Slots go to one node more than there may be connections."""
    names = [f"ch:{n}" for n in range(40)]
    heard = {name: Heard() for name in names}
    async with (
        EmbeddedCluster(3, 0, node_timeout=NODE_TIMEOUT) as cluster,
        client_of(cluster, max_connections=3) as client,
        client.sharded_pubsub(channel_handlers=heard, retry_policy=QUICK) as p,
    ):
        node, first = await cluster.add_node(), cluster.nodes[0]
        await cluster.move_slots(
            [key_slot(n.encode()) for n in names if key_slot(n.encode()) <= 4000], first, node
        )
        moved = [name for name in names if key_slot(name.encode()) <= 4000]
        await eventually(lambda: p.unconfirmed() == [], 15)
        for name in moved:
            await eventually(lambda n=name: _arrives(client, n, heard), 15)
        assert held(client) == 4
        assert "max_connections_exceeded" in caplog.text
