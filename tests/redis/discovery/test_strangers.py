"""Another cluster's nodes are told apart from ours, on real clusters: at the start, and later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from actors.redis import exceptions
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.discovery import strangers
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.proxies.proxy import FaultProxy
from tests.clusters.fixtures import BINARIES
from tests.clusters.lending import NODE_TIMEOUT, client_of
from tests.pubsub.helpers import QUICK
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Pair = tuple[EmbeddedCluster, EmbeddedCluster]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=BINARIES, ids=lambda binary: binary.flavour
)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Our cluster, and an older one, whose config epochs are higher."""
    options = {"binary": request.param, "node_timeout": NODE_TIMEOUT}
    async with EmbeddedCluster(3, 0, **options) as mine, EmbeddedCluster(2, 0, **options) as other:
        for _ in range(5):
            await asyncio.gather(*(n.execute("CLUSTER", "BUMPEPOCH") for n in other.nodes))
        await other.settled()
        yield mine, other


def ids(cluster: EmbeddedCluster) -> set[str]:
    return {node.id for node in cluster.nodes}


def addresses(cluster: EmbeddedCluster) -> list[tuple[str, int]]:
    return [node.address for node in cluster.nodes]


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [line for line in caplog.text.splitlines() if f"event='{name}'" in line]


# -- at the start ----------------------------------------------------------------------------------


async def test_the_cluster_of_most_startup_nodes_is_meant(pair, caplog):
    mine, other = pair
    seeds = [other.startup_nodes[0], *mine.startup_nodes[:2]]
    async with ClusterConnectionPool(seeds) as pool:
        for _ in range(4):
            assert (await pool.refresh()).nodes.keys() == ids(mine)
    told = events(caplog, "foreign_node_left_out")
    assert len(told) == 1
    assert f"address='{other.startup_nodes[0]}'" in told[0]


async def test_startup_nodes_of_two_clusters_are_an_error_that_names_them(pair):
    mine, other = pair
    seeds = [*mine.startup_nodes[:2], *other.startup_nodes]
    pool = ClusterConnectionPool(seeds)
    with pytest.raises(exceptions.RedisClusterError, match="belong to 2 clusters") as caught:
        await pool.__aenter__()
    assert all(str(seed) in str(caught.value) for seed in seeds)
    assert "Name the nodes of one cluster only" in str(caught.value)


async def test_a_startup_node_without_a_cluster_has_no_say(pair, lone_node):
    mine, _ = pair
    lonely = ("127.0.0.1", lone_node.port)
    for seeds in ([lonely, mine.startup_nodes[0]], [mine.startup_nodes[0], lonely]):
        async with ClusterConnectionPool(seeds) as pool:
            assert pool.topology.nodes.keys() == ids(mine)


async def test_a_slow_majority_is_waited_for(pair):
    mine, other = pair
    async with FaultProxy(*mine.nodes[0].address) as one, FaultProxy(*mine.nodes[1].address) as two:
        one.delay(0.05)
        two.delay(0.05)
        seeds = [other.startup_nodes[0], one.address, two.address]
        async with ClusterConnectionPool(seeds) as pool:
            assert pool.topology.nodes.keys() == ids(mine)


async def test_what_was_known_before_counts_more_than_the_startup_nodes(pair):
    mine, other = pair
    pool = ClusterConnectionPool(mine.startup_nodes[:1])
    async with pool:
        pass
    # The address was given away meanwhile, as in a cloud.
    pool._known.value = replace(pool.topology)
    pool.startup_nodes = tuple(other.startup_nodes)
    async with pool:
        assert pool.topology.nodes.keys() == ids(mine)


# -- later -----------------------------------------------------------------------------------------


async def join(node: ClusterNode, cluster: EmbeddedCluster, other: EmbeddedCluster) -> None:
    """Have an empty primary of ``cluster`` join ``other``, at its address."""
    await node.execute("CLUSTER", "RESET", "HARD")
    for one in cluster.nodes:
        if one is not node:
            await one.execute("CLUSTER", "FORGET", node.id)
    node.id = (await node.execute("CLUSTER", "MYID")).decode()
    cluster.nodes.remove(node)
    other.nodes.append(node)
    await other.nodes[0].execute("CLUSTER", "MEET", node.host, node.port)
    await other.agree("the node has joined", lambda view: node.id in view.nodes)


