"""News between messages: gaps take no message's place, and hooks are heard out (P10, A3)."""

from __future__ import annotations

import asyncio

import pytest

from tests.pubsub.helpers import (
    QUICK,
    Gaps,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    publish_many,
    within,
)
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


async def _lose_connection(server: AnyServer, p) -> None:
    before = p.stats().gaps
    kill_subscribers(server)
    await eventually(lambda: p.stats().gaps >= before + len(p.channels))


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
async def test_a3_gaps_take_no_place_of_messages(server: AnyServer, overflow: str):
    """A hundred channels have a gap each, and the queue has ten places."""
    names, lags, gaps = [f"c{i}" for i in range(100)], [], Gaps()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=names,
            ignore_subscribe_messages=True,
            mailbox=10,
            overflow=overflow,
            on_lagged=lags.append,
            on_gap=gaps,
            retry_policy=QUICK,
        ) as p,
    ):
        await _lose_connection(server, p)
        assert p.stats().waiting == 0
        await publish_many(client, "c0", 10)
        await eventually(lambda: p.stats().waiting == 10)
        assert await data_of(p, 10) == [str(i) for i in range(10)]
        assert (lags, p.stats().shed, len(gaps)) == ([], 0, 100)
        if overflow != "block":  # and the bound is still one
            await publish_many(client, "c0", 12)
            await eventually(lambda: p.stats().received == 22)
            assert len(await data_of(p, 10)) == 10
            assert await drain(p) == []
            assert sum(lags) == p.stats().shed == 2


async def test_a3_gaps_take_no_place_of_a_handlers_messages(server: AnyServer):
    heard: list[str] = []
    go_on = asyncio.Event()
    gaps = Gaps()

    async def handler(message) -> None:
        heard.append(message["data"])
        await go_on.wait()

    async with (
        client_of(server) as client,
        client.pubsub(
            channel_handlers={"a": handler}, mailbox=2, on_gap=gaps, retry_policy=QUICK
        ) as p,
    ):
        await client.publish("a", "in hand")
        await eventually(lambda: heard == ["in hand"])
        for _ in range(5):
            await _lose_connection(server, p)
        await publish_many(client, "a", 2)
        await eventually(lambda: p.stats().received == 3)
        go_on.set()
        await eventually(lambda: heard == ["in hand", "0", "1"])
        assert len(gaps) == 5


async def test_p10_a_hook_is_heard_out_though_its_reader_gives_up(server: AnyServer):
    """A reader whose time is up costs nothing: not the gap, not the hook, not the message."""
    begun, done = [], []

    async def on_gap(gap) -> None:
        begun.append(gap.name)
        await asyncio.sleep(0.2)
        done.append(gap.name)

    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["a"], ignore_subscribe_messages=True, on_gap=on_gap, retry_policy=QUICK
        ) as p,
    ):
        await _lose_connection(server, p)
        await client.publish("a", "after")
        for read in (p.get_message, p.__anext__):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), 0.02)
        with within(0.1):
            assert await p.get_message(timeout=0.02) is None
        assert (begun, done) == (["a"], [])
        assert await data_of(p, 1) == ["after"]
        assert done == ["a"]
        assert p.stats().waiting == 0


async def test_p13_a_hook_at_work_ends_with_the_pubsub(server: AnyServer):
    begun, cancelled = [], []

    async def on_gap(_) -> None:
        begun.append(True)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with client_of(server) as client:
        async with client.pubsub(
            channels=["a"], ignore_subscribe_messages=True, on_gap=on_gap, retry_policy=QUICK
        ) as p:
            reader = asyncio.ensure_future(data_of(p, 1))
            await _lose_connection(server, p)
            await eventually(lambda: begun == [True])
        with within(1):
            assert await reader == []  # iteration is over; nobody cancelled the reader
        assert cancelled == [True]


@pytest.mark.parametrize("error", [ValueError("mine"), asyncio.CancelledError()])
async def test_p10_what_a_hook_raises_costs_the_call_only(server: AnyServer, caplog, error):
    def plain(_) -> None:
        raise error

    async def coroutine(_) -> None:
        raise error

    for hook in (plain, coroutine):
        async with (
            client_of(server) as client,
            client.pubsub(channels=["a"], on_gap=hook, retry_policy=QUICK) as p,
        ):
            await _lose_connection(server, p)
            await client.publish("a", "after")
            assert await data_of(p, 1) == ["after"]
    assert caplog.text.count("hook_failed") == 2
