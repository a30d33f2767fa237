"""One connection to a real server: commands, order, pushes, flow control, the end."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from actors.redis.config.locations import TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import (
    ConnectionError,  # noqa: A004
    DataError,
    ResponseError,
    UnknownCommandError,
)
from actors.redis.wire.connection import Connection
from actors.redis.wire.pending_reply import FuturePending, Pending
from actors.redis.wire.resp import INCOMPLETE, pack
from actors.testing import EmbeddedServer
from tests.redis.helpers import HELLO, peer, says, settings_of
from tests.support import eventually


@pytest.fixture
async def connection(shared_server):
    connection = await Connection.open(settings_of(shared_server))
    yield connection
    connection.close()
    await connection.wait_closed()


async def test_a_connection_knows_who_and_where_it_is(connection, shared_server):
    assert await connection.execute("CLIENT", "ID") > 0
    assert connection.location.port == shared_server.port
    assert connection.lost is None
    assert connection.usable
    assert f"to {connection.location}, open" in repr(connection)


async def test_the_handshake_sets_everything_that_was_asked_for(shared_server):
    settings = settings_of(shared_server, db=3, client_name="me", noevict=True)
    connection = await Connection.open(settings)
    info = (await connection.execute("CLIENT", "INFO")).decode()
    connection.close()
    await connection.wait_closed()
    fields = dict(field.split("=", 1) for field in info.split())
    assert (fields["db"], fields["name"], fields["resp"]) == ("3", "me", "3")
    assert "e" in fields["flags"]


@pytest.mark.embedded_only
async def test_notouch_reaches_the_server(shared_server):
    connection = await Connection.open(settings_of(shared_server, notouch=True))
    info = (await connection.execute("CLIENT", "INFO")).decode()
    connection.close()
    await connection.wait_closed()
    assert "T" in dict(field.split("=", 1) for field in info.split())["flags"]


async def test_replies_are_bytes_and_errors_are_raised(connection):
    assert await connection.execute("SET", "key", "é") == b"OK"
    assert await connection.execute("GET", "key") == "é".encode()
    with pytest.raises(UnknownCommandError, match="NOSUCH"):
        await connection.execute("NOSUCH")
    with pytest.raises(DataError, match="NoneType"):
        await connection.execute("SET", "key", None)
    assert await connection.execute("PING") == b"PONG"


async def test_pipelined_commands_are_answered_in_order(connection):
    futures = []
    for number in range(2000):
        futures.append(connection.send_command("ECHO", number))
        if number % 100 == 0:
            futures.append(connection.send_command("NOSUCH"))
    replies = await asyncio.gather(*futures, return_exceptions=True)
    numbers = [int(reply) for reply in replies if isinstance(reply, bytes)]
    assert numbers == list(range(2000))
    assert sum(isinstance(reply, UnknownCommandError) for reply in replies) == 20
    assert not connection.pending


async def test_large_payloads_pass_whole_and_the_buffer_grows_with_them(connection):
    small = len(connection.get_buffer(-1))
    payload = bytes(range(256)) * 2048
    for _ in range(8):
        assert await connection.execute("ECHO", payload) == payload
    assert small <= 64 * 1024
    assert small <= len(connection.get_buffer(-1)) <= 1024 * 1024
    assert connection.bytes_read > 8 * len(payload)


async def test_a_cancelled_command_does_not_shift_the_replies(connection):
    task = asyncio.create_task(connection.execute("ECHO", "cancelled"))
    await asyncio.sleep(0)
    task.cancel()
    assert await connection.execute("ECHO", "mine") == b"mine"
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_raises_and_closes_the_connection(connection):
    with pytest.raises(TimeoutError, match=r"did not answer 'BLPOP' within 0.05 s") as caught:
        await connection.execute("BLPOP", "nothing", 0, timeout=0.05)
    assert connection.lost is caught.value
    assert not connection.usable
    with pytest.raises(ConnectionError, match=r"is closed: .*BLPOP"):
        await connection.execute("PING")
    await connection.wait_closed()


async def test_stream_timeout_is_the_default_and_can_be_overridden(shared_server):
    connection = await Connection.open(settings_of(shared_server, stream_timeout=0.05))
    assert await connection.execute("BLPOP", "nothing", 0.1, timeout=None) is None
    with pytest.raises(TimeoutError):
        await connection.execute("BLPOP", "nothing", 0)
    await connection.wait_closed()


async def test_a_frozen_server_is_a_timeout(server):
    connection = await Connection.open(settings_of(server))
    server.pause()
    try:
        with pytest.raises(TimeoutError):
            await connection.execute("PING", timeout=0.1)
    finally:
        server.resume()
    await connection.wait_closed()


async def test_a_server_killed_in_the_middle_fails_all_that_is_pending(server):
    connection = await Connection.open(settings_of(server))
    calls = []
    connection.add_close_callback(lambda *args: calls.append(args))
    futures = [connection.send_command("BLPOP", "nothing", 0) for _ in range(3)]
    await asyncio.sleep(0.05)
    server.kill()
    errors = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(error) for error in errors] == [ConnectionError] * 3
    assert len(set(map(id, errors))) == 3
    assert str(server.port) in str(errors[0])
    await connection.wait_closed()
    assert calls == [(connection, connection.lost)]
    late = []
    connection.add_close_callback(lambda *args: late.append(args))
    await eventually(lambda: late == calls)
    with pytest.raises(ConnectionError):
        connection.write(b"")
    with pytest.raises(ConnectionError):
        await connection.drain_writes()
    assert "closed" in repr(connection)


async def test_client_kill_is_seen_at_once(connection, shared_server):
    other = await Connection.open(settings_of(shared_server))
    victim = await connection.execute("CLIENT", "ID")
    assert await other.execute("CLIENT", "KILL", "ID", victim) == 1
    other.close()
    await other.wait_closed()
    async with asyncio.timeout(1):
        await connection.wait_closed()
    assert isinstance(connection.lost, ConnectionError)


async def test_closing_is_idempotent_and_keeps_the_first_cause(shared_server):
    connection = await Connection.open(settings_of(shared_server))
    future = connection.send_command("BLPOP", "nothing", 0)
    connection.close(ConnectionError("enough"))
    connection.close()
    connection.abort()
    connection.pause_reading()
    connection.resume_reading()
    with pytest.raises(ConnectionError, match="enough"):
        await future
    await connection.wait_closed()
    await connection.wait_closed()
    assert str(connection.lost) == "enough"


async def test_a_close_callback_that_raises_is_reported_and_stops_no_other(shared_server, caplog):
    def fails(connection, cause):
        raise ZeroDivisionError

    connection = await Connection.open(settings_of(shared_server))
    calls: list[Any] = []
    connection.add_close_callback(fails)
    connection.add_close_callback(lambda *args: calls.append(args))
    connection.close()
    await connection.wait_closed()
    assert len(calls) == 1
    assert "close_callback_failed" in caplog.text


# --- pushes and the seams of the subscriber -------------------------------------------------------


async def test_a_push_that_nobody_listens_to_is_dropped(connection):
    await connection.execute("CLIENT", "TRACKING", "ON")
    await connection.execute("GET", "key")
    await connection.execute("SET", "key", 1)
    # The push that the key changed came before this reply.
    assert await connection.execute("GET", "key") == b"1"


async def test_a_push_handler_gets_the_pushes_and_the_replies_keep_their_order(connection):
    pushes: list[Any] = []
    connection.on_push = pushes.append
    connection.write(pack(("SUBSCRIBE", "a", "b")))
    replies = [connection.send_command("ECHO", number) for number in range(50)]
    assert await asyncio.gather(*replies) == [b"%d" % number for number in range(50)]
    assert pushes == [[b"subscribe", b"a", 1], [b"subscribe", b"b", 2]]


async def test_the_drain_can_be_replaced(connection):
    seen = []

    def drain(gets):
        while (reply := gets()) is not INCOMPLETE:
            seen.append(reply)
            connection.deliver(reply)

    connection.drain = drain
    assert await connection.execute("PING") == b"PONG"
    assert seen == [b"PONG"]


async def test_pendings_of_ones_own_get_replies_and_errors(connection):
    class Note(Pending):
        def __init__(self):
            self.got = []

        def resolve(self, reply):
            self.got.append(reply)

        def fail(self, error):
            self.got.append(error)

    first, second, third = Note(), Note(), Note()
    connection.write(pack(("PING",)) + pack(("NOSUCH",)), first, second)
    assert connection.pending[0] is first
    await eventually(lambda: second.got)
    assert first.got == [b"PONG"]
    assert isinstance(second.got[0], ResponseError)
    connection.write(pack(("BLPOP", "nothing", 0)), third)
    connection.abort()
    await connection.wait_closed()
    assert isinstance(third.got[0], ConnectionError)


async def test_an_exception_while_reading_ends_the_connection_with_that_cause(connection, caplog):
    def drain(gets):
        raise ZeroDivisionError("a bug")

    connection.drain = drain
    with pytest.raises(ConnectionError, match="a bug"):
        await connection.execute("PING")
    assert isinstance(connection.lost, ZeroDivisionError)
    assert "reading_failed" in caplog.text
    await connection.wait_closed()


# --- flow control ---------------------------------------------------------------------------------


async def test_reading_pauses_and_resumes(connection):
    connection.pause_reading()
    connection.pause_reading()
    future = connection.send_command("PING")
    before = connection.bytes_read
    await asyncio.sleep(0.05)
    assert (future.done(), connection.bytes_read) == (False, before)
    connection.resume_reading()
    connection.resume_reading()
    assert await future == b"PONG"
    assert connection.bytes_read > before


async def test_drain_writes_waits_for_a_peer_that_does_not_read():
    release = asyncio.Event()

    async def handler(reader, writer):
        await reader.read(100)
        writer.write(HELLO)
        await release.wait()
        while await reader.read(1 << 20):
            pass

    async with peer(handler) as port:
        connection = await Connection.open(
            ConnectionSettings(location=TCPLocation("127.0.0.1", port))
        )
        await connection.drain_writes()
        connection.write(b"x" * 50_000_000)
        waiting = asyncio.create_task(connection.drain_writes())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        release.set()
        async with asyncio.timeout(10):
            await waiting
        connection.abort()
        await connection.wait_closed()


async def test_an_execute_that_is_stuck_in_writing_times_out_and_fails_cleanly():
    async with peer(says(HELLO)) as port:
        connection = await Connection.open(
            ConnectionSettings(location=TCPLocation("127.0.0.1", port))
        )
        with pytest.raises(TimeoutError):
            await connection.execute("ECHO", b"x" * 50_000_000, timeout=0.1)
        await connection.wait_closed()
        assert not connection.pending


async def test_a_closed_connection_frees_who_waits_for_room():
    async with peer(says(HELLO)) as port:
        connection = await Connection.open(
            ConnectionSettings(location=TCPLocation("127.0.0.1", port))
        )
        connection.write(b"x" * 50_000_000)
        waiting = asyncio.create_task(connection.drain_writes())
        await asyncio.sleep(0)
        connection.abort()
        with pytest.raises(ConnectionError):
            await waiting


# --- replies off ----------------------------------------------------------------------------------


async def test_noreply_sends_and_expects_nothing(shared_server):
    connection = await Connection.open(settings_of(shared_server, noreply=True))
    assert connection.noreply
    assert await connection.execute("SET", "noreply", 1) is None
    await connection.execute("INCR", "noreply")
    assert not connection.pending
    other = await Connection.open(settings_of(shared_server))
    await eventually(lambda: _equals(other, "noreply", b"2"))
    for each in (connection, other):
        each.close()
        await each.wait_closed()


# --- other ways to connect ------------------------------------------------------------------------


async def test_unix_sockets():
    async with EmbeddedServer(unix_socket=True) as server:
        assert server.unix_socket_path is not None
        location = UnixDomainSocketLocation(server.unix_socket_path)
        connection = await Connection.open(ConnectionSettings(location=location))
        assert await connection.execute("PING") == b"PONG"
        assert str(connection.location) == server.unix_socket_path
        connection.close()
        await connection.wait_closed()


async def test_ids_are_different(shared_server):
    connections = [await Connection.open(settings_of(shared_server)) for _ in range(3)]
    assert all(a.id != b.id for a, b in itertools.combinations(connections, 2))
    for connection in connections:
        connection.close()
        await connection.wait_closed()


def test_a_cancelled_future_ignores_what_comes():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    pending = FuturePending(future)
    future.cancel()
    pending.resolve(b"late")
    pending.fail(ConnectionError("late"))
    assert future.cancelled()
    loop.close()


async def _equals(connection, key, value):
    return await connection.execute("GET", key) == value
