"""``Handler(fn, batch=Batch(...))``: many messages in one call, and what fails of them (P12)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from actors import Actor, Batch, BatchError, Breaker, BreakerOpenError, Handler
from supervisor import SpecError
from tests.pubsub.helpers import client_of, kill_subscribers, publish_many
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


class Order(msgspec.Struct):
    """A payload."""

    number: int


class Batches:
    """A handler that keeps its batches, and holds the first one until it is let go."""

    def __init__(self) -> None:
        self.got: list[list[Any]] = []
        self.go = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, messages: list[Any]) -> None:
        self.got.append(messages)
        self.entered.set()
        await self.go.wait()

    def numbers(self) -> list[int]:
        return [int(one["data"]) for messages in self.got for one in messages]


def node_of(pubsub: Any, name: str) -> Any:
    system = pubsub._session.tree.system
    return next(n for n in system.tree().walk() if n.path.endswith(f"/handlers/{name}"))


async def behind_a_held_one(client: Any, batches: Batches, count: int) -> None:
    """Have ``count`` messages wait behind a first batch of one."""
    await publish_many(client, "a", 1)
    await batches.entered.wait()
    await publish_many(client, "a", count, first=1)


async def test_p12_a_batch_has_what_waits_in_order_up_to_its_maximum(shared_server: AnyServer):
    batches = Batches()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(batches, batch=Batch(max=40))}) as p,
    ):
        await behind_a_held_one(client, batches, 100)
        await eventually(lambda: p.stats().received == 101)
        batches.go.set()
        await eventually(lambda: len(batches.numbers()) == 101)
        assert batches.numbers() == list(range(101))
        assert [len(one) for one in batches.got] == [1, 40, 40, 20]
        assert node_of(p, "a").detail["processed"] == 101


async def test_p12_a_batch_waits_for_more_until_it_is_full(shared_server: AnyServer):
    batches = Batches()
    batches.go.set()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(batches, batch=Batch(max=3, wait=60))}),
    ):
        for number in range(7):
            await client.publish("a", number)
        await eventually(lambda: len(batches.got) == 2)
        assert [len(one) for one in batches.got] == [3, 3]


async def test_p12_a_batch_waits_no_longer_than_its_time(shared_server: AnyServer):
    batches = Batches()
    batches.go.set()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(batches, batch=Batch(max=3, wait=0.05))}),
    ):
        await client.publish("a", 0)
        await client.publish("a", 1)
        await eventually(lambda: batches.numbers() == [0, 1])


async def test_p13_a_drain_does_not_wait_for_a_batch_to_fill(shared_server: AnyServer):
    batches = Batches()
    batches.go.set()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channel_handlers={"a": Handler(batches, batch=Batch(max=100, wait=600))}
        ) as p,
    ):
        await publish_many(client, "a", 3)
        await eventually(lambda: p.stats().received == 3)
        assert await p.drain(20)
    assert batches.numbers() == [0, 1, 2]


async def test_p10_a_gap_is_told_between_two_batches(shared_server: AnyServer):
    order: list[Any] = []

    async def on_batch(messages: list[Any]) -> None:
        order.append([one["data"] for one in messages])

    handler = Handler(on_batch, batch=Batch(wait=0.02), on_gap=lambda _: order.append("gap"))
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        await publish_many(client, "a", 2)
        await eventually(lambda: order == [["0", "1"]])
        kill_subscribers(shared_server)
        await eventually(lambda: p.stats().gaps == 1 and not p.unconfirmed())
        await publish_many(client, "a", 2)
        await eventually(lambda: len(order) == 3)
    assert order == [["0", "1"], "gap", ["0", "1"]]


async def test_p12_what_does_not_decode_fails_alone(shared_server: AnyServer):
    failures: list[Any] = []
    got: list[Any] = []

    async def on_orders(orders: list[Order], messages: list[Any]) -> None:
        got.extend(zip([one.number for one in orders], messages, strict=True))

    handler = Handler(
        on_orders, decode=Order, batch=Batch(max=4, wait=60), on_failure=failures.append
    )
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}),
    ):
        for payload in ('{"number": 0}', "no order", '{"number": 2}', '{"number": "x"}'):
            await client.publish("a", payload)
        await eventually(lambda: len(failures) == 2)
        assert [number for number, _ in got] == [0, 2]
        assert [message["data"] for _, message in got] == ['{"number": 0}', '{"number": 2}']
        assert [one.message["data"] for one in failures] == ["no order", '{"number": "x"}']


async def test_p12_a_batch_that_raises_has_failed_for_all_of_its_messages(
    shared_server: AnyServer,
):
    failures: list[Any] = []

    def on_batch(messages: list[Any]) -> None:
        if messages[0]["data"] == "0":
            raise RuntimeError("down")

    handler = Handler(on_batch, batch=Batch(max=3, wait=60), on_failure=failures.append)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        await publish_many(client, "a", 6)
        await eventually(lambda: p.stats().received == 6)
        assert await p.drain(20)
    assert [one.message["data"] for one in failures] == ["0", "1", "2"]
    assert {repr(one.error) for one in failures} == {"RuntimeError('down')"}


async def test_p12_a_handler_says_which_messages_of_a_batch_failed(shared_server: AnyServer):
    failures: list[Any] = []

    async def on_batch(orders: list[Order]) -> None:
        raise BatchError({1: ValueError("odd"), 3: ValueError("odd, too")})

    handler = Handler(
        on_batch,
        decode=Order,
        batch=Batch(max=5, wait=60),
        on_failure=failures.append,
        breaker=Breaker(limit=2),
    )
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        for number in (-1, 0, 1, 2, 3):
            payload = "no order" if number < 0 else f'{{"number": {number}}}'
            await client.publish("a", payload)
        await eventually(lambda: len(failures) == 3)
        failed = [(one.message["data"], type(one.error)) for one in failures]
        assert failed == [
            ("no order", msgspec.DecodeError),
            ('{"number": 1}', ValueError),
            ('{"number": 3}', ValueError),
        ]
        assert "breaker" not in node_of(p, "a").detail, "the call succeeded"


async def test_p12_places_that_a_batch_does_not_have_fail_the_batch(shared_server: AnyServer):
    failures: list[Any] = []

    async def on_batch(messages: list[Any]) -> None:
        raise BatchError({2: ValueError("beyond")})

    handler = Handler(on_batch, batch=Batch(max=2, wait=60), on_failure=failures.append)
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": handler}):
        await publish_many(client, "a", 2)
        await eventually(lambda: len(failures) == 2)
    assert "names the places [2] of a batch of 2 messages" in str(failures[0].error)


async def test_p12_the_breaker_counts_calls_and_not_messages(shared_server: AnyServer):
    failures: list[Any] = []
    calls = 0

    async def on_batch(messages: list[Any]) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("down")

    handler = Handler(
        on_batch,
        batch=Batch(max=10, wait=60),
        breaker=Breaker(limit=3, cooldown=600),
        on_failure=failures.append,
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": handler}):
        await publish_many(client, "a", 50)
        await eventually(lambda: len(failures) == 50)
    assert calls == 3
    assert sum(isinstance(one.error, BreakerOpenError) for one in failures) == 20


async def test_p12_the_time_limit_is_for_a_call(shared_server: AnyServer):
    failures: list[Any] = []

    async def on_batch(messages: list[Any]) -> None:
        await asyncio.Event().wait()

    handler = Handler(
        on_batch, batch=Batch(max=2, wait=60), timeout=0.05, on_failure=failures.append
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": handler}):
        await publish_many(client, "a", 2)
        await eventually(lambda: len(failures) == 2)
    assert {type(one.error) for one in failures} == {TimeoutError}


async def test_p12_batches_in_a_thread(shared_server: AnyServer):
    got: list[Any] = []

    def on_batch(messages: list[Any]) -> None:
        got.append((threading.current_thread() is threading.main_thread(), len(messages)))

    handler = Handler(on_batch, batch=Batch(max=2, wait=60), in_thread=True)
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": handler}):
        await publish_many(client, "a", 4)
        await eventually(lambda: len(got) == 2)
    assert got == [(False, 2), (False, 2)]


async def test_p12_overflow_block_and_batches_lose_nothing(shared_server: AnyServer):
    batches = Batches()
    handler = Handler(batches, batch=Batch(max=7), mailbox=5, overflow="block")
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}),
    ):
        await behind_a_held_one(client, batches, 3000)
        batches.go.set()
        await eventually(lambda: len(batches.numbers()) == 3001)
    assert batches.numbers() == list(range(3001))


async def test_p12_middleware_sees_each_message_of_a_batch(shared_server: AnyServer):
    seen: list[tuple[str, str]] = []
    failures: list[Any] = []
    got: list[list[int]] = []

    async def around(message: Any, step: Any) -> Any:
        data = message["data"]
        if data == '{"number": 1}':
            return  # dropped
        if data == '{"number": 2}':
            message = {**message, "data": '{"number": 20}'}
        if data == '{"number": 3}':
            raise RuntimeError("refused by the middleware")
        try:
            await step(message)
        except ValueError:
            seen.append((data, "failed"))
            raise
        seen.append((data, "handled"))

    async def on_batch(orders: list[Order]) -> None:
        got.append([one.number for one in orders])
        raise BatchError({1: ValueError("twenty")})

    handler = Handler(
        on_batch, decode=Order, batch=Batch(max=5, wait=60), on_failure=failures.append
    )
    handler.around = around
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        for number in range(5):
            await client.publish("a", f'{{"number": {number}}}')
        await eventually(lambda: len(failures) == 2)
        # A batch of which no message passes: the handler is not called.
        for _ in range(5):
            await client.publish("a", '{"number": 1}')
        await eventually(lambda: node_of(p, "a").detail["processed"] == 10)
    assert got == [[0, 20, 4]]
    assert sorted(seen) == [
        ('{"number": 0}', "handled"),
        ('{"number": 2}', "failed"),
        ('{"number": 4}', "handled"),
    ]
    assert [one.message["data"] for one in failures] == ['{"number": 2}', '{"number": 3}']


async def test_p12_what_is_cancelled_is_reported(shared_server: AnyServer):
    """Leaving cancels a handler that takes too long: its messages are reported as failed."""
    failures: list[Any] = []
    batches = Batches()
    handler = Handler(batches, batch=Batch(max=3, wait=60), on_failure=failures.append)
    async with client_of(shared_server) as client:
        p = client.pubsub(channel_handlers={"a": handler})
        async with p:
            await publish_many(client, "a", 3)
            await batches.entered.wait()
    assert len(failures) == 3
    assert {type(one.error) for one in failures} == {asyncio.CancelledError}


async def test_p12_what_is_cancelled_before_its_call_is_reported(shared_server: AnyServer):
    failures: list[Any] = []
    batches = Batches()
    handler = Handler(batches, batch=Batch(max=3, wait=60), on_failure=failures.append)
    handler.gate = asyncio.Event()  # never set
    async with client_of(shared_server) as client:
        p = client.pubsub(channel_handlers={"a": handler})
        async with p:
            await publish_many(client, "a", 3)
            await eventually(lambda: node_of(p, "a").detail["mailbox"] == 0 and p.stats().received)
            await eventually(lambda: node_of(p, "a").detail["processed"] == 2)
    assert batches.got == []
    assert [one.message["data"] for one in failures] == ["1", "2", "0"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch": Batch(), "concurrency": 2}, "concurrency must be 1"),
        ({"batch": 100}, "batch must be a Batch"),
    ],
)
def test_options_that_exclude_batches(options, problem):
    with pytest.raises(SpecError, match=problem):
        Handler(lambda messages: None, **options)


def test_an_actor_takes_no_batches():
    class Mine(Actor):
        async def receive(self, message: Any) -> None: ...

    with pytest.raises(SpecError, match="batch is for functions"):
        Handler(Mine, batch=Batch())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"max": 0}, {"max": 100_001}, {"max": 1.5}, {"max": True}, {"max": "5"}),
        *({"wait": -1}, {"wait": float("nan")}, {"wait": "1"}),
    ],
)
def test_a_batch_that_cannot_be(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Batch(**wrong)
