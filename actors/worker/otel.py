"""OpenTelemetry: spans of messages, and a worker's metrics (extra ``otel``).

::

    from actors.worker.otel import metering, tracing
    app.middleware(tracing())
    metering(app)

Pub/Sub messages have no headers and so carry no trace context: every span is a root, and ``links``
may link it to the span of the publisher.

A span begins when the batch with the message was received; its attribute ``mailslot.wait_seconds``
says how long the message waited in the mailbox. Receive times are noted only in workers with
spans or metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer

from actors.pubsub.delivery.handling_times import BOUNDS
from actors.pubsub.delivery.receive_times import ReceiveTimes
from actors.pubsub.model.types import PubSubMessage
from actors.worker.declare.middleware import Middleware, Next
from actors.worker.observe.families import Family, Kind, families
from actors.worker.observe.snapshot import State, WorkerSnapshot, as_text
from actors.worker.run.app import Worker
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

_NAME: Final = "mailslot.worker"
#: Seconds for which one snapshot serves all instruments, and that a busy event loop has to make it.
_FRESH: Final = 1.0
_PATIENCE: Final = 5.0


# -- spans -----------------------------------------------------------------------------------------


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


# -- metrics ---------------------------------------------------------------------------------------


def metering(app: Worker[Any], meter: Meter | None = None) -> None:
    """Give OpenTelemetry the metrics of ``app``: call it once, before the worker starts.

    The instruments have the names and labels of the Prometheus metrics, except for the two
    histograms, which a middleware records: ``messaging.process.duration`` and
    ``mailslot.wait.duration``.

    Args:
        app: the worker.
        meter: makes the instruments; None: the meter of the global provider.
    """
    meter = meter or metrics.get_meter(_NAME)
    view = _View(app)
    for family in families(app.worker_snapshot()):
        if family.kind is Kind.COUNTER:
            make: Callable[..., Any] = meter.create_observable_counter
        elif family.kind is Kind.GAUGE:
            make = meter.create_observable_gauge
        else:
            continue
        make(family.name, [view.callback(family.name)], description=family.text)
    app.middleware(_durations(meter))


class _View:
    """The metrics of a worker for whoever exports them, from any thread."""

    def __init__(self, app: Worker[Any]) -> None:
        self._app = app
        self._at = -_FRESH
        self._families: dict[str, Family] = {}

    def callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what observes the family called ``name``."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            self._refresh()
            family = self._families.get(name)
            if family is None:
                return []
            return [
                Observation(value, dict(zip(family.labels, labels, strict=True)))
                for labels, value in family.samples
            ]

        return observe

    def _refresh(self) -> None:
        if time.monotonic() - self._at < _FRESH:
            return
        snapshot = self._snapshot()
        found = () if snapshot is None else families(snapshot)
        self._families = {family.name: family for family in found}
        self._at = time.monotonic()

    def _snapshot(self) -> WorkerSnapshot | None:
        """Return the snapshot of now, which the worker's event loop makes; None: it cannot."""
        app = self._app
        if app.state in (State.NEW, State.STOPPED) or not app.started:
            return None
        loop = app.system.loop
        try:
            if asyncio.get_running_loop() is loop:
                return app.worker_snapshot()
        except RuntimeError:
            pass  # the exporter has a thread of its own
        made: Future[WorkerSnapshot] = Future()
        try:
            loop.call_soon_threadsafe(_fulfil, made, app.worker_snapshot)
            return made.result(_PATIENCE)
        except (TimeoutError, RuntimeError) as error:
            made.cancel()
            log.warning("metrics_not_read", error=repr(error), seconds=_PATIENCE)
            return None


def _fulfil(made: Future[WorkerSnapshot], make: Callable[[], WorkerSnapshot]) -> None:
    if not made.set_running_or_notify_cancel():
        return
    try:
        made.set_result(make())
    except Exception as error:
        made.set_exception(error)


def _durations(meter: Meter) -> Middleware:
    """Return a middleware that records how long messages wait and take."""
    waiting = meter.create_histogram(
        "mailslot.wait.duration",
        unit="s",
        description="How long messages waited for their handler.",
        explicit_bucket_boundaries_advisory=BOUNDS,
    )
    handling = meter.create_histogram(
        "messaging.process.duration",
        unit="s",
        description="How long messages took.",
        explicit_bucket_boundaries_advisory=BOUNDS,
    )
    receive_times = ReceiveTimes()

    async def measured(message: PubSubMessage, next: Next) -> Any:
        begun, now = time.perf_counter(), time.time_ns()
        received = receive_times.take(message) or now
        attributes = {
            "messaging.system": "redis",
            "messaging.operation.name": "process",
            **_destination(message),
        }
        waiting.record(max(0, now - received) / 1e9, attributes)
        try:
            return await next(message)
        except BaseException as error:
            attributes["error.type"] = type(error).__qualname__
            raise
        finally:
            handling.record(time.perf_counter() - begun, attributes)

    measured.receive_times = (receive_times,)  # type: ignore[attr-defined]
    return measured


def _destination(message: PubSubMessage) -> dict[str, str]:
    """Return the channel, or the pattern: nobody bounds the number of channels of a pattern."""
    if message["pattern"] is None:
        return {"messaging.destination.name": as_text(message["channel"])}
    return {"messaging.destination.template": as_text(message["pattern"])}
