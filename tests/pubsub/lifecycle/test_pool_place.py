"""A pub/sub object and the pool: it never waits for a place, and gives its place back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from actors import ActorSystem, PubSub, Redis, exceptions
from supervisor import ConstantRetryPolicy
from tests.pubsub.helpers import (
    QUICK,
    client_of,
    data_of,
    is_subscribed,
    kill_subscribers,
    within,
)
from tests.servers import AnyServer
from tests.support import eventually


def held(client: Redis[Any]) -> int:
    """How many connections of the client's pool somebody holds."""
    connections = client.connection_pool._connections
    assert connections is not None
    return len(connections._held)


def taken(client: Redis[Any]) -> int:
    """How many places of the client's pool are taken."""
    connections = client.connection_pool._connections
    assert connections is not None
    return sum(places.taken for places in connections._places.values())


async def test_more_subscriptions_than_connections_are_live_and_one_warning_says_so(
    shared_server: AnyServer, caplog: pytest.LogCaptureFixture
):
    async with client_of(shared_server, max_connections=3) as client, AsyncExitStack() as stack:
        objects = [
            await stack.enter_async_context(
                client.pubsub(channels=[f"c{n}"], ignore_subscribe_messages=True)
            )
            for n in range(8)
        ]
        for n, pubsub in enumerate(objects):
            assert await client.publish(f"c{n}", str(n)) == 1
            assert await data_of(pubsub, 1) == [str(n)]
        assert held(client) == 8
    warnings = [r for r in caplog.records if "max_connections_exceeded" in r.getMessage()]
    assert len(warnings) == 1
    assert "give a max_connections" in warnings[0].getMessage()


async def test_what_blocks_waits_for_a_place_in_bounded_time_and_all_else_does_not(
    shared_server: AnyServer,
):
    async with (
        client_of(shared_server, max_connections=1, pool_timeout=0.1) as client,
        client.pubsub(channels=["a"]),
    ):
        with within(2), pytest.raises(TimeoutError, match="held, by subscriptions"):
            await client.execute_command("BLPOP", "nothing", 0)
        assert await client.publish("a", "x") == 1


async def test_p1_commands_that_block_do_not_keep_a_pubsub_from_reconnecting(server: AnyServer):
    async with (
        client_of(server) as outside,
        client_of(server, max_connections=2) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        blocked = [
            asyncio.create_task(client.execute_command("BLPOP", "nothing", 0)) for _ in range(3)
        ]
        await eventually(lambda: held(client) == 2)
        for turn in range(1, 4):
            kill_subscribers(server)
            await eventually(lambda n=turn: p.stats().reconnects == n)
            await eventually(is_subscribed(server, "a"))
            await outside.publish("a", str(turn))
            assert await data_of(p, 1) == [str(turn)]
        for task in blocked:
            task.cancel()
        await asyncio.wait(blocked)
    assert client.connection_pool.in_use == 0


@pytest.mark.parametrize("end", ["leaves", "raises", "cancelled"])
@pytest.mark.parametrize("fault", ["none", "down", "silent"])
async def test_p13_the_place_is_given_back_however_it_is_left(
    server: AnyServer, end: str, fault: str
):
    """Also in a back-off, and in an attempt to connect that hangs."""
    async with client_of(server, max_connections=1) as client:
        entered, go = asyncio.Event(), asyncio.Event()

        async def use() -> None:
            slow = ConstantRetryPolicy((exceptions.ConnectionError,), None, delay=60)
            async with client.pubsub(channels=["a"], retry_policy=slow, max_idle_seconds=0.1) as p:
                if fault == "down":
                    server.kill()
                elif fault == "silent":
                    server.pause()
                if fault != "none":
                    await eventually(lambda: p.connection is None)
                if fault == "down":
                    await eventually(lambda: _states(p) & {"waiting", "starting"})
                entered.set()
                await go.wait()
                if end == "raises":
                    raise LookupError

        task = asyncio.create_task(use())
        await eventually(lambda: entered.is_set() or task.done())
        if end == "cancelled":
            task.cancel()
        go.set()
        with within(2):
            await asyncio.wait([task])
        assert taken(client) == 0
        assert isinstance(task.exception(), LookupError) if end == "raises" else True
        if fault == "silent":
            server.resume()


def _states(p: PubSub[Any]) -> set[str]:
    parts = p._session.tree
    assert parts is not None
    return {node.status for node in parts.system.tree().walk() if node.id == "connection"}


@pytest.mark.parametrize("policy", [None, ConstantRetryPolicy((TimeoutError,), 2, delay=0)])
async def test_the_place_is_given_back_when_it_gives_up(server: AnyServer, policy):
    async with client_of(server, max_connections=1) as client:
        given_back = asyncio.Event()
        with pytest.raises(ExceptionGroup, match="gave up"):
            async with client.pubsub(channels=["a"], retry_policy=policy):
                kill_subscribers(server)
                try:
                    await asyncio.Event().wait()
                finally:
                    if taken(client) == 0:
                        given_back.set()
        assert given_back.is_set()  # at once: its body may still have much to do
        await client.ping()


@pytest.mark.parametrize("whose", ["manager", "readers"])
async def test_no_place_is_lost_with_a_part_of_the_tree(server: AnyServer, whose: str):
    async with client_of(server, max_connections=1) as client:
        async with client.pubsub(channels=["a"], retry_policy=QUICK) as p:
            parts = p._session.tree
            assert parts is not None
            if whose == "manager":
                parts.manager._cell.crash_with(RuntimeError("a bug"))
            else:
                assert parts._readers is not None
                parts._readers.request_stop(None)
            await eventually(lambda: p.stats().gaps == 1)
            await eventually(is_subscribed(server, "a"))
            assert taken(client) == 1
        assert taken(client) == 0


async def test_the_place_is_given_back_when_the_system_stops(server: AnyServer):
    async with client_of(server, max_connections=1) as client:
        system = ActorSystem()
        await system.start()
        with pytest.raises(ExceptionGroup, match="gave up"):
            async with client.pubsub(channels=["a"], system=system, retry_policy=QUICK):
                stopping = asyncio.create_task(system.stop())
                try:
                    await asyncio.Event().wait()
                finally:
                    await stopping
                    assert taken(client) == 0


async def test_p13_cancelled_at_any_moment_of_entering_it_leaves_no_place_taken(server: AnyServer):
    async with client_of(server, max_connections=1) as client:
        for turn in range(40):
            p = client.pubsub(channels=["a"])
            task = asyncio.create_task(p.__aenter__())
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
            result: Any = (await asyncio.gather(task, return_exceptions=True))[0]
            if result is p:
                await p.__aexit__(None, None, None)
            assert taken(client) == 0
