"""Pipelines, publish_many, and the commands that have a connection of their own."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from actors import PubSubMessage, Redis, exceptions
from actors.redis.wire.resp import pack
from actors.testing import FaultProxy
from tests.redis.helpers import HELLO, peer
from tests.support import eventually


@pytest.fixture
async def client(shared_server):
    async with Redis.from_url(shared_server.url, decode_responses=True) as client:
        yield client
        await client.execute_command("FLUSHALL")


async def opened(client) -> int:
    """How many connections the server has accepted so far."""
    info = await client.execute_command("INFO", "stats")
    return int(info.partition("total_connections_received:")[2].split()[0])


async def test_a_pipeline_returns_its_results_in_order(client):
    async with client.pubsub(channels=["orders"]):
        async with client.pipeline() as pipe:
            with pytest.raises(RuntimeError, match="no results before"):
                _ = pipe.results
            published = pipe.publish("orders", "é")
            raised = pipe.execute_command("INCR", "number")
            pong, echo = pipe.ping(), pipe.echo("ö")
            channels, numbers = pipe.pubsub_channels(), pipe.pubsub_numsub("orders")
            with pytest.raises(RuntimeError, match="has not sent this command"):
                await published
        assert await published == 1
        assert (await raised, await pong, await echo) == (1, "PONG", "ö")
        assert (await channels, await numbers) == ({"orders"}, {"orders": 1})
        assert pipe.results == (1, 1, "PONG", "ö", {"orders"}, {"orders": 1})
        with pytest.raises(RuntimeError, match="sent already"):
            pipe.ping()


async def test_the_error_of_a_connection_names_no_command_of_another_task():
    async def closes(reader, writer):
        await reader.read(65536)
        writer.write(HELLO)
        await reader.read(65536)

    async def send(client, name):
        async with client.pipeline() as pipe:
            pipe.publish(name, "x")

    async with peer(closes) as port, Redis("127.0.0.1", port) as client:
        await client.connection_pool.shared().connect()
        both = await asyncio.gather(send(client, "a"), send(client, "b"), return_exceptions=True)
        for error in both:
            assert isinstance(error, exceptions.ConnectionError)
            assert not hasattr(error, "__notes__")


async def test_nothing_is_sent_where_the_block_raises_or_is_empty(client):
    with pytest.raises(LookupError):
        async with client.pipeline() as pipe:
            pipe.execute_command("SET", "key", "value")
            raise LookupError
    async with client.pipeline() as pipe:
        pass
    assert pipe.results == ()
    assert await client.execute_command("GET", "key") is None


async def test_one_error_stops_no_other_command_and_is_raised(client):
    with pytest.raises(exceptions.UnknownCommandError) as caught:
        async with client.pipeline() as pipe:
            pipe.execute_command("SET", "key", "1")
            pipe.execute_command("NOSUCH", "x")
            last = pipe.execute_command("INCR", "key")
    assert caught.value.__notes__ == ["command 2 of 3: NOSUCH"]
    assert await last == 2
    async with client.pipeline(raise_on_error=False) as pipe:
        failed = pipe.execute_command("NOSUCH")
        pipe.execute_command("INCR", "key")
    assert isinstance(pipe.results[0], exceptions.UnknownCommandError)
    assert pipe.results[1] == 3
    with pytest.raises(exceptions.UnknownCommandError):
        await failed


async def test_what_cannot_be_sent_is_refused_before_anything_is(client):
    with pytest.raises(exceptions.DataError, match="NoneType"):
        async with client.pipeline() as pipe:
            pipe.execute_command("SET", "key", "1")
            pipe.publish("channel", None)
    assert await client.execute_command("GET", "key") is None
    async with client.pipeline() as pipe:
        with pytest.raises(exceptions.DataError, match="BLPOP blocks"):
            pipe.execute_command("BLPOP", "key", 0)
        with pytest.raises(exceptions.DataError, match="MULTI is about the connection"):
            pipe.execute_command("MULTI")


async def test_no_command_of_another_task_comes_between_those_of_a_transaction(client):
    async def add() -> None:
        async with client.pipeline(transaction=True) as pipe:
            pipe.execute_command("GET", "n")
            pipe.execute_command("INCR", "n")
            pipe.execute_command("GET", "n")
        before, after, again = pipe.results
        assert int(before or 0) + 1 == after == int(again)

    await asyncio.gather(*(add() for _ in range(50)), *(client.ping() for _ in range(50)))
    assert await client.execute_command("GET", "n") == "50"


async def test_a_transaction_with_a_bad_command_is_discarded(client):
    with pytest.raises(exceptions.UnknownCommandError, match="NOSUCH") as caught:
        async with client.pipeline(transaction=True) as pipe:
            pipe.execute_command("SET", "key", "1")
            pipe.execute_command("NOSUCH")
    assert "command 2 of 2" in caught.value.__notes__[0]
    assert isinstance(pipe.results[0], exceptions.ExecAbortError)
    assert await client.execute_command("GET", "key") is None
    # An error of execution is that of one command alone.
    async with client.pipeline(transaction=True, raise_on_error=False) as pipe:
        pipe.execute_command("SET", "key", "x")
        pipe.execute_command("INCR", "key")
        pipe.execute_command("GET", "key")
    assert pipe.results[::2] == ("OK", "x")
    assert isinstance(pipe.results[1], exceptions.ResponseError)


async def test_a_timeout_ends_the_wait_and_leaves_the_connection_in_use(server):
    async with Redis(server.host, server.port) as client:
        await client.ping()
        server.pause()
        with pytest.raises(exceptions.ReplyTimeoutError, match="2 commands may have been"):
            async with client.pipeline(timeout=0.1) as pipe:
                pipe.execute_command("INCR", "n")
                pipe.ping()
        server.resume()
        assert await client.echo("mine") == b"mine"
        assert await client.execute_command("GET", "n") == b"1"


async def test_a_lost_connection_tells_which_commands_were_answered():
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(HELLO)
        await reader.readuntil(pack(("ECHO", "last")))
        writer.write(b"+one\r\n")

    async with peer(half) as port, Redis("127.0.0.1", port) as client:
        async with client.pipeline(raise_on_error=False) as pipe:
            for word in ("one", "two", "last"):
                pipe.echo(word)
        assert pipe.results[0] == b"one"
        assert all(isinstance(error, exceptions.UnansweredError) for error in pipe.results[1:])


async def test_a_cancelled_pipeline_shifts_no_reply(client):
    for turns in range(6):

        async def send() -> None:
            async with client.pipeline() as pipe:
                for n in range(100):
                    pipe.echo(str(n))

        task = asyncio.create_task(send())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await client.echo("mine") == "mine"


# --- publish_many ---------------------------------------------------------------------------------


async def test_publish_many_counts_receivers_and_keeps_the_order(client):
    got: list[tuple[str, str]] = []

    def take(message: PubSubMessage) -> None:
        got.append((message["channel"], message["data"]))

    async with client.pubsub(channel_handlers={"a": take, "b": take}):
        messages = [("ab"[n % 2], n) for n in range(5000)]
        assert await client.publish_many(messages) == [1] * 5000
        await eventually(lambda: len(got) == 5000)
    for name in "ab":
        assert [n for at, n in got if at == name] == [str(n) for at, n in messages if at == name]
    assert await client.publish_many([("a", "x"), ("b", "y")], sharded=True) == [0, 0]
    assert await client.publish_many([]) == []


async def test_publish_many_takes_messages_as_it_sends_them(client):
    taken = 0

    def messages():
        nonlocal taken
        for taken in count(1):
            yield ("a", b"x" if taken < 4500 else None)

    # The generator never ends; the bad message ends the call.
    with pytest.raises(exceptions.DataError, match="NoneType"):
        await client.publish_many(messages())
    assert 4500 <= taken <= 10_000


async def test_publish_many_has_a_bounded_number_of_bytes_in_hand(client):
    taken, seen = 0, []

    def messages():
        nonlocal taken
        for _ in range(60):
            taken += 1
            yield ("a", bytes(1_000_000))

    sending = asyncio.create_task(client.publish_many(messages()))
    while not sending.done():
        await asyncio.sleep(0)
        seen.append(taken)
    assert len(await sending) == 60
    assert seen[0] <= 20  # of a batch of two thousand, all would be there at once
    assert sorted({*seen}) != [60]


@pytest.mark.parametrize("wrong", ["ab", ["ab", "cd"], {"ab": "x"}, [b"ab"]])
async def test_publish_many_takes_no_text_for_a_pair(client, wrong):
    async with client.pubsub(channels=["a"]):
        with pytest.raises(TypeError, match="pairs of channel and message"):
            await client.publish_many(wrong)
        assert await client.publish_many([("a", 1), ("a", 2.5), ("a", "x")]) == [1, 1, 1]


async def test_publish_many_without_replies(client, shared_server):
    got: list[str] = []
    async with (
        Redis.from_url(shared_server.url, noreply=True) as quiet,
        client.pubsub(channel_handlers={"a": lambda message: got.append(message["data"])}),
    ):
        assert await quiet.publish_many([("a", n) for n in range(50)]) == [0] * 50
        await eventually(lambda: got == [str(n) for n in range(50)])


# --- one connection -------------------------------------------------------------------------------


async def test_any_number_of_commands_opens_one_connection(client):
    before = await opened(client)
    for _ in range(3):
        await asyncio.gather(*(client.publish("a", n) for n in range(1000)))
    assert await opened(client) == before
    assert client.connection_pool.in_use <= 1


async def test_what_blocks_has_a_connection_of_its_own(client):
    blocked = asyncio.create_task(client.execute_command("BLPOP", "list", 0))
    await eventually(lambda: client.connection_pool.in_use >= 1)
    assert await client.ping() == "PONG"
    await client.execute_command("RPUSH", "list", "x")
    assert await blocked == ["list", "x"]
    before = await opened(client)
    assert await client.execute_command("BLPOP", "list", 0.01) is None
    assert await opened(client) == before


async def test_a_command_that_blocks_may_take_longer_than_a_reply(shared_server):
    async with Redis.from_url(shared_server.url, stream_timeout=0.3) as client:
        assert await client.execute_command("BLPOP", "nothing", 0.6) is None


async def test_nothing_waits_for_ever_on_a_dead_network(shared_server):
    async with (
        FaultProxy("127.0.0.1", shared_server.port) as net,
        Redis("127.0.0.1", net.port, stream_timeout=0.3, connect_timeout=1.0) as client,
    ):
        await client.ping()
        net.swallow()
        results = await asyncio.gather(
            *(client.publish("a", n) for n in range(10)),
            client.publish_many([("a", "x")] * 10),
            client.execute_command("BLPOP", "nothing", 0.1),
            return_exceptions=True,
        )
        assert all(
            isinstance(error, exceptions.UnansweredError | TimeoutError) for error in results
        )
        net.heal()
        assert await client.publish("a", "x") == 0
