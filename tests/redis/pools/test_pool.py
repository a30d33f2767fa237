from __future__ import annotations

import asyncio
import time

import pytest

from actors.redis.config.locations import TCPLocation, UnixDomainSocketLocation
from actors.redis.exceptions import AuthenticationFailureError, ConnectionError  # noqa: A004
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from tests.redis.helpers import HELLO, peer, says, silent
from tests.support import eventually


def pool_of(server, **options) -> ConnectionPool:
    return ConnectionPool(host=server.host, port=server.port, **options)


async def connected(server) -> int:
    """Return how many clients the server has, this one included."""
    async with pool_of(server) as pool, pool.connection() as connection:
        lines = await connection.execute("CLIENT", "LIST")
        return len(lines.splitlines())


async def test_connections_are_used_again(shared_server):
    async with pool_of(shared_server) as pool:
        async with pool.connection() as first:
            assert (pool.in_use, pool.idle) == (1, 0)
        assert (pool.in_use, pool.idle) == (0, 1)
        async with pool.connection() as second, pool.connection() as third:
            assert second is first
            assert third is not first
        assert pool.idle == 2
        assert "2 idle" in repr(pool)
    assert first.lost is not None
    assert (pool.in_use, pool.idle) == (0, 0)


async def test_use_outside_of_the_context_says_what_to_do(shared_server):
    pool = pool_of(shared_server)
    with pytest.raises(RuntimeError, match="async with client"):
        await pool.acquire()
    async with pool:
        pass
    with pytest.raises(RuntimeError, match="async with pool"):
        await pool.open_dedicated()


async def test_entering_counts_and_the_pool_can_be_entered_anew(shared_server):
    pool = pool_of(shared_server)
    async with pool:
        async with pool:
            connection = await pool.acquire()
            pool.release(connection)
        assert connection.usable
        assert await pool.acquire() is connection
        pool.release(connection)
    assert not connection.usable
    async with pool, pool.connection() as fresh:
        assert await fresh.execute("PING") == b"PONG"


async def test_exhaustion_waits_in_order(shared_server):
    async with pool_of(shared_server, max_connections=1) as pool:
        held = await pool.acquire()
        served = []

        async def user(number: int) -> None:
            async with pool.connection() as connection:
                assert connection is held
                served.append(number)

        tasks = [asyncio.create_task(user(number)) for number in range(4)]
        await asyncio.sleep(0.01)
        assert served == []
        pool.release(held)
        await asyncio.gather(*tasks)
        assert served == [0, 1, 2, 3]


async def test_exhaustion_ends_with_a_timeout_that_names_cause_and_cure(shared_server):
    async with pool_of(shared_server, max_connections=2, timeout=0.05) as pool:
        held = [await pool.acquire(), await pool.open_dedicated()]
        started = time.monotonic()
        with pytest.raises(
            TimeoutError, match=r"0.05 s .*all 2 connections are held.*raise max_connections"
        ):
            await pool.acquire()
        assert 0.04 < time.monotonic() - started < 0.5
        pool.release(held[1])
        pool.release(await pool.acquire())
        pool.release(held[0])


async def test_the_timeout_covers_connecting():
    async with (
        peer(silent) as port,
        ConnectionPool(port=port, host="127.0.0.1", timeout=0.05) as pool,
    ):
        with pytest.raises(TimeoutError, match=r"0.05 s \(pool_timeout\).*did not answer"):
            await pool.acquire()
        assert pool.in_use == 0


async def test_a_cancelled_waiter_leaves_its_place(shared_server):
    async with pool_of(shared_server, max_connections=1) as pool:
        held = await pool.acquire()
        waiters = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        pool.release(held)
        assert await waiters[1] is held
        pool.release(held)
        with pytest.raises(asyncio.CancelledError):
            await waiters[0]


async def test_cancelling_at_any_moment_loses_no_permit(shared_server):
    async with pool_of(shared_server, max_connections=1, timeout=2) as pool:
        for steps in range(15):
            task = asyncio.create_task(pool.acquire())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                pool.release(await task)
            except asyncio.CancelledError:
                pass
            if steps % 3 == 0:
                # The connection is idle: the pool lets the loop read before it leases it.
                await asyncio.sleep(0.11)
        async with pool.connection() as connection:
            assert await connection.execute("PING") == b"PONG"
        assert pool.in_use == 0


