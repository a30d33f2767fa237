"""A server that is down or silent: noticed, waited for, and left without delay (P1, P9, P13)."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from actors import PubSub, Redis, exceptions
from tests.pubsub.helpers import (
    QUICK,
    Gaps,
    Heard,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    numsub,
    take,
    within,
)
from tests.redis.helpers import peer, says, silent
from tests.servers import AnyServer
from tests.support import eventually, free_port

# -- silence (P9) ----------------------------------------------------------------------------------


@pytest.mark.every_backend
@pytest.mark.parametrize("stream_timeout", [None, 0.3])
async def test_p9_a_stopped_server_is_noticed_and_left_in_time(
    server: AnyServer, stream_timeout: float | None
):
    """SIGSTOP: noticed within max_idle_seconds plus the deadline; then left within a second."""
    deadline = stream_timeout or 1.0
    async with client_of(server, stream_timeout=stream_timeout) as client:
        p = client.pubsub(channel_handlers={"a": Heard()}, channels=["b"], max_idle_seconds=0.5)
        await p.__aenter__()
        await take(p, 2)
        server.pause()
        with within(0.5 + deadline + 0.3):
            await eventually(lambda: p.connection is None)
        # The next attempt hangs in the handshake: leaving interrupts it.
        with within(1):
            await p.__aexit__(None, None, None)
        server.resume()


async def test_p9_after_the_silence_everything_is_back_with_one_gap_each(server: AnyServer):
    gaps, heard = Gaps(), Heard()
    async with (
        client_of(server, stream_timeout=0.2, connect_timeout=0.2) as client,
        client.pubsub(
            channel_handlers={"a": heard},
            channels=["b"],
            max_idle_seconds=0.2,
            on_gap=gaps,
            ignore_subscribe_messages=True,
            retry_policy=QUICK,
        ) as p,
    ):
        server.pause()
        paused_at = time.time()
        await eventually(lambda: p.connection is None)
        await asyncio.sleep(0.5)  # attempts time out meanwhile
        resumed_at = time.time()
        server.resume()
        await eventually(lambda: numsub(server, "a") == 1 and p.stats().gaps == 2)
        await client.publish("a", "1")
        await client.publish("b", "2")
        await heard.wait(1)
        assert await data_of(p, 1) == ["2"]
    assert gaps.names() == ["a", "b"]
    for gap in gaps:
        assert gap.since < paused_at + 0.1
        assert gap.until > resumed_at
        assert "no answer to a PING within 0.2 s" in gap.reason


async def test_k9_p9_an_idle_connection_that_answers_is_left_alone(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.05) as p,
    ):
        await drain(p)
        await asyncio.sleep(0.5)
        assert p.stats().reconnects == 0
        assert p.stats().gaps == 0
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]
        # The answers to PINGs are nobody's messages.
        assert await drain(p) == []


async def test_p9_waiting_for_messages_is_not_waiting_for_a_reply(server: AnyServer):
    """``stream_timeout`` is about answers; a quiet channel owes none."""
    async with (
        client_of(server, stream_timeout=0.1) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        await p.get_message()
        assert await p.get_message(timeout=0.4) is None
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]
        assert p.stats().reconnects == 0


async def test_p9_a_half_open_connection_is_found(server: AnyServer):
    """The peer goes without a word: what is written is never answered."""
    gate = asyncio.Event()

    async def halfway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection(server.host, server.port)

        async def copy(source, target) -> None:
            while data := await source.read(65536):
                if not gate.is_set():
                    target.write(data)

        ways = [
            asyncio.ensure_future(copy(reader, there)),
            asyncio.ensure_future(copy(there_reader, writer)),
        ]
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            there.transport.abort()

    async with peer(halfway) as port:
        client = Redis("127.0.0.1", port, stream_timeout=0.2, connect_timeout=0.2)
        async with client, client.pubsub(channels=["a"], max_idle_seconds=0.2) as p:
            gate.set()
            with within(0.2 + 0.2 + 0.3):
                await eventually(lambda: p.connection is None)
            gate.clear()
            await eventually(lambda: p.stats().gaps == 1)


# -- calls in an outage (P1) -----------------------------------------------------------------------


async def test_p1_subscribe_and_unsubscribe_in_an_outage_are_kept(server: AnyServer):
    gaps, early, late = Gaps(), Heard(), Heard()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["gone"], channel_handlers={"early": early}, on_gap=gaps, retry_policy=QUICK
        ) as p,
    ):
        await take(p, 2)
        await server.stop()
        await eventually(lambda: p.connection is None)
        with within(0.5):
            await p.subscribe("new", late=late)
            await p.psubscribe("n?w")
            await p.unsubscribe("gone")
        asked_at = time.time()
        assert set(p.channels) == {"early", "new", "late"}
        assert await take(p, 1) == [
            {"type": "unsubscribe", "pattern": None, "channel": "gone", "data": 0}
        ]
        await server.start()
        await eventually(lambda: p.stats().gaps == 4)
        assert numsub(server, "gone") == 0
        for name in ("early", "new", "late", "gone"):
            await client.publish(name, name)
        await early.wait(1)
        await late.wait(1)
        assert await data_of(p, 2) == ["new", "new"]
    assert gaps.names() == ["early", "late", "n?w", "new"]
    for gap in gaps:
        if gap.name == "early":
            assert "connection lost" in gap.reason
        else:
            assert gap.reason == "not connected when it was subscribed"
            assert gap.since <= asked_at < gap.until


@pytest.mark.parametrize("ignored", [False, True])
async def test_p1_many_names_are_unsubscribed_in_an_outage_without_holding_the_loop(
    server: AnyServer, ignored: bool
):
    names = [f"many:{n}" for n in range(20_000)]
    async with (
        client_of(server) as client,
        client.pubsub(channels=names, ignore_subscribe_messages=ignored, retry_policy=QUICK) as p,
    ):
        server.kill()
        await eventually(lambda: p.connection is None)
        async with asyncio.timeout(10):  # it takes a tenth of a second
            await p.unsubscribe(*names[::2])
            await p.unsubscribe()
        assert p.channels == {}


async def test_p1_a_call_that_waits_when_the_connection_goes_is_kept_too(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(subscription_timeout=5, retry_policy=QUICK) as p,
    ):
        await p.subscribe("before")
        server.pause()
        call = asyncio.create_task(p.subscribe("a"))
        await asyncio.sleep(0.05)
        assert not call.done()
        server.kill()
        with within(1):
            await call
        assert set(p.channels) == {"before", "a"}
        await server.start()
        await eventually(lambda: numsub(server, "a") == numsub(server, "before") == 1)
        await eventually(lambda: p.stats().gaps == 2)  # the server knows first


async def test_p1_unsubscribe_that_waits_when_the_connection_goes_is_done(
    server: AnyServer, caplog
):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a", "b"], unsubscription_timeout=5, retry_policy=QUICK) as p,
    ):
        server.pause()
        call = asyncio.create_task(p.unsubscribe("a"))
        await asyncio.sleep(0.05)
        server.kill()
        with within(1):
            await call
        assert p.channels == {"b": None}
        await server.start()
        await eventually(lambda: numsub(server, "b") == 1)
        assert numsub(server, "a") == 0
    assert "unsubscribe_not_acknowledged" not in caplog.text


async def test_a_server_that_restarts_is_found_again(server: AnyServer):
    heard = Heard()
    async with client_of(server) as client, client.pubsub(channel_handlers={"a": heard}) as p:
        for turn in range(1, 3):
            await server.restart()
            with within(2):
                await eventually(lambda n=turn: p.stats().gaps == n)
            await client.publish("a", str(turn))
            await heard.wait(turn)


# -- leaving in an outage (P13) --------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["pause", "kill", "kill, then wait for the longest back-off"])
async def test_k3_p13_exit_during_an_outage_ends(server: AnyServer, fault: str):
    async with client_of(server) as client:
        p = client.pubsub(channels=["a"], channel_handlers={"h": Heard()}, max_idle_seconds=0.2)
        await p.__aenter__()
        if fault == "pause":
            server.pause()
        else:
            server.kill()
            await eventually(lambda: p.connection is None)
        if "back-off" in fault:
            await asyncio.sleep(1.5)
        with within(1):
            await p.__aexit__(None, None, None)
        assert not p.subscribed
        if fault == "pause":
            server.resume()


async def test_p13_exit_while_a_call_waits(server: AnyServer):
    async with client_of(server) as client:
        for subscription_timeout in (10, None):
            async with client.pubsub(subscription_timeout=subscription_timeout) as p:  # type: ignore[arg-type]
                await p.subscribe("before")
                p.unsubscription_timeout = subscription_timeout  # type: ignore[assignment]
                server.pause()
                calls = [
                    asyncio.create_task(p.subscribe("a")),
                    asyncio.create_task(p.unsubscribe("before")),
                ]
                await asyncio.sleep(0.02)
            with within(0.5):
                one, two = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(one, exceptions.ConnectionError)
            assert "closed" in str(one)
            assert two is None
            assert (p.channels, p.subscribed) == ({}, False)
            server.resume()
        await eventually(lambda: numsub(server, "a") == 0)


async def test_p13_cancelled_while_it_leaves_it_leaves_all_the_same(server: AnyServer):
    """At any moment: no task, no connection, and the cancellation passes on."""
    async with client_of(server) as client:
        cancelled = 0
        for turn in range(1, 30):
            async with AsyncExitStack() as stack:
                p = client.pubsub(channels=["a"], channel_handlers={"b": Heard()})
                await stack.enter_async_context(p)
                leaving = asyncio.create_task(stack.pop_all().aclose())
            for _ in range(turn):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait([leaving])
            cancelled += leaving.cancelled()
            assert not p.subscribed
            assert client.connection_pool.in_use == 0
            assert [t for t in asyncio.all_tasks() if "pubsub-" in t.get_name()] == []
        assert 5 < cancelled < 29
        await eventually(lambda: numsub(server, "a") == 0)


async def test_p13_cancelled_while_it_enters_it_leaves_nothing(server: AnyServer):
    async with client_of(server) as client:
        for turn in range(40):
            p = client.pubsub(channels=["a"], channel_handlers={"b": Heard()})
            task = asyncio.create_task(p.__aenter__())
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
            result: Any = (await asyncio.gather(task, return_exceptions=True))[0]
            if result is p:
                await p.__aexit__(None, None, None)
            assert client.connection_pool.in_use == 0
        await eventually(lambda: numsub(server, "a") == 0)


async def test_p13_an_outer_timeout_ends_an_enter_without_a_limit(server: AnyServer):
    server.kill()
    async with client_of(server) as client:
        with within(1), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), client.pubsub(start_timeout=None):
                pass


# -- entering without a server ---------------------------------------------------------------------


async def test_entering_where_nobody_listens_is_one_error_after_start_timeout():
    assert inspect.signature(PubSub).parameters["start_timeout"].default == 5
    port = free_port()
    async with Redis("127.0.0.1", port) as client:
        with within(1), pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channels=["a"], start_timeout=0.3):
                pass
        (error,) = caught.value.exceptions
        assert isinstance(error, exceptions.ConnectionError)
        assert f"cannot connect to 127.0.0.1:{port}: connection refused" in str(error)


async def test_entering_a_server_that_comes_within_the_time(server: AnyServer):
    server.kill()
    async with client_of(server) as client:
        entering = asyncio.create_task(client.pubsub(channels=["a"]).__aenter__())
        await asyncio.sleep(0.3)
        await server.start()
        p = await asyncio.wait_for(entering, 3)
        assert p.subscribed
        await p.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (silent, "did not answer; is it a Redis server?"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "no RESP"),
        (says(b"-ERR unknown command 'HELLO'\r\n"), "RESP3"),
    ],
    ids=["silent", "another protocol", "too old"],
)
async def test_entering_what_is_no_server_is_one_clear_error(handler, problem: str):
    async with peer(handler) as port, Redis("127.0.0.1", port, connect_timeout=0.2) as client:
        with within(1.5), pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(start_timeout=0.5):
                pass
        (error,) = caught.value.exceptions
        assert problem in str(error)
        assert str(port) in str(error)


async def test_a_kill_in_the_instant_of_entering(server: AnyServer):
    async with client_of(server) as client:
        for turn in range(10):
            entering = asyncio.create_task(
                client.pubsub(channels=["a"], retry_policy=QUICK).__aenter__()
            )
            for _ in range(turn * 3):
                await asyncio.sleep(0)
            kill_subscribers(server)
            p = await asyncio.wait_for(entering, 3)
            await eventually(lambda: numsub(server, "a") == 1)
            await p.__aexit__(None, None, None)
            await eventually(lambda: numsub(server, "a") == 0)
