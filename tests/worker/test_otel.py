"""Spans of messages, through OpenTelemetry's own SDK."""

from __future__ import annotations

import pytest

from actors import Redis
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from actors.worker.otel import tracing

pytestmark = pytest.mark.embedded_only


async def test_each_message_is_a_span(server):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
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
    provider.shutdown()
