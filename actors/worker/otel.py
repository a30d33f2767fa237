"""OpenTelemetry spans from receipt to the end of handling, as a middleware (extra ``otel``).

::

    from actors.worker.otel import tracing
    app.middleware(tracing())

Pub/Sub messages have no headers and so carry no trace context: every span is a root, and ``links``
may link it to the span of the publisher.

A span begins when the batch with the message was received; its attribute ``mailslot.wait_seconds``
says how long the message waited in the mailbox. Receive times are noted only in workers with this
middleware.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer

from actors.pubsub.delivery.receive_times import ReceiveTimes
from actors.pubsub.model.types import PubSubMessage
from actors.worker.declare.middleware import Middleware, Next
from actors.worker.observe.snapshot import as_text

_NAME: Final = "mailslot.worker"


def tracing(
    tracer: Tracer | None = None,
    links: Callable[[PubSubMessage], Sequence[Link]] | None = None,
) -> Middleware:
    """Return a middleware that makes a span for each message.

    Args:
        tracer: makes the spans; None: the tracer of the global provider.
        links: returns links to other spans, found in the payload for instance.
    """
    given = tracer
    receive_times = ReceiveTimes()

    async def traced(message: PubSubMessage, next: Next) -> Any:
        tracer = given or trace.get_tracer(_NAME)
        now = time.time_ns()
        received = receive_times.take(message) or now
        name = as_text(message["channel"])
        with tracer.start_as_current_span(
            f"process {message['pattern'] or name}",
            kind=SpanKind.CONSUMER,
            start_time=received,
            links=() if links is None else links(message),
            attributes={
                "messaging.system": "redis",
                "messaging.operation.type": "process",
                "messaging.destination.name": name,
                "messaging.message.body.size": _size(message["data"]),
                "mailslot.wait_seconds": max(0, now - received) / 1e9,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await next(message)
            except Exception as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    traced.receive_times = (receive_times,)  # type: ignore[attr-defined]
    return traced


def _size(data: str | bytes) -> int:
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
