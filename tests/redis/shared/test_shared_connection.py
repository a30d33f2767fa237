"""The connection that commands share: pairing, cancellation, deadlines, ends, bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from actors.redis import exceptions
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.shared import shared_connection as module
from actors.redis.shared.shared_connection import SharedConnection
from actors.redis.wire.connection import Connection
from actors.redis.wire.resp import pack
from actors.testing import FaultProxy
from tests.redis.helpers import HELLO, peer
from tests.support import eventually

LEFT = exceptions.ConnectionError("the test is over")


@asynccontextmanager
async def shared_to(port: int, **options: Any) -> AsyncIterator[SharedConnection]:
    """Yield a connection that commands to a port of loopback share."""
    location = TCPLocation("127.0.0.1", port)
    noreply = options.pop("noreply", False)
    opened: list[Connection] = []

    async def connect() -> Connection:
        settings = ConnectionSettings(location=location, connect_timeout=2, noreply=noreply)
        opened.append(await Connection.open(settings))
        return opened[-1]

    shared = SharedConnection(connect, location, **{"timeout": 10.0, **options})
    try:
        yield shared
    finally:
        await shared.close(LEFT)
        for connection in opened:
            connection.abort()
            await connection.wait_closed()


def echo(number: object) -> bytes:
    return pack(("ECHO", str(number)))


Commands = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def greets(then: Commands) -> Commands:
    """A peer that answers the handshake, and then does as ``then`` says."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(HELLO)
        await then(reader, writer)

    return handler


# --- pairing --------------------------------------------------------------------------------------


async def test_replies_and_errors_go_to_their_commands(shared_server):
    async with shared_to(shared_server.port) as shared:
        commands = [pack(("NOSUCH",)) if n % 7 == 3 else echo(n) for n in range(5000)]
        replies = await asyncio.gather(*map(shared.submit, commands), return_exceptions=True)
        for n, reply in enumerate(replies):
            if n % 7 == 3:
                assert isinstance(reply, exceptions.UnknownCommandError)
            else:
                assert reply == b"%d" % n
        assert not shared.busy


async def test_all_commands_of_one_turn_leave_in_one_write():
    reads: list[bytes] = []

    async def collects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            reads.append(data)
            writer.write(b"+OK\r\n" * data.count(b"ECHO"))

    async with peer(greets(collects)) as port, shared_to(port) as shared:
        await shared.connect()
        for turn in range(1, 4):
            await asyncio.gather(*(shared.submit(echo(n)) for n in range(200)))
            assert len(reads) == turn


async def test_one_by_one_and_many_at_once_keep_the_order(shared_server):
    async with shared_to(shared_server.port) as shared:
        for n in range(30):
            assert await shared.submit(echo(n)) == b"%d" % n
        futures = [shared.submit(echo(n)) for n in range(50)]
        assert await asyncio.gather(*futures) == [b"%d" % n for n in range(50)]


async def test_pushes_are_no_replies(shared_server):
    async with shared_to(shared_server.port) as shared:
        await shared.submit(pack(("CLIENT", "TRACKING", "ON")))
        await shared.submit(pack(("GET", "key")))
        await shared.submit(pack(("SET", "key", "1")))
        assert await shared.submit(echo("mine")) == b"mine"


async def test_a_reply_without_a_command_ends_the_connection():
    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"+one\r\n+two\r\n")
        await reader.read(1000)

    async with peer(greets(babbles)) as port, shared_to(port) as shared:
        assert await shared.submit(echo(1)) == b"one"
        await eventually(lambda: not shared.connected)


@pytest.mark.parametrize("header", [b"*2147483647\r\n", b"%2147483647\r\n", b">2147483647\r\n"])
async def test_a_reply_that_announces_too_much_ends_the_connection(header):
    async def boasts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(header)
        await reader.read(1000)

    async with peer(greets(boasts)) as port, shared_to(port) as shared:
        with pytest.raises(exceptions.UnansweredError, match="more than any server sends"):
            await shared.submit(echo(1))


