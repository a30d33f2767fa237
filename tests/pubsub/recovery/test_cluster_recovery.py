"""Recovery on clusters, Valkey and Redis: whatever happens, nothing is missing (R2, R5)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors import Gap, Recover
from actors.redis.exceptions import RedisError
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import client_of
from tests.pubsub.helpers import Gaps
from tests.pubsub.recovery.helpers import Got, history, publish
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANNEL = "a"
SLOT = key_slot(CHANNEL.encode())


class Numbers:
    """Publishes numbers with a history, and compares what arrived with the history."""

    def __init__(self, client: Any, *, sharded: bool) -> None:
        self.client = client
        self.sharded = sharded
        self.sent = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Publish until the context is left, and a few more."""
        task = asyncio.create_task(self._publish())
        try:
            await eventually(lambda: self.sent > 20)
            yield
            await self.more(20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def more(self, count: int) -> None:
        """Wait until so many more are published."""
        reached = self.sent
        await eventually(lambda: self.sent > reached + count, 20)

    async def _publish(self) -> None:
        while True:
            try:
                await publish(self.client, CHANNEL, self.sent, sharded=self.sharded)
                self.sent += 1
            except (RedisError, TimeoutError):
                pass  # what was accepted, the history says
            await asyncio.sleep(0.002)

    async def all_arrived(self, got: Got) -> None:
        """Wait until everything in the history has arrived: each entry once, in order."""
        reply = await self.client.execute_command("XRANGE", history(CHANNEL), "-", "+")
        ids = [name for name, _ in reply]
        await eventually(lambda: len(got) >= len(ids), 10)
        assert [one["id"] for one in got] == ids


@asynccontextmanager
async def consumer(
    cluster: EmbeddedCluster, kind: str, recover: Recover, **options: Any
) -> AsyncIterator[tuple[Numbers, Got, list[Gap]]]:
    gaps, got = Gaps(), Got()
    sharded = kind == "sharded"
    async with client_of(cluster, stream_timeout=1.0) as client:
        await client.execute_command("DEL", history(CHANNEL))
        make = client.sharded_pubsub if sharded else client.pubsub
        async with make(
            channel_handlers={CHANNEL: got}, recover=recover, on_gap=gaps, **options
        ) as pubsub:
            await eventually(lambda: pubsub.stats().history_reads > 0 and not pubsub.unconfirmed())
            yield Numbers(client, sharded=sharded), got, gaps


KINDS = pytest.mark.parametrize("kind", ["sharded", "plain"])


@KINDS
@pytest.mark.parametrize("replicas", [False, True])
async def test_r2_connections_are_killed(cluster: EmbeddedCluster, kind: str, replicas: bool):
    options = {"read_from_replicas": replicas}
    async with consumer(cluster, kind, Recover(), **options) as (numbers, got, gaps):
        async with numbers.flowing():
            for _ in range(3):
                await cluster.kill_clients("pubsub")
                await numbers.more(30)
        await numbers.all_arrived(got)
        assert gaps == []


@KINDS
async def test_r2_slots_move(cluster: EmbeddedCluster, kind: str):
    source = await cluster.primary_for(SLOT)
    target = next(node for node in await cluster.primaries() if node is not source)
    async with consumer(cluster, kind, Recover()) as (numbers, got, gaps):
        async with numbers.flowing():
            await cluster.move_slots([SLOT], source, target)
            await numbers.more(30)
            await cluster.move_slots([SLOT], target, source)
        await numbers.all_arrived(got)
        assert gaps == []


@KINDS
async def test_r2_a_planned_failover_is_no_gap(cluster: EmbeddedCluster, kind: str):
    primary = await cluster.primary_for(SLOT)
    [replica, *_] = await cluster.replicas_of(primary)
    async with consumer(cluster, kind, Recover()) as (numbers, got, gaps):
        async with numbers.flowing():
            await cluster.failover(replica)
        await numbers.all_arrived(got)
        assert gaps == []


async def replicas_have_all(primary: ClusterNode) -> None:
    """Wait until a replica has what the primary has: one that has just joined may take seconds."""
    found: list[int] = []
    async with asyncio.timeout(20):
        while not found:
            text: str = (await primary.execute("INFO", "replication")).decode()
            end = int(re.findall(r"master_repl_offset:(\d+)", text)[0])
            offsets = re.findall(r"state=online,offset=(\d+)", text)
            found = [offset for offset in map(int, offsets) if offset >= end]
            await asyncio.sleep(0.02)


@KINDS
@pytest.mark.parametrize("replicated", [False, True])
async def test_r5_a_primary_that_died_is_told_unless_the_publishers_waited_for_a_replica(
    cluster: EmbeddedCluster, kind: str, replicated: bool
):
    primary = await cluster.primary_for(SLOT)
    recover = Recover(replicated=replicated)
    async with consumer(cluster, kind, recover) as (numbers, got, gaps):
        async with numbers.flowing():
            reached = numbers.sent
            await eventually(lambda: numbers.sent > reached + 30)
        await replicas_have_all(primary)  # what they lack would be told, too
        cluster.kill(primary)
        await cluster.successor(primary)
        async with numbers.flowing():
            pass
        await numbers.all_arrived(got)
        if replicated:
            assert gaps == []
        else:
            await eventually(lambda: gaps)
            assert [(gap.name, gap.lost) for gap in gaps] == [(CHANNEL, None)]
            assert "a primary died" in gaps[0].reason


async def test_every_primary_with_recovery_delivers_each_message_once(cluster: EmbeddedCluster):
    options = {"every_primary": True}
    async with consumer(cluster, "plain", Recover(), **options) as (numbers, got, gaps):
        async with numbers.flowing():
            await cluster.kill_clients("pubsub")
        await numbers.all_arrived(got)
        assert gaps == []


@KINDS
async def test_r4_a_consumer_resumes_after_a_failover_in_between(
    cluster: EmbeddedCluster, kind: str
):
    primary = await cluster.primary_for(SLOT)
    [replica, *_] = await cluster.replicas_of(primary)
    name = f"worker {kind}"
    recover = Recover(resume=name)
    async with consumer(cluster, kind, recover) as (numbers, got, _):
        await numbers.client.execute_command("DEL", f"{history(CHANNEL)}:positions")
        async with numbers.flowing():
            pass
        await numbers.all_arrived(got)
    handled, sharded = [one["id"] for one in got], kind == "sharded"
    async with client_of(cluster, stream_timeout=1.0) as client:
        await publish(client, CHANNEL, "before the failover", sharded=sharded)
        await cluster.failover(replica)
        await publish(client, CHANNEL, "after", sharded=sharded)
        later, gaps = Got(), Gaps()
        make = client.sharded_pubsub if sharded else client.pubsub
        async with make(channel_handlers={CHANNEL: later}, recover=recover, on_gap=gaps) as pubsub:
            await later.wait(2)
            await publish(client, CHANNEL, "live", sharded=sharded)
            await later.wait(3)
            # The positions follow the slot, while the consumer runs, too.
            await cluster.failover(primary)
            [last] = await publish(client, CHANNEL, "live again", sharded=sharded)
            await later.wait(4)
            assert await pubsub.drain()
        kept = await client.execute_command("HGET", f"{history(CHANNEL)}:positions", name)
        assert kept == last
        assert gaps == []
        assert later.data() == ["before the failover", "after", "live", "live again"]
        assert not {one["id"] for one in later} & set(handled)


async def test_r4_positions_of_many_channels_are_written_to_their_nodes(cluster: EmbeddedCluster):
    names = [f"many{number}" for number in range(300)]
    async with client_of(cluster) as client:

        async def publish_all(payload: str) -> None:
            await asyncio.gather(*(publish(client, name, payload, sharded=True) for name in names))

        for round_ in range(2):
            got, expected = Got(), 300 + 300 * round_
            async with client.sharded_pubsub(
                channel_handlers=dict.fromkeys(names, got), recover=Recover(resume="worker")
            ) as pubsub:
                await got.wait(300 * round_, 20)
                await eventually(lambda: pubsub.stats().history_reads >= 600, 20)
                await publish_all("live")
                await got.wait(expected, 20)
                assert await pubsub.drain()
            assert len(got) == expected
            await publish_all("between")


async def test_r4_a_silent_node_holds_up_the_positions_of_no_other(
    cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
):
    silent, other = await cluster.primary_for(CHANNEL), "b"
    while await cluster.primary_for(other) is silent:
        other += "b"
    free, done = asyncio.Event(), Got()

    async def handle(message: Any) -> None:
        await free.wait()
        done(message)

    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(
            channel_handlers={CHANNEL: handle, other: (got := Got())},
            recover=Recover(resume="worker"),
        ) as pubsub,
    ):

        async def kept() -> bool:
            found = await client.execute_command("HGET", f"{history(other)}:positions", "worker")
            return found == (got[-1]["id"] if got else None)

        await eventually(lambda: pubsub.stats().history_reads > 1 and not pubsub.unconfirmed())
        await publish(client, CHANNEL, 1, sharded=True)
        await eventually(lambda: pubsub.stats().received > 0)
        cluster.pause(silent)
        try:
            free.set()
            await done.wait(1)
            await asyncio.sleep(0.1)  # the write to the silent node is under way
            await publish(client, other, 1, sharded=True)
            await got.wait(1)
            await eventually(kept)
        finally:
            cluster.resume(silent)
        assert "positions_not_written" not in caplog.text
