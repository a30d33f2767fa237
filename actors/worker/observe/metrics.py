"""A worker's snapshot as Prometheus metrics (extra ``metrics``).

The only labels are the process, and the handler, the pub/sub object, or the node. Channels are no
label: a worker cannot bound their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from actors.worker.observe.health import is_live, is_ready
from actors.worker.observe.snapshot import HandlerState, Snapshot, WorkerSnapshot

_PROCESS_COUNTERS = {
    "received": "Messages received, without probes.",
    "gaps": "Gaps: times in which messages may have been missed.",
    "reconnects": "Connections that replaced a lost one.",
    "restarts": "Restarts in the whole supervision tree.",
}
_HANDLER_COUNTERS = {
    "handled": "Messages that handlers have handled, failed ones included.",
    "failed": "Messages that went to a failure sink.",
    "shed": "Messages that full mailboxes dropped.",
    "restarts": "Restarts of handlers.",
}
_RECOVERY_COUNTERS = {
    "recovered": ("recovered", "Missed messages that were delivered out of a history."),
    "resumed": ("resumed", "Messages between a kept position and the consumer's beginning."),
    "lost": ("recovery_lost", "Messages that a history did not have any more."),
    "unknown": ("recovery_unknown", "Losses of which nobody knows the number."),
    "reads": ("history_reads", "Commands that asked for a history."),
    "seconds": ("recovery_seconds", "How long at least one channel was behind."),
}
_RECOVERY_GAUGES = {
    "channels": ("recovering_channels", "Channels that recover."),
    "behind": ("recovery_behind_channels", "Channels that read what they have missed."),
    "behind_seconds": ("recovery_behind_seconds", "How long the slowest of them has been behind."),
    "held": ("recovery_held_messages", "Messages that wait for what comes before them."),
}
_HANDLER_GAUGES = {
    "depth": ("mailbox_messages", "Messages that wait in mailboxes."),
    "age": ("mailbox_oldest_seconds", "How long the oldest waiting message has waited."),
}
#: Label values and the value of a metric.
_Samples = Iterable[tuple[list[str], float]]


def render(worker: WorkerSnapshot) -> tuple[bytes, str]:
    """Return the metrics of ``worker`` and of the global registry, and their media type."""
    registry = CollectorRegistry()
    registry.register(_Collector(worker))
    return generate_latest(registry) + generate_latest(REGISTRY), CONTENT_TYPE_LATEST


class _Collector(Collector):
    def __init__(self, worker: WorkerSnapshot) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        yield from _of_worker(self._worker)
        yield from _of_processes(self._worker.snapshots)
        yield from _of_handlers(self._worker.snapshots)
        yield from _of_paths(self._worker.snapshots)
        yield from _of_recoveries(self._worker.snapshots)
        yield from _of_fleets(self._worker.snapshots)


def _gauge(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    return _filled(GaugeMetricFamily(f"mailslot_{name}", text, labels=labels), samples)


def _counter(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    return _filled(CounterMetricFamily(f"mailslot_{name}", text, labels=labels), samples)


def _filled(metric: GaugeMetricFamily | CounterMetricFamily, samples: _Samples) -> Metric:
    for labels, value in samples:
        metric.add_metric(labels, value)
    return metric


def _of_worker(worker: WorkerSnapshot) -> Iterator[Metric]:
    yield _gauge("live", "1 if /live answers yes.", [], [([], float(is_live(worker).ok))])
    yield _gauge("ready", "1 if /ready answers yes.", [], [([], float(is_ready(worker).ok))])
    if worker.processes:
        restarts = [([str(process.index)], process.restarts) for process in worker.processes]
        yield _counter("process_restarts", "Restarts of processes.", ["process"], restarts)


def _of_processes(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    lags = [([str(one.process)], one.lag) for one in snapshots]
    text = "The longest delay of the event loop in 5 seconds."
    yield _gauge("loop_lag_seconds", text, ["process"], lags)
    for name, text in _PROCESS_COUNTERS.items():
        counts = [([str(one.process)], getattr(one, name)) for one in snapshots]
        yield _counter(name, text, ["process"], counts)


def _of_handlers(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    found: dict[tuple[str, str], list[HandlerState]] = {}
    for one in snapshots:
        for handler in one.handlers:
            found.setdefault((str(one.process), handler.name), []).append(handler)
    labels, handlers = ["process", "handler"], [(list(key), same) for key, same in found.items()]
    for name, text in _HANDLER_COUNTERS.items():
        sums = [(key, sum(getattr(one, name) for one in same)) for key, same in handlers]
        yield _counter(f"handler_{name}", text, labels, sums)
    for name, (metric, text) in _HANDLER_GAUGES.items():
        most = [(key, max(getattr(one, name) for one in same)) for key, same in handlers]
        yield _gauge(metric, text, labels, most)
    text = "1 if an open breaker fails messages unhandled."
    is_open = [(key, max(one.breaker != "closed" for one in same)) for key, same in handlers]
    yield _gauge("breaker_open", text, labels, is_open)


def _of_paths(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    labels = ["process", "pubsub", "node"]
    paths = [
        ([str(one.process), path.pubsub, path.node], path)
        for one in snapshots
        for path in one.paths
    ]
    ages = [(key, path.proof_age) for key, path in paths if path.proof_age is not None]
    yield _gauge("delivery_proof_age_seconds", "Time since a probe came back.", labels, ages)
    restarts = [(key, path.restarts) for key, path in paths]
    text = "Connections replaced: no probe came back."
    yield _counter("silent_paths_restarted", text, labels, restarts)


def _of_recoveries(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    labels = ["process", "pubsub"]
    found = [([str(one.process), of.pubsub], of) for one in snapshots for of in one.recoveries]
    for name, (metric, text) in _RECOVERY_COUNTERS.items():
        yield _counter(metric, text, labels, [(key, getattr(one, name)) for key, one in found])
    for name, (metric, text) in _RECOVERY_GAUGES.items():
        yield _gauge(metric, text, labels, [(key, getattr(one, name)) for key, one in found])


def _of_fleets(snapshots: Iterable[Snapshot]) -> Iterator[Metric]:
    found = [([str(one.process)], one.fleet) for one in snapshots if one.fleet is not None]
    for metric, text, value in (
        ("fleet_in_view", "1 if the process is in the committed view.", lambda of: of.is_in_view),
        ("fleet_members", "Members of the committed view.", lambda of: len(of.members)),
        ("fleet_view", "The number of the committed view.", lambda of: of.view),
        ("fleet_owned_names", "Names that the process owns.", lambda of: len(of.owns)),
    ):
        yield _gauge(metric, text, ["process"], [(key, float(value(of))) for key, of in found])