# --- cancellation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_at_any_moment_its_reply_is_read_and_discarded(shared_server, turns):
    async with shared_to(shared_server.port) as shared:

        async def ask(n: int) -> bytes:
            await shared.connect()
            reply: bytes = await shared.submit(echo(n))
            return reply

        tasks = [asyncio.create_task(ask(n)) for n in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for n, reply in enumerate(replies):
            assert reply == b"%d" % n or (n % 3 == 0 and isinstance(reply, asyncio.CancelledError))
        assert await shared.submit(echo("after")) == b"after"
        assert not shared.busy


async def test_the_cancellation_of_one_caller_does_not_end_the_attempt_of_all(shared_server):
    async with shared_to(shared_server.port) as shared:
        callers = [asyncio.create_task(shared.connect()) for _ in range(3)]
        await asyncio.sleep(0)
        callers[0].cancel()
        await asyncio.gather(*callers[1:])
        assert shared.connected


# --- deadlines ------------------------------------------------------------------------------------


async def test_no_reply_in_time_closes_the_connection_and_the_next_command_has_a_new_one(
    shared_server,
):
    async with (
        FaultProxy("127.0.0.1", shared_server.port) as net,
        shared_to(net.port, timeout=0.3) as shared,
    ):
        assert await shared.submit(echo(1)) == b"1"
        net.swallow()
        first = shared.submit(echo(2))
        await asyncio.sleep(0.2)
        second = shared.submit(echo(3))
        with pytest.raises(exceptions.ReplyTimeoutError, match=r"within 0\.3 s.*may have been"):
            await first
        with pytest.raises(exceptions.UnansweredError, match=r"another command.*was sent"):
            await second
        net.heal()
        await shared.connect()
        assert await shared.submit(echo(4)) == b"4"
        assert net.accepted == 2


async def test_replies_that_came_while_the_loop_was_held_are_no_timeout(shared_server):
    async with shared_to(shared_server.port, timeout=2.0) as shared:
        await shared.connect()
        replies = [shared.submit(echo("x" * 1000)) for _ in range(500)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(2.5)
        assert await asyncio.gather(*replies) == [b"x" * 1000] * 500


async def test_a_late_reply_is_told_while_it_is_late(server):
    told: list[None] = []
    async with shared_to(server.port, late=lambda: told.append(None)) as shared:
        await shared.submit(echo(1))
        server.pause()
        reply = shared.submit(echo(2))
        await eventually(lambda: len(told) >= 2)
        server.resume()
        assert await reply == b"2"


# --- the end of the connection --------------------------------------------------------------------


async def test_a_lost_connection_says_that_the_commands_were_sent():
    async def drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first")
        await reader.readuntil(b"last\r\n")
        writer.write(b"+OK\r\n")

    async with peer(greets(drops)) as port, shared_to(port) as shared:
        replies = [shared.submit(echo(name)) for name in ("first", "middle", "last")]
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert results[0] == b"OK"
        for error in results[1:]:
            assert isinstance(error, exceptions.UnansweredError)
            assert "the command was sent, and may have been carried out" in str(error)
        assert results[1] is not results[2]


async def test_what_was_not_sent_goes_over_the_next_connection(server):
    async with shared_to(server.port) as shared:
        assert await shared.submit(echo(1)) == b"1"
        # The end comes while the loop is busy: nothing has told this side yet.
        server.kill()
        await server.restart()
        await asyncio.sleep(0)
        time.sleep(0.15)
        assert await shared.submit(echo(2)) == b"2"


async def test_where_nobody_listens_queued_commands_fail_with_the_reason(server):
    async with shared_to(server.port) as shared:
        await shared.submit(echo(1))
        server.kill()
        await eventually(lambda: not shared.connected)
        results = await asyncio.gather(
            *(shared.submit(echo(n)) for n in range(3)), return_exceptions=True
        )
        for error in results:
            assert isinstance(error, exceptions.ConnectionError)
            assert not isinstance(error, exceptions.UnansweredError)
            assert "refused" in str(error)


async def test_leaving_fails_what_is_queued_and_what_is_in_flight(server):
    async with shared_to(server.port) as shared:
        await shared.submit(echo(1))
        server.pause()
        sent = shared.submit(echo(2))
        await asyncio.sleep(0.01)
        queued = shared.submit(echo(3))
        await shared.close(LEFT)
        with pytest.raises(exceptions.UnansweredError, match="was sent"):
            await sent
        with pytest.raises(exceptions.ConnectionError, match="was not sent"):
            await queued
        with pytest.raises(exceptions.ConnectionError, match="the test is over"):
            await shared.connect()
        with pytest.raises(exceptions.ConnectionError, match="the test is over"):
            await shared.submit(echo(4))
        server.resume()


async def test_a_peer_that_greets_and_closes_is_called_after_growing_pauses():
    calls: list[float] = []

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(asyncio.get_running_loop().time())

    async with peer(greets(closes)) as port, shared_to(port) as shared:
        for _ in range(8):
            try:
                await shared.connect()
                await shared.submit(echo(1))
            except exceptions.ConnectionError:
                pass
        pauses = [after - before for before, after in pairwise(calls)]
        assert max(pauses[-2:]) > 0.1


async def test_an_unused_connection_is_closed_after_its_time(shared_server):
    async with shared_to(shared_server.port, max_idle_time=0.1) as shared:
        for n in range(2):
            assert await shared.submit(echo(n)) == b"%d" % n
            await eventually(lambda: not shared.connected)


async def test_callers_that_wait_for_a_connection_get_it_in_their_order(shared_server):
    """The commands of a batch that a node did not take wait for the next node like this."""
    woken = []

    async def call(shared: SharedConnection, number: int) -> None:
        await shared.connect()
        woken.append(number)

    async with shared_to(shared_server.port) as shared:
        callers = [asyncio.create_task(call(shared, number)) for number in range(1000)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        await asyncio.wait(callers)
    assert woken == list(range(1, 1000, 2))


# --- back-pressure --------------------------------------------------------------------------------


async def test_the_bytes_in_flight_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 10_000)
    received, answer = 0, asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while data := await reader.read(1 << 20):
            received += len(data)
            await answer.wait()
            writer.write(b"+OK\r\n" * data.count(b"ECHO"))

    async with peer(greets(slow)) as port, shared_to(port) as shared:
        replies = [shared.submit(echo("x" * 1000)) for _ in range(100)]
        await eventually(lambda: received > 5_000)
        await asyncio.sleep(0.05)
        assert received <= 10_000
        assert not any(reply.done() for reply in replies)
        answer.set()
        assert await asyncio.gather(*replies) == [b"OK"] * 100


async def test_a_command_whose_caller_is_gone_is_not_kept_while_it_has_to_wait(monkeypatch):
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 10_000)
    echoed, answer = 0, asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal echoed
        while data := await reader.read(1 << 20):
            echoed += data.count(b"ECHO")
            await answer.wait()
            writer.write(b"+OK\r\n" * data.count(b"ECHO"))

    async with peer(greets(slow)) as port, shared_to(port) as shared:
        await shared.connect()
        kept = [shared.submit(echo("x" * 1000)) for _ in range(20)]
        for _ in range(50):
            gone = [shared.submit(echo("y" * 1000)) for _ in range(100)]
            await asyncio.sleep(0)
            for reply in gone:
                reply.cancel()
            assert len(shared._queue) <= 1000
        kept += [shared.submit(echo("z" * 1000)) for _ in range(20)]
        answer.set()
        assert await asyncio.gather(*kept) == [b"OK"] * 40
        assert echoed < 1000


async def test_a_command_larger_than_the_bound_is_sent_alone(shared_server, monkeypatch):
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 1000)
    async with shared_to(shared_server.port) as shared:
        replies = [shared.submit(echo("x" * size)) for size in (10, 100_000, 10, 900, 900)]
        assert [len(reply) for reply in await asyncio.gather(*replies)] == [
            *(10, 100_000, 10, 900, 900)
        ]


# --- no replies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("noreply", [False, True])
async def test_posted_commands_leave_and_nobody_waits_for_replies(shared_server, noreply):
    async with shared_to(shared_server.port) as other:
        async with shared_to(shared_server.port, noreply=noreply) as shared:
            await asyncio.gather(*(shared.post(pack(("INCR", "posted"))) for _ in range(100)))
            await eventually(lambda: _equals(other, "posted", b"100"))
        await other.submit(pack(("DEL", "posted")))


async def _equals(shared: SharedConnection, key: str, value: bytes) -> bool:
    return bool(await shared.submit(pack(("GET", key))) == value)
