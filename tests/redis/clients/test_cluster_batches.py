"""Batches on a cluster: by node, redirected, in transactions; and redirections to nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import msgspec
import pytest
import pytest_asyncio

from actors import History, RedisCluster, exceptions
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import EmbeddedCluster
from supervisor.model.retry_policy import NoRetryPolicy
from tests.clusters.lending import NODE_TIMEOUT, client_of
from tests.redis.helpers import HELLO, peer
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"orders")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster(node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


async def opened(cluster: EmbeddedCluster) -> int:
    """How many connections the nodes have accepted so far."""
    infos = await asyncio.gather(*(node.info("stats") for node in cluster.nodes))
    return sum(int(info["total_connections_received"]) for info in infos)


async def test_any_number_of_commands_opens_one_connection_to_each_node(cluster):
    names = [f"c{n}" for n in range(60)]
    # Asking the nodes costs connections, too.
    before = await opened(cluster)
    asking = await opened(cluster) - before
    async with client_of(cluster) as client:
        await client.connection_pool.refresh()
        before = await opened(cluster)
        for _ in range(5):
            await asyncio.gather(
                *(client.spublish(name, "x") for name in names * 5),
                *(client.publish(name, "x") for name in names * 5),
                client.publish_many([(name, "x") for name in names * 5], sharded=True),
            )
        assert await opened(cluster) - before - asking <= 3
        assert client.connection_pool.in_use == 0


async def test_a_pipeline_over_all_nodes(cluster):
    async with client_of(cluster) as client:
        async with client.pipeline() as pipe:
            for n in range(100):
                pipe.execute_command("SET", f"key{n}", n)
            values = [pipe.execute_command("GET", f"key{n}") for n in range(100)]
            pong, patterns = pipe.ping(), pipe.pubsub_numpat()
        assert [await value for value in values] == [str(n) for n in range(100)]
        assert (await pong, await patterns) == ("PONG", 0)
        with pytest.raises(exceptions.ClusterCrossSlotError) as caught:
            async with client.pipeline() as pipe:
                pipe.execute_command("MGET", "key1", "key2")
                last = pipe.execute_command("GET", "key1")
        assert "command 1 of 2: MGET" in caught.value.__notes__
        assert await last == "1"


async def test_moved_within_a_batch_is_followed_in_order(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster, retry_policy=NoRetryPolicy()) as client:
        await client.spublish("orders", "there is a connection")
        await client.execute_command("DEL", "orders")
        await cluster.move_slots([SLOT], source, target)
        async with client.pipeline() as pipe:
            for n in range(200):
                pipe.execute_command("RPUSH", "orders", n)
                pipe.execute_command("SET", f"key{n}", n)
        assert pipe.results[::2] == tuple(range(1, 201))
        expected = [str(n) for n in range(200)]
        assert await client.execute_command("LRANGE", "orders", 0, -1) == expected
        assert client.connection_pool.cluster_layout.node_for_slot(SLOT).node_id == target.id
        await client.execute_command("DEL", "orders")
        await cluster.move_slots([SLOT], target, source)
        assert await client.publish_many([("orders", n) for n in range(500)], sharded=True) == (
            [0] * 500
        )


async def test_ask_within_a_batch_is_followed(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster) as client:
        await client.execute_command("SET", "{orders}here", "1")
        await cluster.begin_move(SLOT, source, target)
        async with client.pipeline() as pipe:
            for n in range(20):
                pipe.execute_command("SET", f"{{orders}}there{n}", n)
                pipe.execute_command("GET", "{orders}here")
        assert pipe.results[1::2] == ("1",) * 20
        assert await target.execute("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 20
        with pytest.raises(exceptions.TryAgainError, match="a transaction cannot follow"):
            async with client.pipeline(transaction=True) as pipe:
                pipe.execute_command("SET", "{orders}new", 1)
        await cluster.finish_move(SLOT, source, target)
        keys = ["{orders}here", *(f"{{orders}}there{n}" for n in range(20))]
        assert await client.execute_command("DEL", *keys) == 21
    await cluster.move_slots([SLOT], target, source)


async def test_a_transaction_of_one_slot_follows_moved(cluster):
    source = await cluster.primary_for("orders")
    target = next(node for node in await cluster.primaries() if node is not source)
    async with client_of(cluster) as client:

        async def twice() -> tuple[Any, ...]:
            async with client.pipeline(transaction=True) as pipe:
                pipe.execute_command("INCR", "{orders}n")
                pipe.execute_command("INCR", "{orders}n")
            return pipe.results

        assert await twice() == (1, 2)
        await cluster.move_slots([SLOT], source, target)
        assert await twice() == (3, 4)
        await cluster.move_slots([SLOT], target, source)
        assert await twice() == (5, 6)
        await client.execute_command("DEL", "{orders}n")
        with pytest.raises(exceptions.ClusterTransactionError, match="hash tag"):
            async with client.pipeline(transaction=True) as pipe:
                pipe.execute_command("GET", "a")
                pipe.execute_command("GET", "b")
        with pytest.raises(exceptions.ClusterTransactionError):
            async with client.pipeline(transaction=True) as pipe:
                pipe.ping()


async def test_what_blocks_is_sent_to_the_owner_alone(cluster):
    async with client_of(cluster) as client:
        blocked = asyncio.create_task(client.execute_command("BLPOP", "list", 0))
        await eventually(lambda: client.connection_pool.in_use == 1)
        assert await client.execute_command("RPUSH", "list", "x") == 1
        assert await blocked == ["list", "x"]
        with pytest.raises(exceptions.DataError, match="sharded_pubsub"):
            await client.execute_command("SSUBSCRIBE", "x")


async def test_a_batch_without_replies(cluster):
    async with client_of(cluster) as client, client_of(cluster, noreply=True) as quiet:
        async with quiet.pipeline() as pipe:
            for n in range(30):
                pipe.execute_command("SET", f"quiet{n}", n)
        assert pipe.results == (None,) * 30

        async def all_set() -> bool:
            values = [await client.execute_command("GET", f"quiet{n}") for n in range(30)]
            return values == [str(n) for n in range(30)]

        await eventually(all_set)


# --- redirections to nowhere ----------------------------------------------------------------------


@asynccontextmanager
async def node_that_says(redirection: bytes) -> AsyncIterator[RedisCluster[Any]]:
    """Yield a client of a node that owns all slots, and redirects each SPUBLISH all the same."""
    ports: list[int] = []

    def answer(command: list[bytes]) -> bytes:
        match command:
            case [b"HELLO", *_]:
                return HELLO
            case [b"CLUSTER", b"NODES"]:
                text = b"a" * 40 + b" 127.0.0.1:%d@1 myself,master - 0 0 1 connected 0-16383\n"
                text %= ports[0]
                return b"$%d\r\n%s\r\n" % (len(text), text)
            case [b"SPUBLISH", *_]:
                return redirection
            case [b"CLUSTER" | b"INFO", *_]:
                return b"-ERR unknown subcommand\r\n"
        return b"+PONG\r\n"

    async with peer(_serve(answer)) as port:
        ports.append(port)
        client: RedisCluster[Any] = RedisCluster(
            "127.0.0.1", port, retry_policy=NoRetryPolicy(), max_connections=2, pool_timeout=1
        )
        async with client:
            yield client


def _serve(answer: Callable[[list[bytes]], bytes]) -> Any:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                writer.write(answer(command))

    return handler


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(
    "redirection",
    [
        b"-MOVED 1 127.0.0.1:99999\r\n",
        b"-MOVED 1 127.0.0.1:0\r\n",
        b"-MOVED 1 127.0.0.1:-1\r\n",
        b"-MOVED 1 two words:6379\r\n",
        b"-MOVED 99999 127.0.0.1:6379\r\n",
        b"-MOVED -1 127.0.0.1:6379\r\n",
        b"-MOVED one 127.0.0.1:6379\r\n",
        b"-MOVED 1\r\n",
        b"-ASK 1 127.0.0.1:70000\r\n",
        b"-ASK 1 a\x00b:6379\r\n",
    ],
)
async def test_a_redirection_to_no_address_is_an_error_and_costs_nothing(redirection):
    async with node_that_says(redirection) as client:
        for _ in range(5):
            with pytest.raises(exceptions.RedisError):
                await client.spublish("a", "x")
            with pytest.raises(exceptions.RedisError):
                await client.publish_many([("a", "x")] * 3, sharded=True)
        assert await client.ping() == b"PONG"
        assert client.connection_pool.in_use == 0
        async with client.connection_pool.connection("a" * 40) as connection:
            assert await connection.execute("PING") == b"PONG"


async def test_an_address_that_is_none_costs_no_place(cluster):
    async with client_of(cluster, max_connections=1, pool_timeout=0.5) as client:
        pool = client.connection_pool
        for address in (("127.0.0.1", 70_000), ("", 6379), ("two words", 6379), ("a\x00b", 6379)):
            for _ in range(3):
                with pytest.raises((ValueError, exceptions.RedisError)):
                    await pool.acquire_at(address)
            with pytest.raises((ValueError, exceptions.RedisError)):
                await pool.shared_at(address).connect()
        async with pool.connection(cluster.nodes[0].id) as connection:
            assert await connection.execute("PING") == b"PONG"


class Order(msgspec.Struct):
    id: int


async def test_messages_are_encoded_as_on_one_server(cluster):
    async with client_of(cluster) as client:
        await client.execute_command("DEL", "{orders}:history")
        await client.publish("orders", Order(1))
        await client.spublish("orders", Order(2), history=History())
        await client.publish_many([("orders", {"id": 3})], sharded=True, history=History())
        async with client.pipeline() as pipe:
            pipe.publish("orders", [Order(4)], history=History())
        entries = await client.execute_command("XRANGE", "{orders}:history", "-", "+")
        assert [fields[1] for _, fields in entries] == ['{"id":2}', '{"id":3}', '[{"id":4}]']
        with pytest.raises(exceptions.DataError, match="message of type object"):
            await client.spublish("orders", object())  # type: ignore[call-overload]