async def test_failures_to_connect_give_their_permit_back(server):
    server.kill()
    async with pool_of(server, max_connections=1, timeout=1) as pool:
        for _ in range(3):
            with pytest.raises(ConnectionError, match="refused"):
                await pool.acquire()
        await server.restart()
        async with pool.connection() as connection:
            assert await connection.execute("PING") == b"PONG"


async def test_wrong_passwords_are_not_waited_for(make_server):
    server = make_server({"requirepass": "secret"})
    async with pool_of(server, password="no", max_connections=1) as pool:
        for _ in range(2):
            with pytest.raises(AuthenticationFailureError):
                await pool.acquire()


# --- what comes back, and what does not -----------------------------------------------------------


async def test_closed_tainted_and_dirty_connections_are_dropped(shared_server):
    async with pool_of(shared_server, max_connections=1) as pool:
        closed = await pool.acquire()
        closed.close()
        pool.release(closed)
        tainted = await pool.acquire()
        tainted.tainted = True
        pool.release(tainted)
        dirty = await pool.acquire()
        dirty.send_command("BLPOP", "nothing", 0).cancel()
        pool.release(dirty)
        assert pool.idle == 0
        async with pool.connection() as clean:
            assert clean not in {closed, tainted, dirty}
            assert await clean.execute("PING") == b"PONG"
        for connection in (closed, tainted, dirty):
            await connection.wait_closed()


async def test_releasing_twice_gives_no_second_permit(shared_server):
    async with pool_of(shared_server, max_connections=1, timeout=0.05) as pool:
        connection = await pool.acquire()
        pool.release(connection)
        pool.release(connection)
        await pool.acquire()
        with pytest.raises(TimeoutError):
            await pool.acquire()


async def test_dedicated_connections_never_go_back(shared_server):
    async with pool_of(shared_server, max_connections=1, noreply=True) as pool:
        dedicated = await pool.open_dedicated()
        assert dedicated.tainted
        assert await dedicated.execute("PING") == b"PONG"
        pool.release(dedicated)
        assert pool.idle == 0
        await dedicated.wait_closed()
        assert (await pool.acquire()).noreply


async def test_idle_connections_make_room_for_dedicated_ones(shared_server):
    before = await connected(shared_server)
    async with pool_of(shared_server, max_connections=2) as pool:
        held = [await pool.acquire() for _ in range(2)]
        for connection in held:
            pool.release(connection)
        await pool.open_dedicated()
        await eventually(lambda: not held[0].usable)
        assert pool.idle == 1
        assert await connected(shared_server) <= before + 2


async def test_idle_connections_that_died_are_not_handed_out(server):
    async with pool_of(server) as pool:
        first = await pool.acquire()
        pool.release(first)
        await server.restart()
        await eventually(lambda: pool.idle == 0)
        async with pool.connection() as second:
            assert await second.execute("PING") == b"PONG"


async def test_an_end_that_the_loop_did_not_handle_yet_is_noticed(server):
    async with pool_of(server) as pool:
        async with pool.connection() as first:
            pass
        # The loop does not run meanwhile, as if the program had been computing.
        server.kill()
        time.sleep(0.12)
        server.start_sync()
        async with pool.connection() as second:
            assert second is not first
            assert await second.execute("PING") == b"PONG"


async def test_idle_connections_are_closed_after_their_time(shared_server):
    async with pool_of(shared_server, max_idle_time=0.05) as pool:
        first, second = await pool.acquire(), await pool.acquire()
        pool.release(first)
        await asyncio.sleep(0.03)
        pool.release(second)
        await eventually(lambda: pool.idle == 1)
        assert (first.usable, second.usable) == (False, True)
        await eventually(lambda: pool.idle == 0)
        async with pool.connection() as third:
            assert third not in {first, second}


async def test_the_latest_connection_is_used_first(shared_server):
    async with pool_of(shared_server) as pool:
        held = [await pool.acquire() for _ in range(3)]
        for connection in held:
            pool.release(connection)
        assert await pool.acquire() is held[-1]


# --- leaving --------------------------------------------------------------------------------------


async def test_leaving_ends_what_is_in_use_and_who_waits(shared_server):
    pool = pool_of(shared_server, max_connections=1)
    async with pool:
        connection = await pool.acquire()
        reply = connection.send_command("BLPOP", "nothing", 0)
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
    for future in (reply, waiter):
        with pytest.raises(ConnectionError, match="was left"):
            await future
    pool.release(connection)
    async with pool:
        assert await (await pool.acquire()).execute("PING") == b"PONG"


