"""OpenTelemetry spans from receive to handle, as a middleware; the extra ``otel``.

::

    from actors.worker.otel import tracing
    app.middleware(tracing())

Pub/Sub carries no headers, so there is no context to continue: a span is a root unless ``links``
finds where its message came from.

A span begins when the message was received, to within the batch that it came in, and its attribute
``mailslot.wait_seconds`` says for how long of it the message waited for its turn. In a worker
without this middleware nobody takes note of receive_times.
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

__all__ = ["tracing"]

_NAME: Final = "mailslot.worker"


def tracing(
    tracer: Tracer | None = None,
    links: Callable[[PubSubMessage], Sequence[Link]] | None = None,
) -> Middleware:
    """Return a middleware that makes a span of each message.

    Args:
        tracer: makes the spans; None: the global provider's.
        links: finds links to the spans that a message came from, in its payload for instance.
    """
    given = tracer
    receive_times = ReceiveTimes()

    async def traced(message: PubSubMessage, next: Next) -> Any:
        tracer = given or trace.get_tracer(_NAME)
        channel, now = message["channel"], time.time_ns()
        received = receive_times.take(message) or now
        name = (
            channel.decode("utf-8", "backslashreplace") if isinstance(channel, bytes) else channel
        )
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
    """Return how many bytes a payload had."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
