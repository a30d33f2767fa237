"""Places in a cluster's pool: for all nodes together and for each; kept, moved, and given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import RedisCluster, exceptions
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode
from tests.clusters.lending import client_of
from tests.faults.load import even_channels
from tests.pubsub.cluster.streams import serving
from tests.pubsub.helpers import QUICK, Heard, data_of, within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One in each shard.
NAMES = even_channels(6)[::2]


def free(client: RedisCluster[Any]) -> list[int]:
    """How many places nobody has, for each limit that was asked for."""
    session = client.connection_pool._session
    assert session is not None
    return [permits.free for permits in session.pools._permits.values()]


def waiting(client: RedisCluster[Any]) -> int:
    session = client.connection_pool._session
    assert session is not None
    return sum(permits.waiting for permits in session.pools._permits.values())


async def kill_subscribers(*nodes: ClusterNode) -> None:
    await asyncio.gather(*(node.execute("CLIENT", "KILL", "TYPE", "pubsub") for node in nodes))


async def test_a_pubsub_that_waits_does_not_get_the_place_of_one_that_reconnects(cluster):
    async with (
        client_of(cluster) as outside,
        client_of(cluster, max_connections=1) as client,
    ):
        second = client.pubsub(channels=["b"], start_timeout=None)
        async with client.pubsub(channels=["a"], ignore_subscribe_messages=True) as first:
            entering = asyncio.create_task(second.__aenter__())
            await eventually(lambda: waiting(client) == 1)
            for turn in range(1, 4):
                await kill_subscribers(serving(cluster, first))
                await eventually(lambda n=turn: first.stats().gaps == n)
                await outside.publish("a", str(turn))
                assert await data_of(first, 1) == [str(turn)]
                assert not entering.done()
        await entering
        await second.__aexit__(None, None, None)
        assert free(client) == [1]


async def test_where_the_other_nodes_are_full_it_comes_back_where_its_place_is(cluster):
    async with client_of(cluster, max_connections=1, max_connections_per_node=True) as client:
        pool = client.connection_pool
        async with client.pubsub(channels=["a"]) as p:
            node = serving(cluster, p)
            others = [other for other in cluster.nodes if other is not node]
            held = [await pool.open_dedicated(other.id) for other in others]
            await kill_subscribers(node)
            with within(2):
                await eventually(lambda: p.stats().gaps == 1)
            assert serving(cluster, p) is node
            for connection in held:
                pool.release(connection)
            # With room elsewhere, it goes to where nothing was lost, and its place comes along.
            await kill_subscribers(node)
            await eventually(lambda: p.stats().gaps == 2)
            assert serving(cluster, p) is not node
            pool.release(await pool.open_dedicated(node.id))
            assert sorted(free(client))[:2] == [0, 1]
        assert set(free(client)) == {1}


@pytest.mark.parametrize("per_node", [False, True])
async def test_shards_come_back_while_others_wait_for_their_places(cluster, per_node):
    heard = {name: Heard() for name in NAMES}
    async with (
        client_of(cluster) as outside,
        client_of(
            cluster, max_connections=1 if per_node else 3, max_connections_per_node=per_node
        ) as client,
    ):
        late = client.sharded_pubsub(channels=NAMES, subscription_timeout=60)
        async with client.sharded_pubsub(channel_handlers=heard, retry_policy=QUICK) as p:
            entering = asyncio.create_task(late.__aenter__())
            await eventually(lambda: waiting(client) >= 3)
            for turn in range(1, 4):
                await kill_subscribers(*cluster.nodes)
                # On primaries again or on replicas: what counts is that nobody else got the places.
                await eventually(lambda n=turn: p.stats().gaps >= 3 * n)
                await eventually(lambda: p.unconfirmed() == [])
                for name in NAMES:
                    await outside.spublish(name, str(turn))
                    await heard[name].wait(turn)
        await entering
        await late.__aexit__(None, None, None)
        limit = 1 if per_node else 3
        await eventually(lambda: set(free(client)) == {limit})


async def test_p6_a_replica_takes_over_in_the_place_of_its_primary(cluster):
    """Nothing is free, and somebody else waits: the place of the lost one is all there is."""
    heard = {name: Heard() for name in NAMES}
    async with (
        client_of(cluster) as outside,
        client_of(cluster, max_connections=3) as client,
    ):
        async with client.sharded_pubsub(channel_handlers=heard, retry_policy=QUICK) as p:
            stranger = asyncio.create_task(client.ping())
            await eventually(lambda: waiting(client) == 1)
            owner = outside.connection_pool.topology.primary_for(key_slot(NAMES[0].encode()))
            assert owner is not None
            node = cluster.node(owner.id)
            cluster.kill(node)
            with within(3):
                await eventually(lambda: p.unconfirmed() == [])
            await cluster.start(node)
            await eventually(lambda: _arrives(outside, NAMES[0], heard), 15)
            assert not stranger.done()
        assert await stranger
        await eventually(lambda: free(client) == [3])


async def _arrives(client: RedisCluster[Any], name: str, heard: dict[str, Heard]) -> bool:
    before = len(heard[name])
    try:
        await client.spublish(name, "here")
    except exceptions.RedisError:
        return False
    await asyncio.sleep(0.01)
    return len(heard[name]) > before
