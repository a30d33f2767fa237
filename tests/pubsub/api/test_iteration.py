"""Section 7 of the contract: ``async for`` over a pub/sub object, and when it ends."""

from __future__ import annotations

import asyncio

import pytest

from tests.pubsub.helpers import Heard, client_of, data_of, drain, publish_many
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


async def test_contract_it_is_its_own_iterator(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        assert p.__aiter__() is p


async def test_contract_it_ends_when_another_task_unsubscribes_from_all(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe("foo")
        await p.psubscribe("f*")
        found: list = []

        async def iterate() -> None:
            async for one in p:
                found.append((one["type"], one["data"]))  # noqa: PERF401 - seen while it goes on

        iterating = asyncio.create_task(iterate())
        for i in range(10):
            await client.publish("foo", str(i))
        await eventually(lambda: len(found) == 22)
        await p.unsubscribe()
        assert not iterating.done()
        await p.punsubscribe()
        await asyncio.wait_for(iterating, 1)
    assert found[:2] == [("subscribe", 1), ("psubscribe", 2)]
    # The acknowledgements that were on their way come before the end.
    assert found[-2:] == [("unsubscribe", 1), ("punsubscribe", 0)]
    assert [data for kind, data in found if kind == "message"] == [str(i) for i in range(10)]
    assert [data for kind, data in found if kind == "pmessage"] == [str(i) for i in range(10)]


async def test_contract_it_ends_at_once_where_nothing_was_subscribed(shared_server: AnyServer):
    async with client_of(shared_server) as client:
        fresh = client.pubsub()
        assert [one async for one in fresh] == []
        async with client.pubsub() as p:
            assert [one async for one in p] == []
            await p.unsubscribe()
            assert [one["type"] async for one in p] == ["unsubscribe"]


async def test_contract_it_ignores_acks_where_the_instance_does(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a", "b"], ignore_subscribe_messages=True) as p,
    ):
        await client.publish("a", "1")
        async for one in p:
            assert one["data"] == "1"
            break
        await p.unsubscribe()
        assert [one async for one in p] == []


async def test_contract_the_iterator_never_yields_none(shared_server: AnyServer):
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["a"], channel_handlers={"h": heard}, ignore_subscribe_messages=True
        ) as p,
    ):
        for i in range(20):
            await client.publish("h", str(i))
            await client.publish("a", str(i))
        assert await data_of(p, 20) == [str(i) for i in range(20)]
        await heard.wait(20)


async def test_contract_leaving_the_context_ends_iteration_elsewhere(shared_server: AnyServer):
    found: list = []
    async with client_of(shared_server) as client:
        async with client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p:

            async def iterate() -> None:
                async for one in p:
                    found.append(one["data"])  # noqa: PERF401 - seen while it goes on

            iterating = asyncio.create_task(iterate())
            await client.publish("a", "1")
            await eventually(lambda: found == ["1"])
        await asyncio.wait_for(iterating, 1)
        assert [one async for one in p] == []


async def test_iteration_goes_on_after_a_resubscription(shared_server: AnyServer):
    """Ended once, it starts again with the next subscription."""
    async with (
        client_of(shared_server) as client,
        client.pubsub(ignore_subscribe_messages=True) as p,
    ):
        for i in range(3):
            await p.subscribe(f"c{i}")
            await client.publish(f"c{i}", str(i))
            assert await data_of(p, 1) == [str(i)]
            await p.unsubscribe()
            assert [one async for one in p] == []


async def test_a7_a_backlog_leaves_the_loop_room(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        await publish_many(client, "a", 10_000)
        await eventually(lambda: p.stats().waiting >= 10_000)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        count = 0
        async for _ in p:
            count += 1
            if count == 10_000:
                break
        beating.cancel()
        # A turn is a millisecond or some, however quick the reader is.
        assert beats > 5


async def test_an_exception_in_the_loop_body_passes_as_it_is(shared_server: AnyServer):
    async with client_of(shared_server) as client:
        with pytest.raises(ValueError, match="mine"):
            async with client.pubsub(channels=["a"]) as p:
                async for _ in p:
                    raise ValueError("mine")
        # And left nothing behind: another one works.
        async with client.pubsub(channels=["a"]) as p:
            assert len(await drain(p)) == 1
