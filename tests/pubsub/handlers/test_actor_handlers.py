"""Actor classes as handlers: their crash is theirs, and nothing else crashes them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from actors import Actor, Breaker, BreakerOpenError, Handler
from tests.pubsub.handlers.test_concurrency import node_of
from tests.pubsub.helpers import client_of, publish_many, within
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


class Order(msgspec.Struct):
    id: int


class Counts(Actor[Any]):
    """Says how many messages this incarnation has had; raises on those that say so."""

    seen: list[Any]

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: Any) -> None:
        if isinstance(message, dict) and message["data"] == "raise":
            raise ValueError("raised")
        self.count += 1
        self.seen.append(self.count)


@pytest.fixture
def counts() -> type[Counts]:
    return type("Counts", (Counts,), {"seen": []})


async def test_what_does_not_decode_neither_crashes_nor_resets_it(shared_server: AnyServer, counts):
    failures: list[Any] = []
    wanted = Handler(counts, decode=Order, on_failure=failures.append)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        with within(2):
            for data in ('{"id": 1}', '{"id": "x"}', *["{"] * 20, '{"id": 2}'):
                await client.publish("a", data)
            await eventually(lambda: counts.seen == [1, 2])
        assert node_of(p, "a").restarts == 0
    assert len(failures) == 21
    assert all(isinstance(failure.error, msgspec.DecodeError) for failure in failures)
    assert failures[0].message["data"] == '{"id": "x"}'


async def test_its_breaker_opens_and_closes(shared_server: AnyServer, counts, caplog):
    failures: list[Any] = []
    wanted = Handler(counts, breaker=Breaker(3, 0.2), on_failure=failures.append)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for data in ("raise", "raise", "fine", "raise", "raise"):
            await client.publish("a", data)
        await eventually(lambda: len(failures) == 4)
        assert "breaker" not in node_of(p, "a").detail  # a success between: none of three in a row
        await client.publish("a", "raise")
        await eventually(lambda: node_of(p, "a").detail.get("breaker") == "open")
        await client.publish("a", "refused")
        await eventually(lambda: len(failures) == 6)
        assert isinstance(failures[-1].error, BreakerOpenError)
        assert node_of(p, "a").restarts == 5

        async def is_closed() -> bool:
            await client.publish("a", "fine")
            return "breaker" not in node_of(p, "a").detail

        await eventually(is_closed, every=0.05)
        assert "breaker_closed" in caplog.text
        assert caplog.text.count("breaker_open") == 1


async def test_s5_one_that_handles_most_messages_keeps_up(shared_server: AnyServer, full_speed):
    """Two per cent of a thousand a second crash it: it is back after the first delay each time."""
    handled: list[str] = []
    failures: list[Any] = []

    class Sometimes(Actor[Any]):
        def receive(self, message: Any) -> None:
            if int(message["data"]) % 50 == 7:
                raise ValueError
            handled.append(message["data"])

    wanted = Handler(Sometimes, on_failure=failures.append)
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):
        await publish_many(client, "a", 3000)
        await eventually(lambda: len(handled) + len(failures) == 3000, 3)
    assert len(failures) == 60


async def test_s5_one_that_crashes_on_every_message_backs_off(shared_server: AnyServer):
    failures: list[Any] = []

    class Never(Actor[Any]):
        def receive(self, message: Any) -> None:
            raise ValueError

    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Never}, on_failure=failures.append) as p,
    ):
        await publish_many(client, "a", 1000)
        await eventually(lambda: len(failures) >= 10)
        begun = asyncio.get_running_loop().time()
        count = len(failures)
        await eventually(lambda: len(failures) >= count + 3, 10)
        took = asyncio.get_running_loop().time() - begun
        assert took > 0.1
        assert node_of(p, "a").restarts < 50


async def test_messages_of_its_own_count_for_no_breaker(shared_server: AnyServer):
    failures: list[Any] = []

    class Ticks(Actor[Any]):
        async def on_start(self) -> None:
            self.context.timers.after(0.001, "tick")

        def receive(self, message: Any) -> None:
            if message == "tick":
                raise ValueError

    wanted = Handler(Ticks, breaker=Breaker(1, 60), on_failure=failures.append)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        await eventually(lambda: len(failures) >= 3)
        assert "breaker" not in node_of(p, "a").detail
    assert failures[0].message == "tick"
    assert failures[0].channel == "a"
