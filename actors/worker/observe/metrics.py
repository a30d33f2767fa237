"""A worker's metrics as Prometheus text (extra ``metrics``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from actors.worker.observe.families import Family, Kind, families
from actors.worker.observe.snapshot import WorkerSnapshot


def render(worker: WorkerSnapshot) -> tuple[bytes, str]:
    """Return the metrics of ``worker`` and of the global registry, and their media type."""
    registry = CollectorRegistry()
    registry.register(_Collector(worker))
    return generate_latest(registry) + generate_latest(REGISTRY), CONTENT_TYPE_LATEST


class _Collector(Collector):
    def __init__(self, worker: WorkerSnapshot) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        return map(_metric, families(self._worker))


def _metric(family: Family) -> Metric:
    name, text, labels = family.name, family.text, family.labels
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family)
    metric: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(name, text, labels=labels)
        if family.kind is Kind.COUNTER
        else GaugeMetricFamily(name, text, labels=labels)
    )
    for values, value in family.samples:
        metric.add_metric(values, value)
    return metric


def _histogram(family: Family) -> Metric:
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    bounds = [*map(str, family.bounds), "+Inf"]
    for values, durations in family.durations:
        buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
        metric.add_metric(values, buckets, durations.seconds)
    return metric
