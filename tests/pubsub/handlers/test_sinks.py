"""Failure sinks: whatever they are, they are told of each failure, or somebody is told why not."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import pytest

from actors import Actor, Handler, ListSink, StreamSink
from actors.pubsub.handlers.failure_sinks import WRITER_PREFIX
from actors.pubsub.lifecycle import sink_writers as writers
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from tests.pubsub.helpers import client_of, publish_many
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


def fails(message: Any) -> None:
    raise ValueError(message["data"])


def writers_of(pubsub: Any) -> list[str]:
    tree = pubsub._session.tree.system.tree()
    return [node.id for node in tree.walk() if node.id.startswith(WRITER_PREFIX)]


class Slow:
    """A sink that must be awaited."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.written: list[Any] = []

    async def write(self, failure: Any) -> None:
        await asyncio.sleep(self.seconds)
        self.written.append(failure.message["data"])


@pytest.mark.parametrize("kind", ["method", "lambda", "partial"])
async def test_a_sink_that_returns_an_awaitable_is_awaited(shared_server: AnyServer, kind: str):
    slow = Slow()
    sink: Any = {
        "method": slow.write,
        "lambda": lambda failure: slow.write(failure),
        "partial": functools.partial(lambda sink, failure: sink.write(failure), slow),
    }[kind]
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=sink) as p,
    ):
        await publish_many(client, "a", 100)
        assert await p.drain(5)
    assert slow.written == [str(number) for number in range(100)]


async def test_a_drain_waits_for_the_sinks(shared_server: AnyServer):
    slow, other = Slow(0.002), Slow(0.002)
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channel_handlers={"a": fails, "b": Handler(fails, on_failure=other.write)},
            on_failure=slow.write,
        ) as p,
    ):
        await publish_many(client, "a", 200)
        await publish_many(client, "b", 200)
        assert await p.drain(10)
        assert len(slow.written) == len(other.written) == 200
        assert writers_of(p) == []


async def test_a_sink_that_is_too_slow_makes_it_not_drained(shared_server: AnyServer, caplog):
    slow = Slow(0.2)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=slow.write) as p,
    ):
        await publish_many(client, "a", 100)
        assert not await p.drain(0.5)
    line = next(r.getMessage() for r in caplog.records if "failures_not_written" in r.getMessage())
    left = 100 - len(slow.written)
    assert f"failures={left}" in line or f"failures={left - 1}" in line  # one was in hand
    assert "Slow.write" in line


async def test_writers_end_with_the_handlers_that_they_serve(shared_server: AnyServer):
    shared = Slow()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"keeps": fails}, on_failure=shared.write) as p,
    ):
        for number in range(30):
            own = Slow()
            await p.subscribe(a=Handler(fails, on_failure=own.write), b=fails)
            await client.publish("a", str(number))
            await eventually(lambda own=own, n=number: own.written == [str(n)])
            await p.unsubscribe("a", "b")
        await eventually(lambda: len(writers_of(p)) == 1)
        await client.publish("keeps", "still")
        await eventually(lambda: shared.written == ["still"])
        await p.unsubscribe("keeps")
        await eventually(lambda: writers_of(p) == [])
        await p.subscribe(keeps=fails)
        await client.publish("keeps", "again")
        await eventually(lambda: shared.written == ["still", "again"])


async def test_what_an_ended_handler_left_is_written(shared_server: AnyServer):
    slow = Slow(0.005)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=slow.write) as p,
    ):
        await publish_many(client, "a", 100)
        await eventually(lambda: slow.written)
        await p.unsubscribe("a")
        await p.subscribe(a=fails)  # the same sink meanwhile
        await client.publish("a", "x")
        await eventually(lambda: len(slow.written) == 101)


async def test_what_a_slow_sink_sheds_is_logged(shared_server: AnyServer, caplog, monkeypatch):
    monkeypatch.setattr(writers, "_BOUND", MailboxSpec(10, Overflow.DROP_OLDEST))
    slow = Slow(0.01)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=slow.write) as p,
    ):
        await publish_many(client, "a", 500)
        assert await p.drain(5)
    lines = [r.getMessage() for r in caplog.records if "failures_shed" in r.getMessage()]
    assert 1 <= len(lines) <= 3
    told = sum(int(line.partition("failures=")[2].split()[0]) for line in lines)
    assert told == 500 - len(slow.written)


@pytest.mark.parametrize("make", [StreamSink, ListSink])
async def test_a_failure_without_a_payload_is_written_as_well(
    shared_server: AnyServer, make: Any, caplog
):
    class Ticks(Actor[Any]):
        async def on_start(self) -> None:
            if self.context.incarnation == 1:
                self.context.timers.after(0.001, ("tick", 1))

        def receive(self, message: Any) -> None:
            raise ValueError

    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Ticks}, on_failure=make(client, "failed")) as p,
    ):
        await client.publish("a", "x")
        read = ("XRANGE", "failed", "-", "+") if make is StreamSink else ("LRANGE", "failed", 0, -1)

        async def both() -> Any:
            found = await client.execute_command(*read)
            return found if len(found) == 2 else None

        found = await eventually(both)
        await p.unsubscribe()
    if make is StreamSink:
        data = {dict(zip(e[1][::2], e[1][1::2], strict=True))["data"] for e in found}
    else:
        data = {json.loads(entry)["data"] for entry in found}
    assert data == {"x", "('tick', 1)"}


async def test_what_a_redis_sink_cannot_write_is_logged(shared_server: AnyServer, caplog):
    class Broken:
        async def execute_command(self, *args: Any) -> Any:
            raise TypeError("what nobody expected")

    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=StreamSink(Broken(), "k")) as p,
    ):
        await client.publish("a", "x")
        assert await p.drain(5)
    assert "failure_sink_failed" in caplog.text
    assert "ValueError('x')" in caplog.text
