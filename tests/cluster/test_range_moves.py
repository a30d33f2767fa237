"""ShardedPubSub while ranges of slots move in one step (P6): Valkey's CLUSTER MIGRATESLOTS.

A job is held by the server's own means (DEBUG SLOTMIGRATION), so that it is at a known point.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.slot_moves import can_migrate_atomically
from actors.testing.servers.binary import wheel_binary
from tests.cluster.moving import Elsewhere, running_thread, sharded, subscribers_at, waits_at
from tests.pubsub.helpers import Gaps, data_of, message, take
from tests.support import eventually

BINARY = wheel_binary()

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        BINARY is None or not can_migrate_atomically(BINARY),
        reason="the embedded server has no CLUSTER MIGRATESLOTS: that needs Valkey 9",
    ),
]

SLOT = key_slot(b"a")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    """Two shards that let tests hold a job."""
    async with EmbeddedCluster(
        2, 0, binary=BINARY, args={"enable-debug-command": "local"}
    ) as cluster:
        yield cluster


@asynccontextmanager
async def held_job(
    cluster: EmbeddedCluster, source: ClusterNode, target: ClusterNode
) -> AsyncIterator[asyncio.Task[None]]:
    """A job that takes the half of the slots of ``source`` with ``a``; it ends after the block.

    It waits for the moment in which the source is to hold its publishers.
    """
    slots = sorted(await cluster.slots_of(source))
    middle = len(slots) // 2
    half = slots[:middle] if SLOT in slots[:middle] else slots[middle:]
    await source.execute("DEBUG", "SLOTMIGRATION", "PREVENT-PAUSE", 1)
    job = asyncio.create_task(cluster.migrate_atomically(half, source, target))
    try:
        yield job
    finally:
        await source.execute("DEBUG", "SLOTMIGRATION", "PREVENT-PAUSE", 0)
        await job


class EndOfJob(Elsewhere):
    """The job is let go, and ends."""

    async def begin(self, source: Connection, target: Connection) -> None:
        await source.execute("DEBUG", "SLOTMIGRATION", "PREVENT-PAUSE", 0)
        while not await self._is_imminent(source):
            pass

    async def _is_imminent(self, source: Connection) -> bool:
        newest, *_ = await source.execute("CLUSTER", "GETSLOTMIGRATIONS")
        return newest[b"state"].startswith((b"failover", b"success"))


async def test_p6_what_is_published_while_we_are_busy_is_not_lost(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        async with held_job(running, source, target):
            await eventually(lambda: waits_at(target))
            other = EndOfJob(source, target, asyncio.get_running_loop())
            with running_thread(other):
                await asyncio.get_running_loop().run_in_executor(None, other.join)
        assert other.moved
        assert await data_of(p, len(other.accepted)) == other.accepted

        async def there_once() -> bool:
            return await subscribers_at(target) == 1

        await eventually(there_once)


async def test_p6_more_channels_than_are_all_tried_move_too(running, ends):
    source, target = ends
    names = [f"{number}{{a}}" for number in range(300)]
    async with sharded(running, *names, gaps=Gaps()) as p:
        async with held_job(running, source, target):
            await eventually(lambda: waits_at(target))
        for name in names:

            async def there(name: str = name) -> bool:
                return await subscribers_at(target, name) == 1

            await eventually(there)
            await target.execute("SPUBLISH", name, "1")
        assert await take(p, 300) == [message(name, "1") for name in names]


async def test_p6_a_channel_that_is_subscribed_to_in_a_move_moves_with_the_others(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps()) as p:
        async with held_job(running, source, target):
            await eventually(lambda: waits_at(target))
            await p.subscribe("late{a}")

        async def there() -> bool:
            return await subscribers_at(target, "late{a}") == 1

        await eventually(there)
        await target.execute("SPUBLISH", "late{a}", "1")
        assert await take(p, 1) == [message("late{a}", "1")]


async def test_what_is_left_while_tries_wait_is_not_subscribed_to_by_them(running, ends):
    source, target = ends
    async with sharded(running, "a", "b{a}", gaps=Gaps()) as p:
        async with held_job(running, source, target):
            await eventually(lambda: waits_at(target))
            await p.unsubscribe("a")

        async def moved() -> bool:
            return await subscribers_at(target, "b{a}") == 1 and not await waits_at(target)

        await eventually(moved)

        async def none_left() -> bool:
            return await subscribers_at(target) == await subscribers_at(source) == 0

        await eventually(none_left)
        await target.execute("SPUBLISH", "b{a}", "1")
        assert await take(p, 1) == [message("b{a}", "1")]
