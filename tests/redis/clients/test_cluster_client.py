"""The cluster's client: routing, redirections, which errors are retried and which are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from actors.cluster import RedisCluster
from actors.redis import exceptions
from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import pack
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.proxies.proxy import Direction
from supervisor.model.retry_policy import ConstantRetryPolicy, NoRetryPolicy
from tests.clusters.lending import NODE_TIMEOUT, connect
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"orders")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster(node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


def client_of(cluster: EmbeddedCluster, **options) -> RedisCluster[Any]:
    return RedisCluster(startup_nodes=cluster.startup_nodes[:1], **options)


class Subscriber:
    """A subscriber on one node; ``pushes`` has all that was pushed to it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pushes: list[list[Any]] = []
        connection.on_push = self.pushes.append

    def payloads(self) -> list[bytes]:
        return [push[-1] for push in self.pushes if push[0].endswith(b"message")]


@asynccontextmanager
async def subscribed(
    node: ClusterNode, *commands: tuple[str | bytes, ...]
) -> AsyncIterator[Subscriber]:
    connection = await connect(node)
    subscriber = Subscriber(connection)
    try:
        for command in commands:
            # The server confirms with a push for each name, and sends no reply.
            connection.write(pack(command))
        names = sum(len(command) - 1 for command in commands)
        await eventually(lambda: len(subscriber.pushes) == names)
        yield subscriber
    finally:
        connection.close()
        await connection.wait_closed()


# --- routing --------------------------------------------------------------------------------------


async def test_commands_find_their_node(cluster):
    async with client_of(cluster, decode_responses=True) as client:
        assert await client.ping() == "PONG"
        assert await client.echo("räksmörgås") == "räksmörgås"
        for number in range(30):
            assert await client.execute_command("SET", f"key-{number}", number) == "OK"
            assert await client.execute_command("get", f"key-{number}") == str(number)
        script = "return redis.call('get', KEYS[1])"
        assert await client.execute_command("EVAL", script, 1, "key-3") == "3"
        assert await client.execute_command("EVAL", "return 7", 0) == 7
        await client.execute_command("XADD", "stream", "*", "a", "b")
        assert await client.execute_command("XREAD", "COUNT", 1, "STREAMS", "stream", 0)
        assert await client.execute_command("OBJECT ENCODING", "key-3") == "int"
        for node in cluster.nodes:
            assert await client.execute_command("CLUSTER", "MYID", node=node.id) == node.id
        owner = await cluster.primary_for("orders")
        assert await client.execute_command("CLUSTER MYID", slot=SLOT) == owner.id
        await client.execute_command(b"DEL", *(b"{key-1}%d" % i for i in range(2)))
        with pytest.raises(exceptions.ClusterCrossSlotError):
            await client.execute_command("MGET", "key-1", "key-2")
        with pytest.raises(exceptions.DataError, match="the key of GET is missing"):
            await client.execute_command("GET")
        with pytest.raises(exceptions.DataError, match="no command"):
            await client.execute_command()
        with pytest.raises(ValueError, match="both given"):
            await client.execute_command("GET", "a", slot=1, node=owner.id)
        with pytest.raises(ValueError, match="from 0 to 16383"):
            await client.execute_command("GET", "a", slot=16384)
        with pytest.raises(exceptions.ConnectionError, match="no node abc"):
            await client.execute_command("PING", node="abc")
        # A command for a named node is not redirected.
        other = next(node for node in await cluster.primaries() if node is not owner)
        with pytest.raises(exceptions.MovedError):
            await client.execute_command("GET", "orders", node=other.id)
        for node in await cluster.primaries():
            await node.execute("FLUSHALL")


async def test_publish_counts_and_order(cluster):
    async with client_of(cluster) as client:
        assert await client.publish("orders", "nobody hears it") == 0
        assert await client.spublish("orders", "nobody hears it") == 0
        owner = await cluster.primary_for("orders")
        far = next(node for node in cluster.nodes if node is not owner)
        async with (
            subscribed(owner, ("SSUBSCRIBE", "orders"), ("SUBSCRIBE", "plain")) as near,
            subscribed(far, ("PSUBSCRIBE", "pl*")) as distant,
        ):
            for number in range(100):
                assert await client.spublish("orders", number) == 1
                await client.publish("plain", number)
            expected = [b"%d" % number for number in range(100)]
            await eventually(lambda: len(near.payloads()) == 200)
            await eventually(lambda: len(distant.payloads()) == 100)
            shard = [push[2] for push in near.pushes if push[0] == b"smessage"]
            assert shard == expected
            assert distant.payloads() == expected


