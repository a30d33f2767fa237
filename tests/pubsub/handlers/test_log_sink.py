"""The log of failures: the first of each kind in full, then how many there were."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Breaker, BreakerOpenError, Handler, LogSink, StreamSink
from tests.pubsub.handlers.test_concurrency import node_of
from tests.pubsub.helpers import client_of, publish_many
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


def fails(message: Any) -> None:
    if message["data"] == "odd":
        raise KeyError("odd")
    raise ValueError(message["data"])


def lines(caplog: Any, event: str) -> list[Any]:
    return [r for r in caplog.records if f"event='{event}'" in r.getMessage()]


@pytest.mark.parametrize(("concurrency", "sink"), [(1, None), (4, None), (1, LogSink())])
async def test_p12_failures_of_one_kind_are_one_traceback_and_a_count(
    shared_server: AnyServer, caplog, concurrency: int, sink: LogSink | None
):
    wanted = Handler(fails, breaker=None, concurrency=concurrency, on_failure=sink)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        await publish_many(client, "a", 50)
        await client.publish("a", "odd")
        await client.publish("a", "odd")
        assert await p.drain(10)
    first = lines(caplog, "handler_failed")
    assert [record.exc_info is not None for record in first] == [True, True]
    assert "ValueError" in first[0].getMessage()
    assert "KeyError('odd')" in first[1].getMessage()
    # Told at the end of the pub/sub object, long before the interval is over.
    again = [record.getMessage() for record in lines(caplog, "handler_failed_again")]
    assert len(again) == 2
    assert "times=49" in again[0]
    assert "test_log_sink.py" in again[0]
    assert "times=1 " in again[1]


async def test_counts_are_told_at_intervals(shared_server: AnyServer, caplog):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": fails}, on_failure=LogSink(0.1)),
    ):

        async def told_twice() -> bool:
            await client.publish("a", "x")
            return len(lines(caplog, "handler_failed_again")) >= 2

        await eventually(told_twice, 20)
    assert len(lines(caplog, "handler_failed")) == 1


async def test_p12_an_open_breaker_tells_its_first_and_its_last_error(
    shared_server: AnyServer, caplog
):
    failures: list[Any] = []
    sink = StreamSink(client_of(shared_server), "failed")
    numbers = iter(range(1000))

    def counts(message: Any) -> None:
        raise ValueError(f"number {next(numbers)}")

    async def keep(failure: Any) -> None:
        failures.append(failure)
        await sink(failure)

    wanted = Handler(counts, breaker=Breaker(3, 600), on_failure=keep)
    async with (
        client_of(shared_server) as client,
        sink._client,  # type: ignore[attr-defined]
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        await publish_many(client, "a", 5)
        await eventually(lambda: len(failures) == 5)
        node = node_of(p, "a")
        assert await p.drain(10)
        written = str(await client.execute_command("XRANGE", "failed", "-", "+"))
    error = failures[-1].error
    assert isinstance(error, BreakerOpenError)
    assert error.failures is not None
    assert error.failures.count == 3
    for text in (str(error), written, str(node)):
        assert "number 0" in text
        assert "number 2" in text
    (opened,) = lines(caplog, "breaker_open")
    for part in ("failures=3", "number 0", "number 2", "first_at=", "last_at="):
        assert part in opened.getMessage()


async def test_a_breaker_that_stays_open_says_so_now_and_then(shared_server: AnyServer, caplog):
    calls: list[Any] = []

    def handler(message: Any) -> None:
        calls.append(message)
        raise ValueError("always")

    wanted = Handler(handler, breaker=Breaker(2, 0.02), on_failure=lambda _: None)
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):

        async def tried_often() -> bool:
            await client.publish("a", "x")
            return len(calls) >= 8

        await eventually(tried_often, 20)
    assert len(lines(caplog, "breaker_open")) == 1
    assert len(lines(caplog, "breaker_still_open")) <= 1
