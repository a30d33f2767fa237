"""ShardedPubSub when a node dies and stays dead."""

from __future__ import annotations

import asyncio
import time

import pytest

from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.pubsub.cluster import node_readers as shard_readers
from actors.pubsub.cluster.transitions import BUS_LAG
from actors.pubsub.model.types import Gap
from actors.redis.exceptions import ClusterDownError, ConnectionError  # noqa: A004
from actors.redis.topology.slots import key_slot
from actors.testing import EmbeddedCluster
from supervisor import ConstantRetryPolicy
from tests.clusters.lending import client_of, connect
from tests.pubsub.helpers import message, take
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_p10_who_reads_from_a_replica_is_told_that_its_primary_died(cluster):
    """What the primary had accepted last may not have come to its replicas, and nobody has it."""
    gaps: list[Gap] = []
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(
            channels=["a"],
            read_from_replicas=True,
            ignore_subscribe_messages=True,
            on_gap=gaps.append,
            retry_policy=DEFAULT_RETRY_POLICY,
        ) as p,
    ):
        await client.spublish("a", "1")
        assert await take(p, 1) == [message("a", "1")]
        primary = await cluster.primary_for(key_slot(b"a"))
        # Time, and no state, is the condition: who was live at the replica for as long as a message
        # may be on its way can have missed one.
        await asyncio.sleep(0.2)
        died = time.time()
        cluster.kill(primary)
        # A consumer hears of gaps when it takes what is next.
        async with asyncio.timeout(15):
            while not any(gap.reason == "the primary died" for gap in gaps):
                await p.get_message(timeout=0.1)
    (told,) = [gap for gap in gaps if gap.reason == "the primary died"]
    assert told.name == "a"
    assert told.since - 0.1 <= died <= told.until + 0.1
    assert told.seconds < BUS_LAG + 0.1


@pytest.mark.parametrize("replicas", [False, True])
async def test_p6_a_dead_node_that_nobody_needs_any_more_ends_nothing(
    cluster, monkeypatch, replicas
):
    """Its reader, which waits to try again, is let go after a while."""
    monkeypatch.setattr(shard_readers, "_UNUSED", 0.2)
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(
            channels=["a"],
            read_from_replicas=replicas,
            ignore_subscribe_messages=True,
            retry_policy=ConstantRetryPolicy((ConnectionError,), None, delay=60),
        ) as p,
    ):
        dead = await cluster.primary_for(key_slot(b"a"))

        def tries() -> bool:
            parts = p._session.tree
            assert parts is not None
            return any(f":{dead.port} " in node.path for node in parts.system.tree().walk())

        await eventually(tries)
        cluster.kill(dead)
        await eventually(lambda: not tries(), 15)

        async def heard() -> bool:
            try:
                return await client.spublish("a", "1") == 1
            except (ConnectionError, ClusterDownError):
                return False  # nobody has taken over yet

        await eventually(heard, 15)
        assert await take(p, 1) == [message("a", "1")]


async def test_p9_a_node_that_stands_still_costs_no_message(binary):
    """It has no replica, and what is published meanwhile waits at the node."""
    async with (
        EmbeddedCluster(3, 0, binary=binary, node_timeout=15_000) as cluster,
        client_of(cluster) as client,
        client.sharded_pubsub(
            channels=["a"], ignore_subscribe_messages=True, max_idle_seconds=0.3
        ) as p,
    ):
        owner = await cluster.primary_for(key_slot(b"a"))
        await owner.execute("SPUBLISH", "a", "0")
        assert await take(p, 1) == [message("a", "0")]
        publisher = await connect(owner)
        cluster.pause(owner)
        published = [publisher.send_command("SPUBLISH", "a", str(i)) for i in range(1, 9)]
        await eventually(p.unconfirmed, 10)
        cluster.resume(owner)
        await asyncio.gather(*published)
        assert await take(p, 8) == [message("a", str(i)) for i in range(1, 9)]
        await owner.execute("SPUBLISH", "a", "last")
        assert await take(p, 1) == [message("a", "last")]
        assert p.stats().reconnects == 0
        publisher.close()
        await publisher.wait_closed()
