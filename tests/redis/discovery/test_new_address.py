"""A node that comes back under a new address, with a view of itself that is out of date."""

from __future__ import annotations

import asyncio

from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import NODE_TIMEOUT
from tests.support import eventually


async def test_its_address_is_what_the_others_say_and_does_not_change_to_and_fro(binary):
    async with EmbeddedCluster(3, 0, binary=binary, node_timeout=NODE_TIMEOUT) as cluster:
        node, *others = cluster.nodes
        async with ClusterConnectionPool([other.location for other in others]) as pool:
            node.kill()
            # The other nodes see where it connects from; its own configuration file has the rest.
            node.host = "127.0.0.2"
            node._args += ["--bind-source-addr", node.host]
            await node.start()
            await eventually(lambda: _moved(pool, node), 20)
            await eventually(lambda: _is_online(pool, node), 20)
            assert (await node.view()).nodes[node.id].host == "127.0.0.1"
            asked_before = await _endpoint_questions(cluster)
            for _ in range(30):
                assert (await pool.refresh()).nodes[node.id].address == node.address
                await asyncio.sleep(0.02)
            # Nor are the endpoints of all nodes asked for at each look.
            assert await _endpoint_questions(cluster) - asked_before <= 1
            async with pool.connection(node.id) as connection:
                assert await connection.execute("CLUSTER", "MYID") == node.id.encode()


async def _moved(pool: ClusterConnectionPool, node: ClusterNode) -> bool:
    return (await pool.refresh()).nodes[node.id].address == node.address


async def _is_online(pool: ClusterConnectionPool, node: ClusterNode) -> bool:
    return not (await pool.refresh()).failing


async def _endpoint_questions(cluster: EmbeddedCluster) -> int:
    found = 0
    for node in cluster.nodes:
        stats = (await node.info("commandstats")).get("cmdstat_cluster|shards", "calls=0,")
        found += int(stats.removeprefix("calls=").partition(",")[0])
    return found
