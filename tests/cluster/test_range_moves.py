"""ShardedPubSub while ranges of slots move in one step (P6): Valkey's CLUSTER MIGRATESLOTS.

A job is held by the server's own means (DEBUG SLOTMIGRATION), so that it is at a known point.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import pytest_asyncio

from actors.pubsub.facade import BasePubSub
from actors.redis.connection import Connection
from actors.redis.exceptions import MovedError
from actors.redis.slots import key_slot
from actors.testing.binary import wheel_binary
from actors.testing.cluster import ClusterNode, EmbeddedCluster
from actors.testing.cluster_moves import can_migrate_atomically
from tests.cluster.clusters import client_of, connect, lent
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


@pytest_asyncio.fixture(loop_scope="module")
async def ends(running: EmbeddedCluster) -> AsyncIterator[tuple[ClusterNode, ClusterNode]]:
    """The owner of the slot of ``a``, and the other primary."""
    async with lent(running) as cluster:
        source = await cluster.primary_for(SLOT)
        yield source, next(node for node in cluster.nodes if node is not source)


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


async def waits_at(node: ClusterNode) -> bool:
    """Whether a subscriber's tries wait at ``node``."""
    clients = (await node.execute("CLIENT", "LIST")).decode().splitlines()
    return any("flags=b" in line or "cmd=wait" in line for line in clients)


async def subscribers_at(node: ClusterNode, channel: str = "a") -> int:
    return (await node.execute("PUBSUB", "SHARDNUMSUB", channel))[1]


@asynccontextmanager
async def sharded(
    cluster: EmbeddedCluster, *channels: str, gaps: Gaps
) -> AsyncIterator[BasePubSub[Any]]:
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(channels=channels, ignore_subscribe_messages=True, on_gap=gaps) as p,
    ):
        yield p


class Elsewhere(threading.Thread):
    """A publisher that does not need our event loop: it publishes at the source, then follows.

    From the moment in which the slots change hands until messages came to the target, it keeps our
    event loop from doing anything.
    """

    def __init__(self, source: ClusterNode, target: ClusterNode, ours: asyncio.AbstractEventLoop):
        super().__init__()
        self.source, self.target, self.ours = source, target, ours
        self.accepted: list[str] = []
        self.moved = False
        self._done = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(asyncio.wait_for(self._publish(), 10.0))
        finally:
            self._done.set()

    async def _publish(self) -> None:
        source, target = await connect(self.source), await connect(self.target)
        try:
            # A server that does nothing looks at no timeouts: as elsewhere, others use it, too.
            others = asyncio.create_task(self._keep_busy(target))
            await source.execute("DEBUG", "SLOTMIGRATION", "PREVENT-PAUSE", 0)
            while not await self._is_imminent(source):
                pass
            self.ours.call_soon_threadsafe(self._done.wait, 10.0)
            while not self.moved:
                await self._say(source)
            others.cancel()
            for _ in range(3):
                await self._say(target)
        finally:
            source.close()
            target.close()

    async def _keep_busy(self, target: Connection) -> None:
        while True:
            await target.execute("PING")

    async def _is_imminent(self, source: Connection) -> bool:
        newest, *_ = await source.execute("CLUSTER", "GETSLOTMIGRATIONS")
        return newest[b"state"].startswith((b"failover", b"success"))

    async def _say(self, node: Connection) -> None:
        data = f"m{len(self.accepted)}"
        try:
            await node.execute("SPUBLISH", "a", data)
        except MovedError:
            self.moved = True
        else:
            self.accepted.append(data)


@contextmanager
def running_thread(thread: threading.Thread) -> Iterator[None]:
    thread.start()
    try:
        yield
    finally:
        thread.join()


async def test_p6_what_is_published_while_we_are_busy_is_not_lost(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        async with held_job(running, source, target):
            await eventually(lambda: waits_at(target))
            other = Elsewhere(source, target, asyncio.get_running_loop())
            with running_thread(other):
                await asyncio.get_running_loop().run_in_executor(None, other.join)
        assert other.moved
        assert await data_of(p, len(other.accepted)) == other.accepted
        assert await subscribers_at(target) == 1


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
