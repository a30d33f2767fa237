"""A loop that was late is not a server that timed out."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from actors import Redis
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.wire.connection import Connection
from actors.redis.wire.patience import Patience
from tests.redis.helpers import peer, settings_of, silent
from tests.servers import AnyServer

pytestmark = pytest.mark.embedded_only

HELD = 0.6
LIMIT = 0.2


async def held_after(turns: int) -> None:
    """Hold the loop, for longer than every limit here, after some of its turns."""
    for _ in range(turns):
        await asyncio.sleep(0)
    time.sleep(HELD)


@pytest.mark.parametrize("turns", range(6))
async def test_a_reply_that_came_while_the_loop_was_held(shared_server: AnyServer, turns):
    connection = await Connection.open(settings_of(shared_server, stream_timeout=LIMIT))
    holder = asyncio.create_task(held_after(turns))
    assert await connection.execute("PING") == b"PONG"
    await holder
    connection.close()
    await connection.wait_closed()


@pytest.mark.parametrize("turns", range(8))
async def test_a_loop_that_is_held_while_connecting(shared_server: AnyServer, turns):
    holder = asyncio.create_task(held_after(turns))
    async with Redis(shared_server.host, shared_server.port, connect_timeout=LIMIT) as client:
        assert await client.ping() == b"PONG"
    await holder


@pytest.mark.parametrize("turns", range(6))
async def test_calls_of_a_pubsub_object(shared_server: AnyServer, turns):
    async with (
        Redis(shared_server.host, shared_server.port) as client,
        client.pubsub(subscription_timeout=LIMIT, start_timeout=5) as pubsub,
    ):
        holder = asyncio.create_task(held_after(turns))
        await pubsub.subscribe("a")
        await holder
        holder = asyncio.create_task(held_after(turns))
        await pubsub.unsubscribe("a")
        await holder
        assert not pubsub.subscribed


@pytest.mark.parametrize("turns", range(8))
async def test_a_pipeline(shared_server: AnyServer, turns):
    async with Redis(shared_server.host, shared_server.port) as client:
        holder = asyncio.create_task(held_after(turns))
        async with client.pipeline(timeout=LIMIT) as pipe:
            pong = pipe.ping()
        assert await pong == b"PONG"
        await holder


@pytest.mark.parametrize("turns", [0, 3, 9])
async def test_the_start_of_a_pubsub_object(shared_server: AnyServer, turns):
    async with Redis(shared_server.host, shared_server.port) as client:
        holder = asyncio.create_task(held_after(turns))
        async with client.pubsub(channels=["a"], start_timeout=LIMIT) as pubsub:
            assert pubsub.subscribed
        await holder


async def test_a_loop_that_is_held_while_a_ping_is_answered(shared_server: AnyServer):
    """P9: the idle check."""
    async with (
        Redis(shared_server.host, shared_server.port, stream_timeout=LIMIT) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.05) as pubsub,
    ):
        connection = pubsub.connection
        for _ in range(4):
            await asyncio.sleep(0.07)
            time.sleep(HELD)
        assert pubsub.connection is connection
        assert pubsub.stats().reconnects == 0


async def test_who_does_not_answer_is_not_waited_for():
    async with peer(silent) as port:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=rf"within {LIMIT} s"):
            await Connection.open(
                ConnectionSettings(location=TCPLocation("127.0.0.1", port), connect_timeout=LIMIT)
            )
        assert time.monotonic() - begun < 5


# --- the limit itself -----------------------------------------------------------------------------


async def test_without_a_limit():
    async with Patience(None) as limit:
        await asyncio.sleep(0.01)
    assert not limit.expired()


@pytest.mark.parametrize("seconds", [-1, 0, 0.0001, 0.05])
async def test_it_ends(seconds):
    with pytest.raises(TimeoutError):
        async with Patience(seconds) as limit:
            await asyncio.Event().wait()
    assert limit.expired()


async def test_a_loop_that_is_always_late_does_not_make_it_endless():
    async def hog() -> None:
        while True:
            time.sleep(0.05)
            await asyncio.sleep(0)

    task = asyncio.create_task(hog())
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(0.1):
            await asyncio.Event().wait()
    assert time.monotonic() - begun < 5
    task.cancel()


async def test_it_counts_anew_while_there_is_progress():
    count = 0
    with pytest.raises(TimeoutError):
        async with Patience(0.1, lambda: count):
            for _ in range(8):
                await asyncio.sleep(0.05)
                count += 1
            await asyncio.Event().wait()
    assert count == 8


async def test_a_limit_of_no_time_is_meant_as_it_is():
    count = itertools.count()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(0.001, lambda: next(count)):
            await asyncio.Event().wait()
    assert time.monotonic() - begun < 5


async def test_other_errors_and_cancellations_pass():
    with pytest.raises(ZeroDivisionError):
        async with Patience(1):
            raise ZeroDivisionError

    async def waits() -> None:
        async with Patience(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_inside_is_not_its_own():
    async with Patience(10) as limit:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
    assert not limit.expired()