async def test_leaving_while_a_connection_is_being_made(shared_server):
    pool = pool_of(shared_server)
    async with pool:
        task = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match="was left"):
        await task
    assert pool.in_use == 0


async def test_leaving_is_quick_while_the_server_is_frozen(server):
    async with pool_of(server) as pool:
        idle, used = await pool.acquire(), await pool.acquire()
        pool.release(idle)
        used.write(b"x" * 20_000_000)
        server.pause()
        started = time.monotonic()
    assert time.monotonic() - started < 1
    server.resume()


async def test_leaving_cuts_an_idle_connection_whose_peer_takes_nothing():
    async with peer(says(HELLO)) as port:
        async with ConnectionPool(host="127.0.0.1", port=port) as pool:
            connection = await pool.acquire()
            connection.write(b"x" * 20_000_000)
            pool.release(connection)
            assert pool.idle == 1
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert not connection.usable


async def test_leaving_that_is_cancelled_closes_all_connections_all_the_same(server):
    pool = pool_of(server)
    await pool.__aenter__()
    used = await pool.acquire()
    used.write(b"x" * 20_000_000)
    shared = pool.shared()
    await shared.connect()
    server.pause()
    leaving = asyncio.create_task(pool.__aexit__(None, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert not used.usable
    assert not shared.connected
    server.resume()


async def test_a_lease_may_outlive_its_context(shared_server):
    pool = pool_of(shared_server, max_connections=1, timeout=0.5)
    async with pool:
        old = await pool.acquire()
    async with pool:
        new = await pool.acquire()
        pool.release(old)
        assert (pool.in_use, pool.idle) == (1, 0)
        pool.release(new)
        assert (pool.in_use, pool.idle) == (0, 1)


# --- making one -----------------------------------------------------------------------------------


def test_defaults_and_where_it_connects():
    pool = ConnectionPool()
    assert pool.location == TCPLocation("localhost", 6379)
    assert (pool.max_connections, pool.timeout, pool.encoding) == (64, 10.0, "utf-8")
    assert pool.settings.stream_timeout == 10.0
    assert ConnectionPool(timeout=None).timeout is ConnectionPool(pool_timeout=None).timeout is None
    assert pool.decode_responses is False
    assert ConnectionPool(pool_timeout=2).timeout == 2
    assert ConnectionPool(pool_timeout=2).pool_timeout == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_connections": 0}, "max_connections must be 1 or more"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"max_idle_time": -1}, "max_idle_time must be more than 0"),
        ({"timeout": 1, "pool_timeout": 1}, "the same option"),
        ({"db": -1}, "db must be"),
        ({"port": "6379"}, "port must be a number"),
        ({"max_connections": "5"}, "max_connections must be 1 or more, not '5'"),
        ({"max_connections": 0, "timeout": "1"}, "timeout .*; max_connections"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConnectionPool(**options)


def test_options_of_the_url_go_before_arguments():
    pool = ConnectionPool.from_url(
        "redis://u:p@h:1/2?max_connections=3&timeout=4&client_name=url",
        max_connections=9,
        client_name="argument",
        stream_timeout=5,
        decode_responses=True,
        db=7,
    )
    settings = pool.settings
    assert settings.location == TCPLocation("h", 1)
    assert (pool.max_connections, pool.timeout) == (3, 4)
    assert (settings.username, settings.password, settings.db) == ("u", "p", 2)
    assert (settings.client_name, settings.stream_timeout) == ("url", 5)
    assert settings.decode_responses
    assert ConnectionPool.from_url("redis://h", db=7).settings.db == 7
    assert ConnectionPool.from_url("unix:///s?db=1").location == UnixDomainSocketLocation("/s")


def test_tls_options_of_urls():
    pool = ConnectionPool.from_url("rediss://h?ssl_cert_reqs=none", ssl_cert_reqs="required")
    assert pool.settings.ssl_context is not None
    assert pool.settings.ssl_context.verify_mode.name == "CERT_NONE"
    with pytest.raises(ValueError, match="ssl_cert_reqs need TLS: use a rediss:// or"):
        ConnectionPool.from_url("redis://h", ssl_cert_reqs="none")


async def test_a_connection_class_of_ones_own(shared_server):
    class Mine(Connection):
        pass

    async with pool_of(shared_server, connection_class=Mine) as pool, pool.connection() as mine:
        assert type(mine) is Mine