async def test_a_node_that_joined_another_cluster_is_left_out_and_told(pair, caplog):
    mine, other = pair
    node = await mine.add_node()
    before = ids(mine) - {node.id}
    async with client_of(mine) as client:
        pool = client.connection_pool
        assert node.id in pool.topology.nodes
        channels = [f"c{n}" for n in range(12)]
        async with client.sharded_pubsub(channels=channels, retry_policy=QUICK) as pubsub:
            await join(node, mine, other)
            try:
                await eventually(lambda: _knows(pool, before), 20)
                for _ in range(12):
                    assert (await pool.refresh()).nodes.keys() == before
                assert pubsub.shard_connections.keys() <= before
                assert [await client.spublish(name, "x") for name in channels] == [1] * 12
            finally:
                other.nodes.remove(node)
                await node.execute("CLUSTER", "RESET", "HARD")
                for one in other.nodes:
                    await one.execute("CLUSTER", "FORGET", node.id)
                node.kill()
                await other.settled()
                await mine.settled()


async def _knows(pool: ClusterConnectionPool, nodes: set[str]) -> bool:
    return (await pool.refresh()).nodes.keys() == nodes


async def test_a_known_address_that_answers_for_another_cluster_counts_as_failed(pair, caplog):
    mine, other = pair
    victim, stranger = mine.nodes[0], other.nodes[0]
    async with FaultProxy(*victim.address) as proxy:

        def remap(address: tuple[str, int]) -> tuple[str, int]:
            return proxy.address if address == victim.address else address

        seeds = mine.startup_nodes[1:]
        async with ClusterConnectionPool(seeds, address_remap=remap) as pool:
            assert not pool.topology.failing
            proxy.target = stranger.address
            proxy.cut()
            await eventually(lambda: _fails(pool, victim), 20)
            assert pool.topology.nodes.keys() == ids(mine)
            with pytest.raises(exceptions.ConnectionError, match="does not know the address"):
                pool.address_of(victim.id)
            assert len(events(caplog, "foreign_node_left_out")) == 1
            # Nobody goes on asking it.
            await asyncio.gather(*(pool.refresh() for _ in range(3)))
            assert victim.id in (await pool.refresh()).failing
            # It is ours again: asked after a pause, at once here.
            proxy.target = victim.address
            proxy.cut()
            assert pool._session is not None
            pool._session.observer._strangers._ask_at = {proxy.address: 0.0}
            await eventually(lambda: _is_well(pool, victim), 20)


async def _fails(pool: ClusterConnectionPool, node: ClusterNode) -> bool:
    return node.id in (await pool.refresh()).failing


async def _is_well(pool: ClusterConnectionPool, node: ClusterNode) -> bool:
    known = (await pool.refresh()).nodes[node.id]
    return known.addressable and not known.failing


async def test_a_cluster_that_was_made_anew_at_the_same_addresses_is_followed_at_once(pair):
    new, old = pair
    async with FaultProxy(*old.nodes[0].address) as one, FaultProxy(*old.nodes[1].address) as two:
        proxies = dict(zip(addresses(old), (one, two), strict=True))
        proxies |= dict(zip(addresses(new), (one, two), strict=False))

        def remap(address: tuple[str, int]) -> tuple[str, int]:
            return proxies[address].address if address in proxies else address

        async with ClusterConnectionPool([one.address, two.address], address_remap=remap) as pool:
            assert pool.topology.nodes.keys() == ids(old)
            for proxy, node in zip((one, two), new.nodes, strict=False):
                proxy.target = node.address
                proxy.cut()
            await eventually(lambda: _replaced(pool, new), 20)


async def test_the_startup_nodes_must_agree_and_the_known_cluster_must_be_gone(pair, monkeypatch):
    mine, other = pair
    monkeypatch.setattr(strangers, "_GONE_AFTER", 0.5)
    async with FaultProxy(*mine.nodes[0].address) as one, FaultProxy(*mine.nodes[1].address) as two:
        proxies = {mine.nodes[0].address: one, mine.nodes[1].address: two}

        def remap(address: tuple[str, int]) -> tuple[str, int]:
            found = proxies.get(address)
            foreign = any(address == node.address for node in other.nodes)
            return found.address if found else address if foreign else (address[0], 1)

        async with ClusterConnectionPool([one.address, two.address], address_remap=remap) as pool:
            # One of two still is ours: however long the other one says otherwise, it is left out.
            one.target = other.nodes[0].address
            one.cut()
            loop = asyncio.get_running_loop()
            until = loop.time() + 1.5
            while loop.time() < until:
                assert (await pool.refresh()).nodes.keys() == ids(mine)
                await asyncio.sleep(0.05)
            two.target = other.nodes[1].address
            two.cut()
            await eventually(lambda: _replaced(pool, other), 20)
            assert pool.topology.nodes.keys() == ids(other)


async def _replaced(pool: ClusterConnectionPool, other: EmbeddedCluster) -> bool:
    try:
        return (await pool.refresh()).nodes.keys() == ids(other)
    except exceptions.RedisError:
        return False
