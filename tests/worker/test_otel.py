"""Spans of messages, and metrics, through OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from actors import Redis
from actors.pubsub.delivery.receive_times import ReceiveTimes
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from actors.worker.otel import metering, tracing

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


# -- metrics ---------------------------------------------------------------------------------------


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    yield reader
    reader.shutdown()


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """What an export has, by name."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_a_workers_metrics_are_exported(server, reader):
    app = make_worker(server, on_failure=Failures())
    metering(app, MeterProvider([reader]).get_meter("test"))
    assert "mailslot_handler_handled" not in points(reader)  # it does not run yet

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        if order.id == 2:
            raise KeyError("two")
        await asyncio.sleep(0.02)

    @app.pattern("news.*")
    async def on_news(message: Any) -> None: ...

    async with app, Redis(server.host, server.port) as client:
        await client.publish("orders", '{"id": 1}')
        await client.publish("orders", '{"id": 2}')
        await client.publish("news.x", "x")
        await eventually(lambda: sum(one.handled for one in app.snapshot().handlers) == 3)
        await asyncio.sleep(1.0)  # for so long a snapshot serves all instruments
        # Exporters collect in a thread of their own.
        found = await asyncio.to_thread(points, reader)
        assert points(reader).keys() == found.keys()
    handled = {
        point.attributes["handler"]: point.value for point in found["mailslot_handler_handled"]
    }
    assert handled == {"orders": 2, "news.*": 1}
    (ready,) = found["mailslot_ready"]
    assert ready.value == 1
    took = {
        point.attributes.get("error.type", next(reversed(point.attributes.values()))): point
        for point in found["messaging.process.duration"]
    }
    assert took["KeyError"].count == took["orders"].count == took["news.*"].count == 1
    assert took["orders"].sum >= 0.02
    assert 0.05 in took["orders"].explicit_bounds
    assert sum(point.count for point in found["mailslot.wait.duration"]) == 3


async def test_an_export_does_not_wait_for_ever_for_a_busy_loop(
    server, reader, monkeypatch, caplog
):
    monkeypatch.setattr("actors.worker.otel._PATIENCE", 0.05)
    app = make_worker(server)
    metering(app, MeterProvider([reader]).get_meter("test"))

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    async with app:
        exports = asyncio.get_running_loop().run_in_executor(None, points, reader)
        time.sleep(0.5)
        assert "mailslot_ready" not in await exports
    assert "metrics_not_read" in caplog.text
