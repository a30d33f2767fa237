"""Nodes that answer, and hear nothing from the others any more: forgotten, or off the bus (P10).

Their clients' connections are fine. Each number that is published meanwhile either arrives, or lies
in a gap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors import RedisCluster
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.servers.binary import ServerBinary, wheel_binary
from tests.clusters.lending import client_of
from tests.pubsub.helpers import QUICK, Gaps
from tests.support import eventually

#: Lets DEBUG drop what comes in over the cluster bus.
DEBUG = {"enable_debug_command": "yes"}

valkey_only = pytest.mark.skipif(
    wheel_binary() is None, reason="only Valkey can be made to drop packets of the cluster bus"
)


class Numbers:
    """Publishes numbers and notes when, and which arrived."""

    def __init__(self, publish: Callable[[int], Any]) -> None:
        self.publish = publish
        self.sent: dict[int, tuple[float, float]] = {}
        self.got: set[int] = set()
        self.gaps = Gaps()

    def __call__(self, message: Any) -> None:
        self.got.add(int(message["data"]))

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Publish every 20 ms until the context is left."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            number, began = len(self.sent), time.time()
            self.sent[number] = began, began
            await self.publish(number)
            self.sent[number] = began, time.time()
            await asyncio.sleep(0.02)

    @property
    def arriving(self) -> bool:
        """Whether one of the last numbers has arrived."""
        return not self.got.isdisjoint(range(len(self.sent) - 5, len(self.sent)))

    def check(self) -> None:
        """What did not arrive lies in a gap, but for what was on its way at the end."""
        told = [(gap.since, gap.until) for gap in self.gaps]
        untold = [
            number
            for number, (began, ended) in self.sent.items()
            if number not in self.got
            and number < max(self.got)
            and not any(since <= ended and began <= until for since, until in told)
        ]
        assert not untold, (untold, told, self.sent[untold[0]])


def others_of(cluster: EmbeddedCluster, node: ClusterNode) -> list[ClusterNode]:
    return [one for one in cluster.nodes if one is not node]


async def cut_bus(node: ClusterNode, *, off: bool = True) -> None:
    """Have ``node`` drop all that comes in over the cluster bus, or drop nothing."""
    await node.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", "-2" if off else "-1")


@asynccontextmanager
async def listening_on(
    cluster: EmbeddedCluster, client: RedisCluster[str], node: ClusterNode, numbers: Numbers
) -> AsyncIterator[Any]:
    """Subscribe to a plain channel on ``node``, whichever the client picks first."""
    async with client.pubsub(
        channel_handlers={"news": numbers}, on_gap=numbers.gaps, retry_policy=QUICK
    ) as pubsub:

        async def sits_there() -> bool:
            if (await node.execute("PUBSUB", "NUMSUB", "news"))[1]:
                return True
            for one in others_of(cluster, node):
                await one.execute("CLIENT", "KILL", "TYPE", "pubsub")
            return False

        await eventually(sits_there, 30, 0.2)
        yield pubsub


async def left(node: ClusterNode) -> bool:
    return (await node.execute("PUBSUB", "NUMSUB", "news"))[1] == 0


# -- plain channels --------------------------------------------------------------------------------


async def test_p10_a_node_that_the_others_have_forgotten_is_left_and_its_silence_is_told(
    binary: ServerBinary,
) -> None:
    async with EmbeddedCluster(3, 0, binary=binary) as cluster, client_of(cluster) as client:
        node = await cluster.add_node()
        await eventually(lambda: _knows(client, node), 20)
        others = others_of(cluster, node)
        numbers = Numbers(lambda n: others[n % 3].execute("PUBLISH", "news", n))
        async with listening_on(cluster, client, node, numbers), numbers.flowing():
            await eventually(lambda: numbers.arriving)
            for one in others:
                await one.execute("CLUSTER", "FORGET", node.id)
            await eventually(lambda: left(node), 30, 0.05)
            await eventually(lambda: numbers.arriving, 20)
            # While it runs the others learn of it for moments; nobody goes back to it.
            until = time.time() + 6
            while time.time() < until:
                assert await left(node)
                await asyncio.sleep(0.1)
        numbers.check()
        assert any("forgotten" in gap.reason for gap in numbers.gaps)


async def _knows(client: RedisCluster[str], node: ClusterNode) -> bool:
    return node.id in (await client.connection_pool.refresh()).nodes


@valkey_only
@pytest.mark.parametrize("node_timeout", [1500, 15000])
async def test_p10_a_node_off_the_bus_is_left_before_its_cluster_calls_it_failing(node_timeout):
    async with EmbeddedCluster(3, 0, node_timeout=node_timeout, args=DEBUG) as cluster:
        node, *others = cluster.nodes
        numbers = Numbers(lambda n: others[n % 2].execute("PUBLISH", "news", n))
        async with (
            client_of(cluster) as client,
            listening_on(cluster, client, node, numbers),
            numbers.flowing(),
        ):
            await eventually(lambda: numbers.arriving)
            await cut_bus(node)
            cut_at = time.time()
            await eventually(lambda: left(node), 14, 0.05)
            await eventually(lambda: numbers.arriving, 20)
            await cut_bus(node, off=False)
        numbers.check()
        assert min(gap.since for gap in numbers.gaps if gap.until > cut_at) <= cut_at


# -- shard channels --------------------------------------------------------------------------------


async def _sharded(
    cluster: EmbeddedCluster, node: ClusterNode, at: ClusterNode, *, replicas: bool
) -> Numbers:
    """Cut ``node`` off the bus, which delivers "orders", while ``at`` takes the messages."""
    numbers = Numbers(lambda n: at.execute("SPUBLISH", "orders", n))
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(
            channel_handlers={"orders": numbers},
            on_gap=numbers.gaps,
            read_from_replicas=replicas,
            retry_policy=QUICK,
        ) as pubsub,
        numbers.flowing(),
    ):
        await eventually(lambda: numbers.arriving)
        assert (await node.execute("PUBSUB", "SHARDNUMSUB", "orders"))[1] == 1
        await cut_bus(node)
        cut_at = time.time()
        await eventually(lambda: bool(numbers.gaps), 60)
        await eventually(lambda: numbers.arriving, 20)
        assert min(gap.since for gap in numbers.gaps) <= cut_at
        await cut_bus(node, off=False)
        contacts = client.connection_pool.contacts
        await eventually(lambda: node.id not in contacts.cut_off, 30)
        await eventually(lambda: numbers.arriving, 20)
        assert pubsub.subscribed
    return numbers


@valkey_only
@pytest.mark.parametrize("node_timeout", [1500, 15000])
async def test_p10_a_replica_off_the_bus_is_no_source_and_what_it_missed_is_told(node_timeout):
    async with EmbeddedCluster(3, 1, node_timeout=node_timeout, args=DEBUG) as cluster:
        primary = await cluster.primary_for("orders")
        (replica,) = await cluster.replicas_of(primary)
        numbers = await _sharded(cluster, replica, primary, replicas=True)
        numbers.check()
        assert any("lost touch" in gap.reason for gap in numbers.gaps)


@valkey_only
async def test_p10_what_a_primary_off_the_bus_does_not_hear_from_its_replica_is_told():
    async with EmbeddedCluster(3, 1, node_timeout=15000, args=DEBUG) as cluster:
        primary = await cluster.primary_for("orders")
        (replica,) = await cluster.replicas_of(primary)
        (await _sharded(cluster, primary, replica, replicas=False)).check()


async def test_p10_a_replica_that_the_others_have_forgotten_is_left(binary: ServerBinary) -> None:
    async with EmbeddedCluster(3, 1, binary=binary) as cluster:
        primary = await cluster.primary_for("orders")
        (replica,) = await cluster.replicas_of(primary)
        numbers = Numbers(lambda n: primary.execute("SPUBLISH", "orders", n))
        async with (
            client_of(cluster) as client,
            client.sharded_pubsub(
                channel_handlers={"orders": numbers},
                on_gap=numbers.gaps,
                read_from_replicas=True,
                retry_policy=QUICK,
            ),
            numbers.flowing(),
        ):
            await eventually(lambda: numbers.arriving)
            assert (await replica.execute("PUBSUB", "SHARDNUMSUB", "orders"))[1] == 1
            for one in others_of(cluster, replica):
                await one.execute("CLUSTER", "FORGET", replica.id)
            await eventually(lambda: bool(numbers.gaps), 60)
            await eventually(lambda: numbers.arriving, 20)
        numbers.check()
