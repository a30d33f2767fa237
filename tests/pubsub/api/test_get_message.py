"""Section 7 of the contract: get_message, its None, its time limit, and several readers."""

from __future__ import annotations

import asyncio

import pytest

from actors import exceptions
from tests.pubsub.helpers import Heard, client_of, drain, message, publish_many, within
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


async def test_contract_none_after_the_timeout(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
        await drain(p)
        with within(1) as limit:
            assert await p.get_message(timeout=0.1) is None
        assert limit.took > 0.09


async def test_contract_timeout_0_returns_what_is_queued(shared_server: AnyServer):
    """The quirk of the reference (None although one is there) is not kept."""
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
        ack = await p.get_message(timeout=0)
        assert ack is not None
        assert ack["type"] == "subscribe"
        with within(0.1):
            assert await p.get_message(timeout=0) is None
            assert await p.get_message(timeout=-1) is None


async def test_contract_no_timeout_waits_also_when_nothing_is_subscribed(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        reading = asyncio.create_task(p.get_message())
        await asyncio.sleep(0.05)
        assert not reading.done()
        await p.subscribe("a")
        assert (await reading)["type"] == "subscribe"  # type: ignore[index]
        reading = asyncio.create_task(p.get_message(ignore_subscribe_messages=True, timeout=None))
        await client.publish("a", "1")
        assert await reading == message("a", "1")


async def test_contract_an_ignored_ack_is_one_none(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(ignore_subscribe_messages=True) as p,
    ):
        await p.subscribe("a", "b")
        await client.publish("a", "1")
        found = [await p.get_message(timeout=1) for _ in range(3)]
        assert sorted(found, key=repr) == [None, None, message("a", "1")] or found == [
            message("a", "1"),
            None,
            None,
        ]
        await p.unsubscribe()
        with within(0.5):
            assert await p.get_message() is None
            assert await p.get_message() is None
        await p.unsubscribe()  # of nothing
        with within(0.5):
            assert await p.get_message() is None


async def test_contract_ignore_in_the_call_only(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe("a")
        await client.publish("a", "1")
        assert await p.get_message(ignore_subscribe_messages=True, timeout=1) is None
        assert await p.get_message(ignore_subscribe_messages=True, timeout=1) == message("a", "1")
        await p.subscribe("b")
        ack = await p.get_message(timeout=1)
        assert ack is not None
        assert ack["type"] == "subscribe"


async def test_contract_one_none_for_each_message_that_a_handler_was_through_with(
    shared_server: AnyServer,
):
    heard = Heard()
    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe(a=heard)
        await p.get_message(timeout=1)
        for i in range(5):
            await client.publish("a", str(i))
            assert await p.get_message() is None
            assert heard[-1] == str(i), "None before the handler had it"
        with within(1) as limit:
            assert await p.get_message(timeout=0.1) is None
        assert limit.took > 0.09, "one None too many"
        for i in range(5):
            await client.publish("a", str(i))
        await heard.wait(10)
        with within(0.5):
            for _ in range(5):
                assert await p.get_message() is None


async def test_concurrent_readers_each_get_their_own_in_order(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
        await drain(p)
        readers = [asyncio.create_task(p.get_message()) for _ in range(10)]
        await asyncio.sleep(0)
        for i in range(10):
            await client.publish("a", str(i))
        found = await asyncio.wait_for(asyncio.gather(*readers), 5)
        assert [one["data"] for one in found] == [str(i) for i in range(10)]  # type: ignore[index]


async def test_concurrent_readers_share_a_burst_without_loss(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        shares: list[list[int]] = [[] for _ in range(4)]

        async def read(share: list[int]) -> None:
            async for one in p:
                share.append(int(one["data"]))
                if one["data"] == "999":
                    await p.unsubscribe()

        readers = [asyncio.create_task(read(share)) for share in shares]
        for i in range(1000):
            await client.publish("a", str(i))
        await asyncio.wait_for(asyncio.gather(*readers), 5)
        assert sorted(i for share in shares for i in share) == list(range(1000))
        assert all(share == sorted(share) for share in shares)


async def test_outer_cancellation_loses_no_message(shared_server: AnyServer):
    """A thousand readers that are cancelled at any moment: every message reaches one of them."""
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
        await drain(p)
        found: list[int] = []

        async def read() -> None:
            one = await p.get_message()
            assert one is not None
            found.append(int(one["data"]))

        async def publish() -> None:
            for i in range(300):
                await client.publish("a", str(i))

        publishing = asyncio.create_task(publish())
        turn = 0
        while not publishing.done():
            reader = asyncio.create_task(read())
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            turn += 1
        await publishing
        found += [int(one["data"]) for one in await drain(p) if one]
        assert found == list(range(300))
        assert turn > 100


async def test_a_timeout_around_get_message_leaves_the_next_one_intact(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub(channels=["a"]) as p:
        await drain(p)
        for i in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await p.get_message()
            await client.publish("a", str(i))
            assert await p.get_message() == message("a", str(i))


async def test_many_unclaimed_nones_do_not_hold_up_the_loop(shared_server: AnyServer):
    """Somebody who polled once and never again does not find a backlog without an end."""
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(ignore_subscribe_messages=True, channel_handlers={"a": heard}) as p,
    ):
        await p.get_message(timeout=0)
        await publish_many(client, "a", 15_000)
        await heard.wait(15_000)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        nones = 0
        async with asyncio.timeout(10):
            while await p.get_message(timeout=0) is None and p._queue.pending_nones.count:
                nones += 1
        beating.cancel()
        assert nones <= 10_000
        assert beats > nones / 200


async def test_get_message_outside_of_the_context(shared_server: AnyServer):
    async with client_of(shared_server) as client:
        p = client.pubsub(channels=["a"], ignore_subscribe_messages=True)
        with pytest.raises(exceptions.ConnectionError, match=r"not initialized.*async with"):
            await p.get_message()
        async with p:
            assert await p.get_message() is None
            waiting = asyncio.create_task(p.get_message())
            await asyncio.sleep(0)
        with pytest.raises(exceptions.ConnectionError, match="closed"):
            await waiting
        with pytest.raises(exceptions.ConnectionError, match="closed"):
            await p.get_message(timeout=1)


async def test_what_was_handled_before_the_first_call_counts_as_well(shared_server: AnyServer):
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(ignore_subscribe_messages=True, channel_handlers={"a": heard}) as p,
    ):
        assert p._queue.pending_nones.take()  # of the acknowledgement
        await publish_many(client, "a", 20)
        await heard.wait(20)
        await p.subscribe("b")
        await client.publish("b", "x")
        await eventually(lambda: p.stats().waiting == 1)
        answers = [await p.get_message() for _ in range(22)]
        assert answers[0] == message("b", "x")
        assert answers[1:] == [None] * 21
        assert not p._queue.pending_nones.count
