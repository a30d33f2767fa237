"""``pubsub.batches()``: the iterator's messages, many at a time."""

from __future__ import annotations

import asyncio

import pytest

from tests.pubsub.helpers import Gaps, client_of, kill_subscribers, publish_many
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


def data_of_batch(messages: list) -> list:
    return [message["data"] for message in messages]


async def test_batches_bring_all_messages_in_order_and_end_with_the_subscriptions(
    shared_server: AnyServer,
):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        await publish_many(client, "a", 1000)
        await eventually(lambda: p.stats().waiting == 1000)
        found: list[str] = []
        sizes: list[int] = []

        async def iterate() -> None:
            async for messages in p.batches(max=300):
                sizes.append(len(messages))
                found.extend(data_of_batch(messages))

        iterating = asyncio.create_task(iterate())
        await eventually(lambda: len(found) == 1000)
        assert found == [str(i) for i in range(1000)]
        assert min(sizes[:3]) >= 299, "the yield marker takes a place, and cuts no batch"
        await client.publish("a", "alone")
        await eventually(lambda: found[-1] == "alone")
        assert sizes[-1] == 1, "a batch waits for its first message only"
        await p.unsubscribe()
        await asyncio.wait_for(iterating, 5)


async def test_p10_a_gap_is_told_between_two_batches(shared_server: AnyServer):
    order: list = []
    async with client_of(shared_server) as client:
        p = client.pubsub(
            channels=["a"], ignore_subscribe_messages=True, on_gap=lambda _: order.append("gap")
        )
        async with p:
            await publish_many(client, "a", 3)
            await eventually(lambda: p.stats().waiting == 3)
            kill_subscribers(shared_server)
            await eventually(lambda: p.stats().gaps == 1 and not p.unconfirmed())
            await publish_many(client, "a", 2)
            await eventually(lambda: p.stats().waiting == 5)
            batches = p.batches()
            order.append(data_of_batch(await anext(batches)))
            order.append(data_of_batch(await anext(batches)))
    assert order == [["0", "1", "2"], "gap", ["0", "1"]]


async def test_a_cancelled_batch_loses_nothing(shared_server: AnyServer):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as p,
    ):
        batches = p.batches()
        waiting = asyncio.create_task(anext(batches))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await publish_many(client, "a", 5)
        await eventually(lambda: p.stats().waiting == 5)
        cancelled = asyncio.create_task(anext(batches))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert data_of_batch(await anext(batches)) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "many"])
async def test_a_batch_of_no_messages_is_refused(shared_server: AnyServer, wrong):
    async with client_of(shared_server) as client:
        with pytest.raises(ValueError, match="max must be a whole number of messages, 1 or more"):
            client.pubsub().batches(max=wrong)


async def test_batches_of_an_object_that_is_not_entered_end_at_once(shared_server: AnyServer):
    async with client_of(shared_server) as client:
        assert [messages async for messages in client.pubsub().batches()] == []


async def test_p10_the_gaps_of_many_batches(shared_server: AnyServer):
    """Without anybody to tell, a gap only ends the batch before it."""
    gaps = Gaps()
    async with client_of(shared_server) as client:
        p = client.pubsub(channels=["a", "b"], ignore_subscribe_messages=True, on_gap=gaps)
        async with p:
            kill_subscribers(shared_server)
            await eventually(lambda: p.stats().gaps == 2 and not p.unconfirmed())
            await publish_many(client, "b", 1)
            assert data_of_batch(await anext(p.batches())) == ["0"]
            assert gaps.names() == ["a", "b"]
