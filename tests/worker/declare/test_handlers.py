"""What a worker puts between a handler and its messages, and what it shows of the handler."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from actors import Actor, Batch, Breaker, Payload
from actors.worker.observe.metrics import render
from tests.support import eventually
from tests.worker.helpers import Customer, Failures, Order, make_worker
from tests.worker.run.test_worker import client as client  # a fixture

pytestmark = pytest.mark.embedded_only


async def test_a_key_is_a_function_of_what_the_handler_takes(server, client):
    seen: list[Any] = []
    app = make_worker(server, context=Customer())

    @app.channel("text", concurrency=2, key=lambda text: text[0])
    async def text(text: str) -> None:
        seen.append(text)

    @app.channel("raw", concurrency=2, key=lambda data: data[0])
    async def raw(customer: Customer, data: bytes) -> None:
        seen.append((customer.name, data))

    @app.channel("typed", concurrency=2, key=lambda order: order.item)
    async def typed(order: Order, customer: Customer) -> None:
        seen.append(order)

    @app.channel("message", concurrency=2, key=lambda message: message["data"])
    async def message(message) -> None:
        seen.append(message["data"])

    async with app:
        for channel, data in [
            *(("text", "words"), ("raw", b"\xff\x00")),
            *(("typed", '{"id": 1}'), ("message", "m")),
        ]:
            count = len(seen)
            await client.publish(channel, data)
            await eventually(lambda count=count: len(seen) == count + 1)
    assert seen == ["words", ("context", b"\xff\x00"), Order(1), "m"]


async def test_an_actor_takes_raw_payloads_and_survives_bad_ones(server, client):
    seen: list[Any] = []
    failures = Failures()
    app = make_worker(server, on_failure=failures)

    @app.channel("text")
    class Text(Actor[str]):
        def receive(self, text: str) -> None:
            seen.append((id(self), text))

    @app.channel("orders")
    class Orders(Actor[Order]):
        def __init__(self) -> None:
            self.count = 0

        async def on_start(self) -> None:
            self.context.timers.after(0.001, "tick")

        async def receive(self, order: Order) -> None:
            self.count += 1
            seen.append((self.count, order))

    async with app:
        await eventually(lambda: seen == [(1, "tick")])  # what is no message is not decoded
        for data in (b"\xff", "fine"):
            await client.publish("text", data)
        for data in ("{", '{"id": 1}'):
            await client.publish("orders", data)
        await eventually(lambda: len(seen) == 3 and len(failures) == 2)
        assert [handler.restarts for handler in app.snapshot().handlers] == [0, 0]
    assert (2, Order(1)) in seen
    assert {error.__name__ for error in failures.errors()} == {"UnicodeDecodeError", "DecodeError"}


async def test_middleware_may_make_a_payload_decodable(server, client):
    """Decoding is the innermost step: middleware sees what does not decode, and may help."""
    seen: list[Any] = []
    failures = Failures()
    app = make_worker(server, on_failure=failures)

    @app.middleware
    async def unpacked(message, next):
        try:
            return await next({**message, "data": base64.b64decode(message["data"])})
        except msgspec.DecodeError:
            seen.append("middleware saw it")
            raise

    @app.channel("plain")
    async def plain(order: Order) -> None:
        seen.append(order)

    @app.channel("acted")
    class Acted(Actor[Order]):
        def receive(self, order: Order) -> None:
            seen.append(order)

    @app.channel("concurrent", concurrency=2, timeout=5)
    async def concurrent(order: Order) -> None:
        seen.append(order)

    @app.channel("thread", in_thread=True, timeout=5)
    def thread(order: Order) -> None:
        seen.append(order)

    good, bad = base64.b64encode(b'{"id": 1}'), base64.b64encode(b"{")
    async with app:
        for channel in ("plain", "acted", "concurrent", "thread"):
            await client.publish(channel, good)
            await eventually(lambda: seen and seen[-1] == Order(1))
            await client.publish(channel, bad)
            await eventually(lambda: seen[-1] == "middleware saw it")
        await eventually(lambda: len(failures) == 4)
        assert not any(handler.restarts for handler in app.snapshot().handlers)
    assert {failure.message["data"] for failure in failures} == {bad.decode()}


async def test_an_operator_sees_the_breaker(server, client):
    app = make_worker(server, on_failure=Failures())

    @app.channel("fine")
    async def fine(message) -> None: ...

    @app.channel("bad", breaker=Breaker(3, 60))
    async def bad(message) -> None:
        raise ValueError

    @app.channel("actor", breaker=Breaker(3, 60))
    class Bad(Actor[Any]):
        def receive(self, message: Any) -> None:
            raise ValueError

    async with app:
        for _ in range(5):
            for channel in ("fine", "bad", "actor"):
                await client.publish(channel, "x")

        def breakers() -> dict[str, str]:
            return {one.name: one.breaker for one in app.snapshot().handlers}

        await eventually(lambda: breakers() == {"fine": "closed", "bad": "open", "actor": "open"})
        tree = {node.id: node.detail.get("breaker") for node in app.tree().walk()}
        assert (tree["fine"], tree["bad"], tree["actor"]) == (None, "open", "open")
        body, _ = render(app.worker_snapshot())
        assert 'mailslot_breaker_open{handler="bad",process="0"} 1.0' in body.decode()
        assert 'mailslot_breaker_open{handler="fine",process="0"} 0.0' in body.decode()


async def test_who_writes_failures_is_no_handler(server, client):
    let_go = asyncio.Event()

    async def sink(failure) -> None:
        await let_go.wait()

    app = make_worker(server, on_failure=sink)

    @app.channel("a")
    async def fails(message) -> None:
        raise ValueError

    async with app:
        await client.publish("a", "x")
        await eventually(lambda: any("failures" in node.id for node in app.tree().walk()))
        snapshot = app.snapshot()
        assert [handler.name for handler in snapshot.handlers] == ["a"]
        assert b"mailslot:failures" not in render(app.worker_snapshot())[0]
        let_go.set()


async def test_a_drain_waits_for_failures_and_counts_those_that_are_left(server, client):
    written: list[Any] = []

    def worker(seconds: float, limit: float) -> Any:
        async def sink(failure) -> None:
            await asyncio.sleep(seconds)
            written.append(failure)

        app = make_worker(server, on_failure=sink, drain_timeout=limit)

        @app.channel("a", breaker=None)
        async def fails(message) -> None:
            raise ValueError

        return app

    for app, in_time in ((worker(0.005, 10), True), (worker(0.1, 0.4), False)):
        written.clear()
        async with app:
            for _ in range(100):
                await client.publish("a", "x")
            await eventually(lambda app=app: app.snapshot().handlers[0].handled == 100)
        assert app.drained.in_time is in_time
        if in_time:
            assert (len(written), app.drained.left) == (100, 0)
        else:
            assert 0 < app.drained.left <= 100 - len(written)


async def test_what_is_parked_is_counted_as_waiting(server, client):
    let_go = asyncio.Event()
    app = make_worker(server, drain_timeout=0.3)

    @app.channel("a", concurrency=4, key=lambda message: 1)
    async def handler(message) -> None:
        await let_go.wait()

    async with app:
        for _ in range(20):
            await client.publish("a", "x")
        await eventually(lambda: app.snapshot().handlers[0].depth == 19)
    assert app.drained is not None
    assert app.drained.left == 19


@dataclass
class Reading:
    celsius: float


@attrs.define
class Entry:
    amount: int


class Count(TypedDict):
    number: int


class Paid(pydantic.BaseModel):
    id: int = pydantic.Field(gt=0)


async def test_payloads_are_what_annotations_say_and_are_published_as_they_are(server):
    seen: list[Any] = []
    failures = Failures()
    app = make_worker(server, on_failure=failures)

    @app.channel("readings")
    async def on_reading(reading: Reading) -> None:
        seen.append(reading)

    @app.channel("entries")
    class Entries(Actor[Entry]):
        async def receive(self, entry: Entry) -> None:
            seen.append(entry)

    @app.channel("counts", concurrency=2, key="number")
    def on_count(count: Count) -> None:
        seen.append(count)

    @app.channel("paid", batch=Batch(max=10))
    async def on_paid(paid: list[Paid]) -> None:
        seen.extend(paid)

    @app.channel("lines", decode=lambda line: line.split(b";"))
    async def on_line(fields: list[bytes]) -> None:
        seen.append(fields)

    published: list[tuple[str, Payload]] = [
        ("readings", Reading(1.5)),
        ("entries", Entry(2)),
        ("counts", Count(number=3)),
        ("paid", Paid(id=4)),
    ]
    async with app:
        await app.client.publish_many(published)
        await app.client.publish("lines", "a;b")
        await eventually(lambda: len(seen) == 5)
        for message in ({"id": 0}, {"id": "no"}, [], "{"):
            await app.client.publish("paid", message)
        await eventually(lambda: len(failures) == 4)
    assert sorted(map(repr, seen)) == sorted(
        map(repr, [*(message for _, message in published), [b"a", b"b"]])
    )
    assert failures.errors() == [pydantic.ValidationError] * 4
