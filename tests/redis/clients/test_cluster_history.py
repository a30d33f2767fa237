"""Publishing with a history to a cluster: the slot's primary, redirections, replicas."""

from __future__ import annotations

import asyncio

import pytest

from actors import History, RedisCluster, exceptions
from actors.redis.history.entries import parse_entries
from actors.redis.history.script import SCRIPT
from actors.redis.topology.slots import SLOTS, key_slot
from actors.testing.clusters.node import ClusterNode
from supervisor.model.retry_policy import NoRetryPolicy
from tests.clusters.lending import client_of
from tests.redis.clients.test_cluster_client import subscribed
from tests.servers import ask
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = b"{orders}:history"
SLOT = key_slot(b"orders")


async def entries_at(node: ClusterNode, key: bytes = KEY):
    return parse_entries(await node.execute("XRANGE", key, "-", "+"))


async def emptied(cluster) -> None:
    for node in await cluster.primaries():
        await node.execute("FLUSHALL")
        await node.execute("SCRIPT", "FLUSH")


async def test_r1_a_plain_publish_reaches_every_node_from_the_historys_primary(cluster):
    await emptied(cluster)
    owner = await cluster.primary_for("orders")
    far = next(node for node in await cluster.primaries() if node is not owner)
    async with (
        client_of(cluster) as client,
        subscribed(owner, ("SUBSCRIBE", "orders", KEY)) as near,
        subscribed(far, ("SUBSCRIBE", "orders", KEY)) as distant,
    ):
        ids = [await client.publish("orders", n, history=History()) for n in range(50)]
        assert [str(entry.id) for entry in await entries_at(owner)] == ids
        expected = []
        for number, shown in enumerate(ids):
            before = ids[number - 1].split("-")[0] if number else "0"
            expected += [f"~{shown} {before} {number}".encode(), b"%d" % number]
        for subscriber in (near, distant):
            await eventually(lambda: len(subscriber.payloads()) == 100)  # noqa: B023
            assert subscriber.payloads() == expected


async def test_r1_a_shard_channel_its_history_and_its_history_channel_are_in_one_slot(cluster):
    await emptied(cluster)
    async with client_of(cluster) as client:
        for channel in ("orders", "{shop}.orders", "a{b}c{d}", "é"):
            key = (f"{channel}:history" if "{" in channel else f"{{{channel}}}:history").encode()
            owner = await cluster.primary_for(key)
            async with subscribed(owner, ("SSUBSCRIBE", channel, key)) as subscriber:
                entry_id = await client.spublish(channel, "x", history=History())
                await eventually(lambda: len(subscriber.payloads()) == 2)
                assert subscriber.payloads() == [f"~{entry_id} 0 x".encode(), b"x"]
                assert [str(entry.id) for entry in await entries_at(owner, key)] == [entry_id]


async def test_r1_a_replica_takes_a_bare_spublish_and_sends_the_script_to_its_primary(cluster):
    (replica,) = await cluster.replicas_of(await cluster.primary_for("orders"))
    assert await replica.execute("SPUBLISH", "orders", "x") == 0
    with pytest.raises(exceptions.MovedError):
        await replica.execute("EVAL", SCRIPT, 1, KEY, "orders", "SPUBLISH", "x", 10)


async def test_r1_moved_is_followed_also_to_a_node_that_does_not_know_the_script(cluster):
    await emptied(cluster)
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster, retry_policy=NoRetryPolicy()) as client:
        await client.spublish("orders", "1", history=History())
        await cluster.move_slots([SLOT], source, target)
        await client.spublish("orders", "2", history=History())
        await cluster.move_slots([SLOT], target, source)
        await source.execute("SCRIPT", "FLUSH")
        await client.spublish("orders", "3", history=History(replicas=1))
        await cluster.move_slots([SLOT], source, target)
        await target.execute("SCRIPT", "FLUSH")
        many = [("orders", str(n)) for n in range(4, 200)]
        await client.publish_many(many, sharded=True, history=History())
        assert [entry.payload for entry in await entries_at(target)] == [
            b"%d" % n for n in range(1, 200)
        ]
        assert [entry.id.n for entry in await entries_at(target)] == [*range(1, 200)]
        await client.execute_command("DEL", KEY)
    await cluster.move_slots([SLOT], target, source)