async def test_pubsub_of_the_whole_cluster(cluster):
    owner = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(owner)
    other = next(node for node in await cluster.primaries() if node is not owner)
    async with (
        client_of(cluster, decode_responses=True) as client,
        subscribed(owner, ("SUBSCRIBE", "news", "a"), ("SSUBSCRIBE", "orders")),
        subscribed(other, ("SUBSCRIBE", "news"), ("PSUBSCRIBE", "n*")),
        subscribed(replica, ("SUBSCRIBE", "b"), ("PSUBSCRIBE", "n*"), ("SSUBSCRIBE", "orders")),
    ):
        assert await client.pubsub_channels() == {"news", "a", "b"}
        assert await client.pubsub_channels("n*") == {"news"}
        assert await client.pubsub_numsub("news", "b", "c") == {"news": 2, "b": 1, "c": 0}
        assert await client.pubsub_numsub() == {}
        assert await client.pubsub_numpat() == 2
        # For shard channels only the primaries' subscribers count.
        assert await client.pubsub_shardchannels() == {"orders"}
        assert await client.pubsub_shardchannels("x*") == set()
        assert await client.pubsub_shardnumsub("orders", "x") == {"orders": 1, "x": 0}
        assert await client.execute_command("PUBSUB NUMPAT") == 2
        assert await client.execute_command("PUBSUB", "NUMPAT", node=owner.id) == 0


# --- redirections ---------------------------------------------------------------------------------


async def test_moved_is_followed_and_remembered(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster, retry_policy=NoRetryPolicy()) as client:
        topology = client.connection_pool.topology
        await cluster.move_slots([SLOT], source, target)
        async with subscribed(target, ("SSUBSCRIBE", "orders")) as subscriber:
            assert client.connection_pool.topology is topology
            assert await client.spublish("orders", "moved") == 1
            assert client.connection_pool.cluster_layout.node_for_slot(SLOT).node_id == target.id
            assert await client.spublish("orders", "remembered") == 1
            await eventually(lambda: subscriber.payloads() == [b"moved", b"remembered"])
        await cluster.move_slots([SLOT], target, source)


