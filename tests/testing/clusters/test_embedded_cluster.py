"""The embedded cluster: formed quickly, and each fault does what it says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from actors import RedisCluster
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import RedisError
from actors.redis.topology.model import Role
from actors.redis.topology.parse import parse_shards
from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import ClusterNode, ClusterTimeoutError, EmbeddedCluster
from actors.testing.clusters.node import wait_until
from tests.clusters.lending import client_of, owner_of, uncovered
from tests.support import eventually


async def connect(node: ClusterNode) -> Connection:
    return await Connection.open(ConnectionSettings(location=node.location))


async def keys_of(node: ClusterNode, slot: int) -> set[bytes]:
    return set(await node.execute("CLUSTER", "GETKEYSINSLOT", slot, 1000))


async def fill(node: ClusterNode, tag: str, count: int = 20) -> set[bytes]:
    names = {b"{%s}%d" % (tag.encode(), i) for i in range(count)}
    await node.execute_all([("SET", name, "value") for name in names])
    return names


async def test_it_is_formed_within_seconds(binary):
    began = time.monotonic()
    async with EmbeddedCluster(binary=binary) as cluster:
        assert time.monotonic() - began < 10
        topology = await cluster.topology()
        assert uncovered(topology) == ()
        assert [len(shard.replicas) for shard in topology.shards] == [1, 1, 1]
        assert [node.id for node in await cluster.primaries()] == [n.id for n in cluster.nodes[:3]]
        assert len(cluster.startup_nodes) == 6
        assert cluster.url == cluster.nodes[0].url
        primary = await cluster.primary_for("orders")
        assert key_slot(b"orders") in await cluster.slots_of(primary)
        (replica,) = await cluster.replicas_of(primary)
        assert [await primary.role(), await replica.role()] == [Role.PRIMARY, Role.REPLICA]
        # CLUSTER SHARDS groups by shard ids, which our configuration files have to bring along.
        reply = await primary.execute("CLUSTER", "SHARDS")
        assert parse_shards(reply, primary.address).fingerprint == topology.fingerprint
        pids = [node.pid for node in cluster.nodes]
        assert all(pids)
    assert not any(node.running for node in cluster.nodes)


async def test_sizes_and_configuration(binary):
    async with EmbeddedCluster(
        1,
        2,
        binary=binary,
        node_timeout=700,
        full_coverage=True,
        replica_migration=False,
        args={"maxclients": 123},
    ) as cluster:
        assert len(await cluster.replicas_of(cluster.nodes[0])) == 2
        expected = {
            "cluster-node-timeout": b"700",
            "cluster-require-full-coverage": b"yes",
            "cluster-allow-replica-migration": b"no",
            "maxclients": b"123",
        }
        for name, value in expected.items():
            reply = await cluster.nodes[2].execute("CONFIG", "GET", name)
            assert reply == {name.encode(): value}


@pytest.mark.asyncio(loop_scope="module")
async def test_failovers(cluster: EmbeddedCluster):
    first = await cluster.primary_for("orders")
    (second,) = await cluster.replicas_of(first)
    await cluster.failover(second)
    assert await second.role() is Role.PRIMARY
    assert await cluster.primary_for("orders") is second
    await cluster.settled()
    assert await cluster.replicas_of(second) == [first]

    cluster.kill(second)
    assert not second.running
    assert await cluster.successor(second) is first
    await cluster.start(second)
    assert await cluster.replicas_of(first) == [second]

    cluster.pause(first)
    assert await cluster.successor(first) is second
    cluster.resume(first)
    await cluster.settled()
    assert await first.role() is Role.REPLICA

    cluster.kill(second)
    await cluster.failover(first, takeover=True)
    assert await first.role() is Role.PRIMARY


async def test_members_come_and_go(binary):
    async with EmbeddedCluster(2, 0, binary=binary) as cluster:
        first, second = cluster.nodes
        third = await cluster.add_node()
        assert await third.role() is Role.PRIMARY
        replica = await cluster.add_node(replica_of=first)
        assert await cluster.replicas_of(first) == [replica]
        await cluster.reparent(replica, second)
        assert await cluster.replicas_of(second) == [replica]
        await cluster.move_slots(range(10), first, third, batch=10)
        assert await cluster.slots_of(third) == list(range(10))
        await cluster.forget(replica)
        assert cluster.nodes == [first, second, third]
        assert set((await cluster.settled()).nodes) == {first.id, second.id, third.id}


@pytest.mark.asyncio(loop_scope="module")
async def test_restarts(cluster: EmbeddedCluster):
    before = await cluster.primaries()
    pids = {node.id: node.pid for node in cluster.nodes}
    await cluster.rolling_restart()
    after = await cluster.primaries()
    assert not set(before) & set(after)
    assert all(node.pid != pids[node.id] for node in before)
    assert all(node.pid == pids[node.id] for node in after)
    await cluster.restart(*cluster.nodes)
    assert await cluster.primaries() == after
    assert all(node.pid != pids[node.id] for node in cluster.nodes)


@pytest.mark.asyncio(loop_scope="module")
async def test_kill_clients_closes_subscribers_of_every_kind(cluster: EmbeddedCluster):
    node = await cluster.primary_for("a")
    connections = [await connect(node) for _ in range(3)]
    plain, shard, idle = connections
    pushes: list[Any] = []
    plain.on_push = shard.on_push = pushes.append
    plain.write(b"SUBSCRIBE a\r\n")
    shard.write(b"SSUBSCRIBE a\r\n")
    await eventually(lambda: len(pushes) == 2)
    assert await cluster.kill_clients() == 2
    await eventually(lambda: not plain.usable and not shard.usable)
    assert await idle.execute("PING") == b"PONG"
    for connection in connections:
        connection.close()
        await connection.wait_closed()


async def test_slots_move_with_their_keys(binary):
    async with EmbeddedCluster(binary=binary) as cluster:
        slot = key_slot(b"orders")
        source = await cluster.primary_for(slot)
        target, third = [node for node in await cluster.primaries() if node is not source]
        names = await fill(source, "orders")

        await cluster.begin_move(slot, source, target)
        assert dict((await source.view()).migrating) == {slot: target.id}
        assert dict((await target.view()).importing) == {slot: source.id}
        assert await cluster.primary_for(slot) is source
        await cluster.finish_move(slot, source, target)
        assert await cluster.primary_for(slot) is target
        assert await keys_of(target, slot) == names

        await cluster.move_slots([slot], target, source)
        assert await keys_of(source, slot) == names
        if binary.flavour == "valkey":
            await cluster.migrate_atomically([slot, 0 if slot else 1], source, target)
            assert await keys_of(target, slot) == names
        else:
            with pytest.raises(RuntimeError, match="needs Valkey 9"):
                await cluster.migrate_atomically([slot], source, target)

        owner = await cluster.primary_for(slot)
        other = next(node for node in await cluster.primaries() if node is not owner)
        await cluster.empty(owner, to=other)
        assert len(await cluster.primaries()) == 2
        assert await keys_of(other, slot) == names
        assert third in await cluster.primaries()


async def test_the_other_shards_serve_on_while_one_is_gone(binary):
    async with EmbeddedCluster(3, 0, binary=binary, node_timeout=500) as cluster:
        dead = await cluster.primary_for(0)
        cluster.kill(dead)
        await cluster.agree("the dead node is found out", lambda view: dead.id in view.failing)
        other = await cluster.primary_for(16383)
        assert await other.execute("SPUBLISH", "x", "y") == 0
        with pytest.raises(ClusterTimeoutError, match=r"is replaced; last answer: None"):
            await cluster.successor(dead, timeout=0.05)
        await cluster.start(dead)
        assert await cluster.primary_for(0) is dead


async def test_waiting_says_what_for_and_what_was_last():
    async def never() -> bool:
        raise AssertionError("still raining")

    with pytest.raises(ClusterTimeoutError, match=r"not within 0.05 s: sunshine; .*still raining"):
        await wait_until(never, "sunshine", 0.05)


async def test_a_cluster_that_cannot_be_leaves_nothing_behind(binary):
    cluster = EmbeddedCluster(2, 0, binary=binary, args=["--no-such-option", "1"])
    with pytest.raises(RuntimeError, match="did not start"):
        await cluster.__aenter__()
    assert not any(node.running for node in cluster.nodes)
    with pytest.raises(ValueError, match="at least 1 primary"):
        EmbeddedCluster(0)


async def test_leaving_is_quick_whatever_the_nodes_do(binary):
    async with EmbeddedCluster(1, 1, binary=binary) as cluster:
        cluster.pause(cluster.nodes[0])
        cluster.kill(cluster.nodes[1])
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_slot_that_two_nodes_give_to_each_other_is_repaired(cluster: EmbeddedCluster):
    source, target, _ = await cluster.primaries()
    slot = (await cluster.slots_of(source))[0]
    # The source says the target, and that says the source: as after moves back to back.
    await source.execute("CLUSTER", "SETSLOT", slot, "NODE", target.id)
    with pytest.raises(ClusterTimeoutError):
        await cluster.agree(
            "settled by itself", lambda view: owner_of(view, slot) == target.id, 2.0
        )
    await cluster._served_by([slot], target)
    assert await cluster.primary_for(slot) is target
    await cluster.settled()
    await cluster.move_slots([slot], target, source)


@pytest.mark.asyncio(loop_scope="module")
async def test_forty_moves_back_to_back_beside_a_consumer_and_a_publisher(
    cluster: EmbeddedCluster,
):
    async with client_of(cluster) as client:
        source, target, _ = await cluster.primaries()
        slot = (await cluster.slots_of(source))[0]
        name = next(f"c{n}" for n in range(10**6) if key_slot(b"c%d" % n) == slot)
        async with client.sharded_pubsub(channels=[name]) as pubsub:
            publishing = asyncio.create_task(_publish(client, name))
            try:
                for _ in range(40):
                    await cluster.move_slots([slot], source, target)
                    source, target = target, source
            finally:
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)
            assert pubsub.subscribed
        await cluster.settled()


async def _publish(client: RedisCluster[str], name: str) -> None:
    while True:
        try:
            await client.spublish(name, "x")
        except (RedisError, TimeoutError):
            await asyncio.sleep(0.01)