async def test_r1_ask_is_followed_by_single_publishes_and_batches(cluster):
    await emptied(cluster)
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster) as client:
        await cluster.begin_move(SLOT, source, target)
        await client.spublish("orders", "1", history=History())
        await client.spublish("orders", "2", history=History(replicas=1))
        await target.execute("SCRIPT", "FLUSH")
        async with client.pipeline() as pipe:
            for n in range(3, 30):
                pipe.spublish("orders", str(n), history=History())
        assert await source.execute("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0
        assert await target.execute("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 1
        await cluster.finish_move(SLOT, source, target)
        assert [entry.payload for entry in await entries_at(target)] == [
            b"%d" % n for n in range(1, 30)
        ]
        await client.execute_command("DEL", KEY)
    await cluster.move_slots([SLOT], target, source)


async def test_r1_batches_over_all_nodes_keep_each_channels_order(cluster):
    await emptied(cluster)
    messages = [(f"c{n % 60}", str(n)) for n in range(3000)]
    async with client_of(cluster) as client:
        ids = await client.publish_many(messages, history=History())
        assert [int(one.split("-")[1]) for one in ids] == [1 + n // 60 for n in range(3000)]
        async with client.pipeline(transaction=True) as pipe:
            pipe.publish("c0", "last", history=History())
            length = pipe.execute_command("XLEN", "{c0}:history")
        assert pipe.results[0].endswith("-51")
        assert await length == 51


async def test_r5_replicas_of_the_slots_primary_have_the_entry(cluster):
    await emptied(cluster)
    owner = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(owner)
    await eventually(replica.in_sync, 20)
    async with client_of(cluster) as client, client_of(cluster, stream_timeout=2) as impatient:
        entry_id = await client.publish("orders", "1", history=History(replicas=1))
        connection = await client.connection_pool.acquire(replica.id)
        try:
            await connection.execute("READONLY")
            found = parse_entries(await connection.execute("XRANGE", KEY, "-", "+"))
        finally:
            connection.abort(RuntimeError("the connection reads from a replica"))
            client.connection_pool.release(connection)
        assert [str(entry.id) for entry in found] == [entry_id]
        with pytest.raises(exceptions.ReplicationError, match="only 1 of 2 replicas") as caught:
            await impatient.publish("orders", "2", history=History(replicas=2))
        assert caught.value.acknowledged == 1
        assert caught.value.id == str((await entries_at(owner))[-1].id)
        assert client.connection_pool.in_use == impatient.connection_pool.in_use == 0


async def test_r5_acknowledged_entries_survive_their_primary(cluster):
    await emptied(cluster)
    owner = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(owner)
    await eventually(replica.in_sync, 20)
    async with client_of(cluster) as client:
        safe = History(replicas=1)
        ids = [await client.publish("orders", number, history=safe) for number in range(100)]
        cluster.kill(owner)
        assert await cluster.successor(owner) is replica
        assert [str(entry.id) for entry in await entries_at(replica)] == ids

        async def accepted() -> str:
            try:
                return await client.publish("orders", "x", history=History())
            except (exceptions.RedisError, TimeoutError):
                return ""

        assert (await eventually(accepted, 20)).endswith("-101")
    await cluster.start(owner)
    await cluster.settled()
    await cluster.failover(owner)


async def test_r1_after_a_failover_numbers_go_on(cluster):
    await emptied(cluster)
    owner = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(owner)
    async with client_of(cluster) as client:
        await client.publish_many([("orders", n) for n in range(20)], history=History())
        await cluster.failover(replica)
        last = await client.publish("orders", "x", history=History())
        assert last.endswith("-21")
        assert [entry.id.n for entry in await entries_at(replica)] == [*range(1, 22)]
    await cluster.failover(owner)


async def test_r1_strangers_and_names_are_told_as_on_one_server(cluster):
    await emptied(cluster)
    async with client_of(cluster) as client:
        await client.execute_command("SET", KEY, "x")
        for history in (History(), History(replicas=1)):
            with pytest.raises(exceptions.WrongTypeError, match="holds no stream"):
                await client.spublish("orders", "x", history=history)
        with pytest.raises(exceptions.WrongTypeError, match="holds no stream"):
            await client.publish_many([("orders", "x")], history=History())
        with pytest.raises(exceptions.DataError, match="cannot have a history"):
            await client.spublish("a}b", "x", history=History())
        await client.execute_command("DEL", KEY)


@pytest.mark.asyncio(loop_scope="function")
async def test_r1_a_cluster_that_is_down_refuses_where_it_accepts_a_bare_spublish(lone_node):
    assert SLOT > 0
    ask(lone_node, "CLUSTER", "ADDSLOTSRANGE", "1", str(SLOTS - 1))
    await eventually(lambda: "cluster_slots_assigned:16383" in ask(lone_node, "CLUSTER", "INFO"))
    async with RedisCluster(
        "127.0.0.1", lone_node.port, decode_responses=True, retry_policy=NoRetryPolicy()
    ) as client:
        assert await client.spublish("orders", "x") == 0
        with pytest.raises(exceptions.ClusterDownError):
            await client.spublish("orders", "x", history=History())
        # The last slot: the cluster is up.
        ask(lone_node, "CLUSTER", "ADDSLOTS", "0")

        async def accepted() -> bool:
            try:
                await client.spublish("orders", "x", history=History())
            except exceptions.ClusterDownError:
                return False
            return True

        await eventually(accepted, 20)


async def test_r1_thousands_at_once(cluster):
    await emptied(cluster)
    async with client_of(cluster) as client:
        names = [f"c{n}" for n in range(30)] * 20
        ids = await asyncio.gather(
            *(client.spublish(name, "x", history=History()) for name in names)
        )
        numbers: dict[str, set[int]] = {}
        for name, entry_id in zip(names, ids, strict=True):
            numbers.setdefault(name, set()).add(int(entry_id.split("-")[1]))
        assert all(found == {*range(1, 21)} for found in numbers.values())
        assert client.connection_pool.in_use == 0