async def test_ask_during_a_move(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster) as client:
        await client.execute_command("SET", "{orders}here", "1")
        await cluster.begin_move(SLOT, source, target)
        assert await client.execute_command("SET", "{orders}there", "2") is not None
        assert await target.execute("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 1
        assert await client.execute_command("GET", "{orders}here") == b"1"
        assert await client.execute_command("GET", "{orders}there") == b"2"
        # Until the move is finished the slot's owner stays the same.
        assert client.connection_pool.cluster_layout.node_for_slot(SLOT).node_id == source.id
        with pytest.raises(exceptions.TryAgainError):
            await client.execute_command("MGET", "{orders}here", "{orders}there")
        await cluster.finish_move(SLOT, source, target)
        assert await client.execute_command("MGET", "{orders}here", "{orders}there") == [b"1", b"2"]
        await client.execute_command("DEL", "{orders}here", "{orders}there")
    await cluster.move_slots([SLOT], target, source)


# --- failures -------------------------------------------------------------------------------------


async def test_a_primary_is_killed(cluster):
    victim = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(victim)
    async with client_of(cluster) as client:
        assert await client.spublish("orders", "before") == 0
        cluster.kill(victim)
        await eventually(lambda: client.connection_pool.idle == 0)
        began = time.monotonic()
        errors = 0

        async def published() -> bool:
            nonlocal errors
            try:
                await client.spublish("orders", "after")
            except (exceptions.ConnectionError, exceptions.ClusterDownError):
                errors += 1
                return False
            return True

        # Plain channels, pings and counts do not need that node.
        for number in range(20):
            await client.publish("orders", number)
            await client.ping()
        assert time.monotonic() - began < 1
        await eventually(published, timeout=15)
        assert errors
        assert client.connection_pool.cluster_layout.node_for_slot(SLOT).node_id == replica.id
        assert await client.pubsub_channels() == set()


async def test_a_default_client_rides_out_a_graceful_failover(cluster):
    primary = await cluster.primary_for("orders")
    (replica,) = await cluster.replicas_of(primary)
    async with client_of(cluster) as client:
        done = asyncio.Event()

        async def publish() -> int:
            count = 0
            while not done.is_set():
                await client.spublish("orders", count)
                count += 1
            return count

        publishing = asyncio.create_task(publish())
        await cluster.failover(replica)
        done.set()
        assert await publishing > 0


async def test_a_command_at_a_stopped_node_ends(cluster):
    victim = await cluster.primary_for("orders")
    async with client_of(cluster, retry_policy=NoRetryPolicy()) as client:
        await client.spublish("orders", "there is a connection now")
        cluster.pause(victim)
        hanging = asyncio.create_task(client.spublish("orders", "never answered"))
        with pytest.raises(
            exceptions.ConnectionError, match="the other nodes of the cluster call it failed"
        ):
            await asyncio.wait_for(hanging, 10)
        # Commands are no longer sent there: they fail until a replica has taken over.

        async def published() -> bool:
            try:
                await asyncio.wait_for(client.spublish("orders", "again"), 1)
            except exceptions.ClusterDownError as error:
                refused.append(str(error))
                return False
            return True

        refused: list[str] = []
        await eventually(published, timeout=15)
        # In between the servers themselves may say that the cluster is down.
        assert all("call failed" in text or "down" in text.lower() for text in refused), refused
        assert await client.ping() == b"PONG"


async def test_a_publish_that_may_have_been_executed_is_not_sent_twice(cluster):
    async with ClusterProxies(cluster.nodes) as proxies:
        owner = await cluster.primary_for("orders")
        client: RedisCluster[Any] = RedisCluster(
            startup_nodes=proxies.startup_nodes,
            address_remap=proxies.address_remap,
            retry_policy=ConstantRetryPolicy(
                (exceptions.ConnectionError, TimeoutError), retries=5, delay=0.01
            ),
            stream_timeout=0.2,
            connect_timeout=1.0,
        )
        async with client, subscribed(owner, ("SSUBSCRIBE", "orders")) as subscriber:
            await client.spublish("orders", 1)
            proxies[owner].swallow(Direction.TO_CLIENT)
            with pytest.raises(TimeoutError):
                await client.spublish("orders", 2)
            proxies[owner].heal()
            # A command that changes nothing goes to another node.
            for node in cluster.nodes[1:]:
                proxies[node].swallow()
            assert await client.ping() == b"PONG"
            for node in cluster.nodes[1:]:
                proxies[node].heal()
            await eventually(lambda: subscriber.payloads()[:2] == [b"1", b"2"])
            await client.spublish("orders", 3)
            await eventually(lambda: len(subscriber.payloads()) >= 3)
            assert subscriber.payloads() == [b"1", b"2", b"3"]


async def test_a_slot_that_nobody_serves(cluster):
    owner = await cluster.primary_for("orders")
    async with client_of(cluster) as client:
        await owner.execute("CLUSTER", "DELSLOTS", SLOT)
        try:
            began = time.monotonic()
            with pytest.raises(exceptions.ClusterDownError):
                await client.spublish("orders", "x")
            # The client tries again a few times, not for ever.
            assert 0.3 < time.monotonic() - began < 3
            assert await client.publish("orders", "x") == 0
        finally:
            await owner.execute("CLUSTER", "ADDSLOTS", SLOT)
        await client.spublish("orders", "served again")


async def test_what_a_user_may_not(cluster):
    for node in cluster.nodes:
        await node.execute("ACL", "SETUSER", "shy", "on", ">pw", "~*", "&a*", "+@all", "-ping")
    try:
        async with client_of(cluster, username="shy", password="pw") as client:
            await client.publish("abc", "x")
            for forbidden in (client.publish("b", "x"), client.spublish("b", "x"), client.ping()):
                with pytest.raises(exceptions.AuthorizationError):
                    await forbidden
    finally:
        for node in cluster.nodes:
            await node.execute("ACL", "DELUSER", "shy")


async def test_without_replies(cluster):
    owner = await cluster.primary_for("orders")
    async with (
        client_of(cluster, noreply=True) as client,
        subscribed(owner, ("SSUBSCRIBE", "orders")) as subscriber,
    ):
        assert await client.spublish("orders", "x") == 0
        await eventually(lambda: subscriber.payloads() == [b"x"])


async def test_many_tasks_share_a_client(cluster):
    async with client_of(cluster, max_connections=4) as client:
        with pytest.raises(RuntimeError, match="enter the client"):
            await client_of(cluster).ping()
        counts = await asyncio.gather(*(client.spublish(f"c{i}", "x") for i in range(200)))
        assert counts == [0] * 200
        pool = client.connection_pool
        assert pool.in_use == 0
        assert pool.idle <= 4


# --- every server ---------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="function")
async def test_smoke(binary):
    asyncio.get_running_loop().set_debug(True)
    async with EmbeddedCluster(binary=binary, node_timeout=NODE_TIMEOUT) as cluster:
        client = RedisCluster.from_url(cluster.url, decode_responses=True)
        async with client:
            source, target, _ = await cluster.primaries()
            names = [f"channel-{number}" for number in range(50)]
            assert [await client.spublish(name, "x") for name in names] == [0] * 50
            assert await client.publish("plain", "x") == 0
            assert await client.ping() == "PONG"
            moved = [slot for slot in map(key_slot, map(str.encode, names)) if slot < 5000][:5]
            await cluster.move_slots(moved, source, target)
            assert [await client.spublish(name, "x") for name in names] == [0] * 50
            (replica,) = await cluster.replicas_of(target)
            await cluster.failover(replica)
            assert [await client.spublish(name, "x") for name in names] == [0] * 50
            assert await client.pubsub_shardnumsub(*names) == dict.fromkeys(names, 0)
