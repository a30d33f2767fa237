"""ClusterPubSub: what befalls the node that serves, while numbers are published at another."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from actors import exceptions
from actors.pubsub.cluster.any_node_manager import NodePicker
from actors.pubsub.cluster.transitions import BUS_LAG
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.model import Role
from actors.redis.wire.connect_progress import ConnectProgress
from actors.testing.clusters.cluster import ClusterNode
from tests.clusters.fixtures import BINARIES
from tests.pubsub.cluster.streams import DEADLINE, Stream, serving
from tests.pubsub.helpers import within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Seconds in which a silent node is found: so long it may be idle, then it must answer a PING.
IDLE = 0.4

of_either_role = pytest.mark.parametrize("replicas", [False, True], ids=["primary", "replica"])


@pytest.mark.parametrize("replicas", [False, True])
async def test_the_next_node_is_another_one_that_answers(cluster, replicas):
    async with ClusterConnectionPool(cluster.startup_nodes) as pool:
        picker = NodePicker(pool, replicas)
        progress = ConnectProgress()
        former = None
        picked = set()
        for _ in range(40):
            pool.release(await picker.open("server", progress))
            assert picker.current != former
            former = picker.current
            assert former is not None
            picked.add(former)
        assert len(picked) == 3
        silent = cluster.node(picked.pop())
        cluster.pause(silent)
        await eventually(lambda: _silent(pool, silent))
        for _ in range(6):
            pool.release(await picker.open("server", progress))
            assert picker.current in picked


async def _silent(pool: ClusterConnectionPool, node: ClusterNode) -> bool:
    await pool.refresh()
    return pool.silent(node.id)


@of_either_role
async def test_p3_p10_a_killed_node_is_replaced_by_another(cluster, replicas):
    async with Stream(cluster, read_from_replicas=replicas) as stream:
        node = serving(cluster, stream.pubsub)
        async with stream.numbers(stream.others(node)[0]):
            cluster.kill(node)
            # At the first attempt: the node that was lost is not tried again while others are.
            with within(1):
                await eventually(lambda: stream.pubsub.stats().gaps == 3)
            other = serving(cluster, stream.pubsub)
            assert await other.role() is (Role.REPLICA if replicas else Role.PRIMARY)
        assert other is not node
        stream.check()
        assert all("connection lost" in gap.reason for gap in stream.gaps)
        assert stream.pubsub.stats().reconnects == 1
        assert (list(stream.pubsub.channels), list(stream.pubsub.patterns)) == (["a", "h"], ["p*"])


@of_either_role
async def test_p3_p10_a_killed_connection_comes_back(cluster, replicas):
    async with Stream(cluster, read_from_replicas=replicas) as stream:
        node = serving(cluster, stream.pubsub)
        async with stream.numbers(stream.others(node)[0]):
            for turn in range(1, 4):
                assert await cluster.kill_clients("pubsub", serving(cluster, stream.pubsub)) == 1
                with within(1):
                    await eventually(lambda n=turn: stream.pubsub.stats().gaps == 3 * n)
                reached = len(stream.sent)
                await eventually(lambda n=reached: len(stream.sent) > n + 10)
        stream.check(gaps=3)


@of_either_role
async def test_p9_p10_a_stopped_node_is_found_and_replaced(cluster, replicas):
    """SIGSTOP: found within max_idle_seconds plus the deadline; the gap begins before it."""
    async with Stream(cluster, read_from_replicas=replicas, max_idle_seconds=IDLE) as stream:
        node = serving(cluster, stream.pubsub)
        async with stream.numbers(stream.others(node)[0]):
            cluster.pause(node)
            stopped_at = time.time()
            with within(IDLE + DEADLINE + 0.3):
                await eventually(
                    lambda: (
                        stream.pubsub.connection is None
                        or serving(cluster, stream.pubsub) is not node
                    )
                )
            with within(1):
                await eventually(lambda: stream.pubsub.stats().gaps == 3)
            other = serving(cluster, stream.pubsub)
            assert other is not node
            reached = len(stream.sent)
            # What it did not read while it was stopped is too late now, and not delivered.
            cluster.resume(node)
            await eventually(lambda: len(stream.sent) > reached + 30)
        stream.check()
        for gap in stream.gaps:
            assert stopped_at - BUS_LAG - 0.15 < gap.since < stopped_at + 0.1
            assert gap.until > stopped_at + IDLE
            assert f"no answer to a PING within {DEADLINE} s" in gap.reason
        assert serving(cluster, stream.pubsub) is other


async def test_p8_a_node_that_the_cluster_calls_failing_is_left_before_it_is_idle(cluster):
    async with Stream(cluster, max_idle_seconds=60) as stream:
        node = serving(cluster, stream.pubsub)
        async with stream.numbers(stream.others(node)[0]):
            cluster.pause(node)
            await eventually(lambda: stream.pubsub.stats().gaps == 3, 8.0)
            assert serving(cluster, stream.pubsub) is not node
        stream.check()
        assert all("the cluster calls it failing" in gap.reason for gap in stream.gaps)


@of_either_role
async def test_p3_a_graceful_failover_costs_nothing(cluster, replicas):
    """A primary that hands over, and a replica that takes over, keep their connections."""
    async with Stream(cluster, read_from_replicas=replicas) as stream:
        node = serving(cluster, stream.pubsub)
        if replicas:
            (other,) = [
                n for n in await cluster.primaries() if node in await cluster.replicas_of(n)
            ]
        else:
            (other,) = await cluster.replicas_of(node)
        async with stream.numbers(stream.others(node, other)[0]):
            await cluster.failover(node if replicas else other)
        stream.check(gaps=0)
        assert serving(cluster, stream.pubsub) is node
        assert stream.numbers_got() == [list(range(len(stream.sent)))] * 3


async def test_p8_a_node_that_leaves_the_cluster_is_left(cluster):
    if cluster.binary != BINARIES[0]:
        pytest.skip("what clients see of it is the same on all servers, and it takes five seconds")
    newcomer = await cluster.add_node(replica_of=(await cluster.primaries())[0])
    try:
        async with AsyncExitStack() as stack:
            while True:  # there are four to choose from
                stream = Stream(cluster, read_from_replicas=True, max_idle_seconds=0.05)
                await stream.__aenter__()
                if serving(cluster, stream.pubsub) is newcomer:
                    stack.push_async_exit(stream)
                    break
                await stream.__aexit__(None, None, None)
            publisher, *_ = others = stream.others(newcomer)
            async with stream.numbers(publisher):
                began = time.time()
                await newcomer.execute("CLUSTER", "RESET")
                await asyncio.gather(*(_forget(node, newcomer) for node in others))
                took = time.time() - began
                await eventually(lambda: stream.pubsub.stats().gaps == 3, 8.0)
                assert serving(cluster, stream.pubsub) is not newcomer
            # It answered PINGs as before: that is no proof that it heard of messages.
            stream.check(slack=took + 0.05)
            assert all("it left the cluster" in gap.reason for gap in stream.gaps)
    finally:
        await cluster.forget(newcomer)


async def _forget(node: ClusterNode, gone: ClusterNode) -> None:
    try:
        await node.execute("CLUSTER", "FORGET", gone.id)
    except exceptions.ResponseError as error:
        # Valkey spreads the word by itself.
        if "Unknown node" not in str(error):
            raise
