"""P7: a node is silent when it says nothing to a loop that listens, and not when nobody listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actors.cluster import RedisCluster
from actors.redis.topology import Role
from actors.testing.cluster import EmbeddedCluster
from tests.support import eventually


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Any, Any, Any, Any]]:
    """The manager of one shard channel, the link that it is live on, its node and the cluster."""
    async with (
        EmbeddedCluster(3, 0) as cluster,
        RedisCluster(startup_nodes=cluster.startup_nodes) as client,
        client.sharded_pubsub(channels=["a"]) as pubsub,
    ):
        parts = pubsub._session.parts
        assert parts is not None
        manager: Any = parts.manager._cell.actor
        [row] = parts.router.table.rows.values()
        link: Any = parts.router.links[str(row.source)]
        port = link.connection.location.port
        yield manager, link, next(node for node in cluster.nodes if node.port == port), cluster


async def test_p7_a_loop_that_was_held_up_blames_no_node_for_it():
    """A look is due, then something blocks: the pong is there, and was not read yet."""
    async with listening() as (manager, link, node, cluster):
        ping, pongs, doubt = link.ping, link.pongs, manager.router.doubt
        loop = asyncio.get_running_loop()
        doubted: list[str] = []
        held: list[float] = []

        def note_doubt(node: str, *rest: Any) -> None:
            doubted.append(node)
            doubt(node, *rest)

        def ping_and_block() -> None:
            ping()
            if not held:
                loop.call_soon(block)

        def block() -> None:
            held.append(loop.time())
            time.sleep(0.2)
            cluster.resume(node)
            time.sleep(0.5)
            manager._look()

        manager.router.doubt, link.ping = note_doubt, ping_and_block
        cluster.pause(node)
        await eventually(lambda: link.pongs > pongs)
        assert held
        await eventually(lambda: not manager._pinged)
        assert doubted == []


async def test_p7_a_node_that_says_nothing_is_done_without():
    """The clocks stand still for the loop's own delays, and go on for all else."""
    async with listening() as (manager, link, node, cluster):
        paused_at = time.monotonic()
        cluster.pause(node)
        await eventually(lambda: link.node in manager._silent)
        assert time.monotonic() - paused_at < 3.0
        cluster.resume(node)
        await eventually(lambda: not manager._silent)


async def test_p10_replicas_of_a_dead_primary_prove_their_life_all_the_time():
    """They have nothing to deliver, and the gap of the promotion begins with the last proof."""
    async with (
        EmbeddedCluster(3, 1) as cluster,
        RedisCluster(startup_nodes=cluster.startup_nodes) as client,
        client.sharded_pubsub(channels=["a"]) as pubsub,
    ):
        parts = pubsub._session.parts
        assert parts is not None
        [row] = parts.router.table.rows.values()
        primary = next(node for node in cluster.nodes if node.id == row.source)
        replica = (await cluster.replicas_of(primary))[0]
        cluster.kill(primary)
        await eventually(lambda: row.source == replica.id)
        link = parts.router.links[replica.id]
        seen: list[int] = []

        async def promoted() -> bool:
            seen.append(link.pongs)
            return await replica.role() is Role.PRIMARY

        await eventually(promoted, 8.0)
    # It takes more than a second; at one PING in half a second there would be three at most.
    assert seen[-1] - seen[0] > 6
