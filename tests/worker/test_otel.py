"""Spans of messages, through OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from actors import Redis
from actors.pubsub.delivery.receive_times import ReceiveTimes
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from actors.worker.otel import tracing

pytestmark = pytest.mark.embedded_only


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


async def test_each_message_is_a_span(server, exporter, provider):
    app = make_worker(server, on_failure=Failures())
    app.middleware(tracing(provider.get_tracer("test")))

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        if order.id == 2:
            raise KeyError("two")

    async with app, Redis(server.host, server.port) as client:
        await client.publish("orders", '{"id": 1}')
        await client.publish("orders", '{"id": 2}')
        await eventually(lambda: len(exporter.get_finished_spans()) == 2)
    good, bad = exporter.get_finished_spans()
    assert good.name == "process orders"
    assert good.attributes is not None
    assert good.attributes["messaging.destination.name"] == "orders"
    assert good.status.status_code is StatusCode.UNSET
    assert bad.status.status_code is StatusCode.ERROR
    assert bad.events[0].name == "exception"


@pytest.mark.parametrize(
    "options", [{}, {"concurrency": 2, "key": "item"}], ids=["one", "concurrent"]
)
async def test_a_span_begins_with_the_receipt(server, exporter, provider, options):
    """What a message waits behind others is in its span, and how long that was."""
    app, go = make_worker(server), asyncio.Event()

    @app.middleware
    async def outer(message, next):
        return await next(message)

    app.middleware(tracing(provider.get_tracer("test")))

    @app.channel("orders", **options)
    async def on_order(order: Order) -> None:
        await go.wait()

    async with app, Redis(server.host, server.port) as client:
        for number in range(3):
            await client.publish("orders", f'{{"id": {number}}}')
        await eventually(lambda: app.snapshot().received == 3)
        received = time.time_ns()
        await asyncio.sleep(0.05)  # the time that is to be seen
        go.set()
        await eventually(lambda: len(exporter.get_finished_spans()) == 3)
    spans = exporter.get_finished_spans()
    assert all(span.start_time < received for span in spans)
    waits = [span.attributes["mailslot.wait_seconds"] for span in spans]
    assert waits[0] < 0.05 <= min(waits[1:])
    assert all(span.end_time - span.start_time >= 0.05e9 for span in spans)


async def test_what_does_not_decode_has_a_span_and_sizes_are_bytes(server, exporter, provider):
    failures = Failures()
    app = make_worker(server, on_failure=failures)
    app.middleware(tracing(provider.get_tracer("test")))

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    payloads = ["bad", '{"id": 1, "item": "é€"}']
    async with app, Redis(server.host, server.port) as client:
        for payload in payloads:
            await client.publish("orders", payload)
        await eventually(lambda: len(exporter.get_finished_spans()) == 2)
    bad, good = exporter.get_finished_spans()
    assert bad.status.status_code is StatusCode.ERROR
    assert bad.status.description == "DecodeError"
    assert good.status.status_code is StatusCode.UNSET
    sizes = [span.attributes["messaging.message.body.size"] for span in (bad, good)]
    assert sizes == [len(payload.encode()) for payload in payloads]
    assert [error.__name__ for error in failures.errors()] == ["DecodeError"]


def test_receipts_are_bounded():
    """Messages that were shed are asked for by nobody."""
    receive_times, messages = ReceiveTimes(), [{"data": str(number)} for number in range(70_000)]
    receive_times.note(messages)
    assert len(receive_times._times) < 66_000
    assert receive_times.take(messages[0]) is None
    assert receive_times.take(messages[-1]) is not None
    assert receive_times.take(messages[-1]) is None
