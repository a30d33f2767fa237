"""A pub/sub object and its place in the pool: kept for its life, and given back with its end."""

from __future__ import annotations

import asyncio
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
    numsub,
    within,
)
from tests.servers import AnyServer
from tests.support import eventually


def free(client: Redis[Any]) -> int:
    """How many places of the client's pool nobody has."""
    permits = client.connection_pool._permits
    assert permits is not None
    return permits.free


def waiting(client: Redis[Any]) -> int:
    permits = client.connection_pool._permits
    assert permits is not None
    return permits.waiting


async def test_p1_a_pubsub_that_waits_does_not_get_the_place_of_one_that_reconnects(
    server: AnyServer,
):
    async with (
        client_of(server) as outside,
        client_of(server, max_connections=1) as client,
    ):
        second = client.pubsub(channels=["b"], start_timeout=None)
        async with client.pubsub(channels=["a"], ignore_subscribe_messages=True) as first:
            entering = asyncio.create_task(second.__aenter__())
            await eventually(lambda: waiting(client) == 1)
            for turn in range(1, 4):
                kill_subscribers(server)
                await eventually(lambda n=turn: first.stats().reconnects == n)
                await eventually(is_subscribed(server, "a"))
                await outside.publish("a", str(turn))
                assert await data_of(first, 1) == [str(turn)]
                assert not entering.done()
        await entering
        assert (numsub(server, "a"), numsub(server, "b")) == (0, 1)
        await second.__aexit__(None, None, None)
        assert free(client) == 1


async def test_p1_a_full_pool_does_not_end_a_pubsub_that_reconnects(server: AnyServer):
    async with client_of(server, max_connections=2, pool_timeout=0.05) as client:
        async with client.pubsub(channels=["a"]) as p:
            held = await client.connection_pool.acquire()
            await eventually(is_subscribed(server, "a"))
            kill_subscribers(server)
            with pytest.raises(TimeoutError, match="all 2 are in use"):
                await client.connection_pool.acquire()
            await eventually(lambda: p.stats().reconnects == 1)
            client.connection_pool.release(held)
        assert free(client) == 2


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
                assert free(client) == 0
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
        assert free(client) == 1
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
                    if free(client) == 1:
                        given_back.set()
        assert given_back.is_set()  # at once: its body may still have much to do
        await client.ping()


@pytest.mark.parametrize("whose", ["manager", "readers"])
async def test_the_place_is_not_lost_with_a_part_of_the_tree(server: AnyServer, whose: str):
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
            assert free(client) == 0
        assert free(client) == 1


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
                    assert free(client) == 1


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
            assert free(client) == 1
