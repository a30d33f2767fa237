"""P6b: what a consumer asks of servers is bounded in each state in which nodes disagree.

The servers count: INFO commandstats before and after, refused commands included.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors import ShardedPubSub
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.servers.binary import ServerBinary
from tests.clusters.lending import client_of
from tests.footprint.readings import parse_commands

#: Seconds for which a target without a source is urgent, and commands a second in that time.
URGENT_FOR, URGENT = 10.0, 30.0
#: Commands a second afterwards, and how many more may come at once: questions are saved up, and a
#: slot is followed three times before its back-off begins.
CALM, BURST = 6.0, 24.0
#: Seconds that are counted of either.
COUNTED = 3.0

#: What servers send each other, and what the tests ask.
NOT_OURS = ("replconf", "psync", "info", "cluster|setslot", "cluster|failover", "publish")


async def commands(nodes: list[ClusterNode]) -> Counter[str]:
    """Return how many commands of each kind the nodes have seen."""
    found: Counter[str] = Counter()
    for node in nodes:
        if node.alive:
            reply: bytes = await node.execute("INFO", "commandstats")
            found.update(parse_commands(reply.decode()))
    return Counter({name: n for name, n in found.items() if name not in NOT_OURS})


async def asked(nodes: list[ClusterNode], seconds: float = COUNTED) -> Counter[str]:
    """Return what the nodes are asked in the next seconds."""
    before = await commands(nodes)
    await asyncio.sleep(seconds)
    return await commands(nodes) - before


async def check_urgent(nodes: list[ClusterNode], seconds: float = COUNTED) -> None:
    """The budget of a state that is new holds."""
    urgent = await asked(nodes, seconds)
    assert urgent.total() <= URGENT * seconds + BURST, urgent


@asynccontextmanager
async def consumer(
    cluster: EmbeddedCluster, *channels: str, replicas: bool = False
) -> AsyncIterator[ShardedPubSub[str]]:
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(channels=channels, read_from_replicas=replicas) as pubsub,
    ):
        await asyncio.sleep(1.0)  # what the start asks is over
        yield pubsub


async def other_than(cluster: EmbeddedCluster, node: ClusterNode) -> ClusterNode:
    return next(one for one in await cluster.primaries() if one is not node)


async def split(cluster: EmbeddedCluster, channel: str) -> None:
    """Two nodes each say that the other one serves the slot."""
    owner = await cluster.primary_for(channel)
    other = await other_than(cluster, owner)
    await owner.execute("CLUSTER", "SETSLOT", key_slot(channel.encode()), "NODE", other.id)


async def half_moved(cluster: EmbeddedCluster, channel: str) -> None:
    """A move was begun, at both ends, and nobody goes on with it."""
    owner = await cluster.primary_for(channel)
    await cluster.begin_move(key_slot(channel.encode()), owner, await other_than(cluster, owner))


async def half_begun(cluster: EmbeddedCluster, channel: str) -> None:
    """A move was begun at the target alone."""
    owner = await cluster.primary_for(channel)
    other = await other_than(cluster, owner)
    await other.execute("CLUSTER", "SETSLOT", key_slot(channel.encode()), "IMPORTING", owner.id)


async def unowned(cluster: EmbeddedCluster, channel: str) -> None:
    """The owner gave the slot away to nobody, as far as each node knows."""
    for node in await cluster.primaries():
        await node.execute("CLUSTER", "DELSLOTS", key_slot(channel.encode()))


async def two_primaries(cluster: EmbeddedCluster, channel: str) -> None:
    """A replica took over, and its former primary does not hear of that."""
    owner = await cluster.primary_for(channel)
    (replica,) = await cluster.replicas_of(owner)
    await owner.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", "-2")
    await replica.execute("CLUSTER", "FAILOVER", "TAKEOVER")


async def minority(cluster: EmbeddedCluster, channel: str) -> None:
    """The other shards are dead, so that nobody can decide anything."""
    owner = await cluster.primary_for(channel)
    kept = [owner, *await cluster.replicas_of(owner)]
    for node in cluster.nodes:
        if node not in kept:
            cluster.kill(node)


SLOT_STATES = (split, half_moved, half_begun, unowned)
STATES = (*SLOT_STATES, two_primaries, minority)


@pytest.mark.parametrize(
    ("state", "replicas"),
    [*((state, False) for state in STATES), (two_primaries, True), (minority, True)],
    ids=lambda value: value.__name__ if callable(value) else "replicas" if value else "primaries",
)
async def test_p6b_while_nodes_disagree(state, replicas):
    async with (
        EmbeddedCluster(3, 1, args={"enable_debug_command": "yes"}) as cluster,
        consumer(cluster, "orders", "one", "two", replicas=replicas),
    ):
        await state(cluster, "orders")
        await check_urgent(cluster.nodes)


async def test_p6b_while_nodes_disagree_about_many_slots_and_for_long(binary: ServerBinary):
    channels = [f"c{n}" for n in range(4 * len(SLOT_STATES))]
    async with EmbeddedCluster(3, 1, binary=binary) as cluster, consumer(cluster, *channels):
        for number, channel in enumerate(channels):
            await SLOT_STATES[number % len(SLOT_STATES)](cluster, channel)
        await check_urgent(cluster.nodes, URGENT_FOR)
        await asyncio.sleep(3.0)
        calm = await asked(cluster.nodes, 2 * COUNTED)
        assert calm.total() <= CALM * 2 * COUNTED + BURST, calm
