"""A worker's snapshot as Prometheus metrics (extra ``metrics``).

The only labels are the process, and the handler or the node. Channels are no label: a worker cannot
bound their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from actors.worker.observe.health import is_live, is_ready
from actors.worker.observe.snapshot import HandlerState, Snapshot, WorkerSnapshot

__all__ = ["render"]

_HANDLER_COUNTERS = {
    "handled": "Messages that handlers have handled, failed ones included.",
    "failed": "Messages that went to a failure sink.",
    "shed": "Messages that full mailboxes dropped.",
    "restarts": "Restarts of handlers.",
}
_HANDLER_GAUGES = {
    "depth": ("mailbox_messages", "Messages that wait in mailboxes."),
    "age": ("mailbox_oldest_seconds", "How long the oldest waiting message has waited."),
}
_COUNTERS = {
    "received": "Messages received, without probes.",
    "gaps": "Gaps: times in which messages may have been missed.",
    "reconnects": "Connections that replaced a lost one.",
    "restarts": "Restarts in the whole supervision tree.",
}


def render(worker: WorkerSnapshot) -> tuple[bytes, str]:
    """Return the metrics of ``worker`` and of the global registry, and their media type."""
    registry = CollectorRegistry()
    registry.register(_Collector(worker))
    return generate_latest(registry) + generate_latest(REGISTRY), CONTENT_TYPE_LATEST


class _Collector(Collector):
    def __init__(self, worker: WorkerSnapshot) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        yield from _health(self._worker)
        yield from _of_processes(self._worker.snapshots)
        yield from _of_handlers(self._worker.snapshots)
        yield from _of_paths(self._worker.snapshots)


def _health(worker: WorkerSnapshot) -> Iterator[Metric]:
    live, ready = float(is_live(worker).ok), float(is_ready(worker).ok)
    yield GaugeMetricFamily("mailslot_live", "1 if /live answers yes.", live)
    yield GaugeMetricFamily("mailslot_ready", "1 if /ready answers yes.", ready)
    if worker.processes:
        restarts = CounterMetricFamily(
            "mailslot_process_restarts", "Restarts of processes.", labels=["process"]
        )
        for process in worker.processes:
            restarts.add_metric([str(process.index)], process.restarts)
        yield restarts


def _of_processes(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "mailslot_loop_lag_seconds",
        "The longest delay of the event loop in 5 seconds.",
        labels=["process"],
    )
    for one in snapshots:
        lag.add_metric([str(one.process)], one.lag)
    yield lag
    for name, text in _COUNTERS.items():
        counter = CounterMetricFamily(f"mailslot_{name}", text, labels=["process"])
        for one in snapshots:
            counter.add_metric([str(one.process)], getattr(one, name))
        yield counter


def _of_handlers(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    found: dict[tuple[str, str], list[HandlerState]] = {}
    for one in snapshots:
        for handler in one.handlers:
            found.setdefault((str(one.process), handler.name), []).append(handler)
    labels = ["process", "handler"]
    for name, text in _HANDLER_COUNTERS.items():
        counter = CounterMetricFamily(f"mailslot_handler_{name}", text, labels=labels)
        for key, handlers in found.items():
            counter.add_metric(key, sum(getattr(handler, name) for handler in handlers))
        yield counter
    for name, (metric, text) in _HANDLER_GAUGES.items():
        gauge = GaugeMetricFamily(f"mailslot_{metric}", text, labels=labels)
        for key, handlers in found.items():
            gauge.add_metric(key, max(getattr(handler, name) for handler in handlers))
        yield gauge
    gauge = GaugeMetricFamily(
        "mailslot_breaker_open", "1 if an open breaker fails messages unhandled.", labels=labels
    )
    for key, handlers in found.items():
        gauge.add_metric(key, max(handler.breaker != "closed" for handler in handlers))
    yield gauge


def _of_paths(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    labels = ["process", "pubsub", "node"]
    age = GaugeMetricFamily(
        "mailslot_delivery_proof_age_seconds", "Time since a probe came back.", labels=labels
    )
    restarts = CounterMetricFamily(
        "mailslot_silent_paths_restarted",
        "Connections replaced: no probe came back.",
        labels=labels,
    )
    for one in snapshots:
        for path in one.paths:
            key = [str(one.process), path.pubsub, path.node]
            if path.proof_age is not None:
                age.add_metric(key, path.proof_age)
            restarts.add_metric(key, path.restarts)
    yield age
    yield restarts
