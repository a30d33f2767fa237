"""A subscription that cannot be had says why in its error, not only that time is over (P11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors import RedisCluster, ShardedPubSub
from actors.redis.exceptions import ClusterDownError
from actors.redis.topology.slots import SLOTS, key_slot
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.servers.process import ServerProcess
from tests.servers import ask
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"orders")


@asynccontextmanager
async def lone_client(node: ServerProcess) -> AsyncIterator[RedisCluster[str]]:
    """Make one node a cluster that serves all slots but one, and return its client."""
    ask(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    ranges = (0, SLOT - 1, SLOT + 1, SLOTS - 1)
    ask(node, "CLUSTER", "ADDSLOTSRANGE", *map(str, ranges))
    async with RedisCluster("127.0.0.1", node.port, decode_responses=True) as client:
        yield client


@pytest.mark.asyncio(loop_scope="function")
async def test_p11_a_slot_that_no_node_serves_is_named(lone_node):
    async with (
        lone_client(lone_node) as client,
        client.sharded_pubsub(channels=["other"]) as pubsub,
    ):
        with pytest.raises(TimeoutError, match=f"no node .* serves its slot, {SLOT}"):
            await pubsub.subscribe("orders")
        assert await client.spublish("other", "x") == 1
        await client.execute_command("CLUSTER", "ADDSLOTS", SLOT)
        await eventually(lambda: _takes(pubsub), 20)


async def _takes(pubsub: ShardedPubSub[str]) -> bool:
    try:
        await pubsub.subscribe("orders")
    except TimeoutError:
        return False
    return True


@pytest.mark.asyncio(loop_scope="function")
async def test_p11_a_slot_that_lost_its_node_after_it_was_known_is_named(lone_node):
    async with lone_client(lone_node) as client:
        await client.execute_command("CLUSTER", "ADDSLOTS", SLOT)
        await client.connection_pool.refresh()
        async with client.sharded_pubsub(channels=["orders"]) as pubsub:
            await client.execute_command("CLUSTER", "DELSLOTS", SLOT)
            # What the node that had it says, or what the topology shows by then.
            with pytest.raises((ClusterDownError, TimeoutError), match=r"not served|no node"):
                await pubsub.subscribe("{orders}1")


async def test_p11_a_node_that_does_not_take_a_connection_is_named(cluster):
    async with ClusterProxies(cluster.nodes) as proxies:
        client = RedisCluster(
            startup_nodes=proxies.startup_nodes, address_remap=proxies.address_remap
        )
        async with client, client.sharded_pubsub() as pubsub:
            owner = proxies[await cluster.primary_for("orders")]
            owner.swallow()
            with pytest.raises(TimeoutError, match=f"no connection to 127.0.0.1:{owner.port} yet"):
                await pubsub.subscribe("orders")
            owner.heal()
