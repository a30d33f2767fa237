"""From the results of rounds to the figures of tables: medians, percentiles, ratios. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tests.benchmarks.scenarios import Scenario

__all__ = ["Figures", "figures_of", "paired_ratio", "percentile"]

_PERCENTILES = {"p50_us": 0.50, "p99_us": 0.99, "p999_us": 0.999}


class Figures(msgspec.Struct):
    """What came out of one scenario.

    Attributes:
        title: of the scenario.
        values: by contestant and metric, every value measured, round after round.
        missing: why a contestant has none.
    """

    title: str
    values: dict[str, dict[str, list[float]]] = {}
    missing: dict[str, str] = {}

    def median(self, label: str, metric: str) -> float | None:
        """Return the median of one metric; None where there is none."""
        values = self.values.get(label, {}).get(metric)
        return statistics.median(values) if values else None

    def ratio(self, metric: str, label: str, to: str) -> float | None:
        """Return how many times as much ``label`` has of ``metric`` as ``to``."""
        mine, theirs = (self.values.get(name, {}).get(metric) for name in (label, to))
        return paired_ratio(mine, theirs) if mine and theirs else None


def paired_ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median ratio of values that were measured next to each other.

    A machine that is half as fast for a minute changes both of a pair and not their ratio. Where
    one has more values than the other, there are no pairs, and it is the ratio of the medians.
    """
    if len(mine) != len(theirs):
        return statistics.median(mine) / statistics.median(theirs)
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def figures_of(scenario: Scenario, rounds: Sequence[Sequence[Mapping[str, Any]]]) -> Figures:
    """Put the results of all rounds together; each round has a result for each contestant."""
    figures = Figures(scenario.title)
    for number, contestant in enumerate(scenario.contestants):
        values: dict[str, list[float]] = {}
        for results in rounds:
            result = dict(results[number])
            if reason := result.get("absent") or result.get("error"):
                figures.missing.setdefault(contestant.label, str(reason))
                continue
            latencies = result.pop("latencies_us", None)
            if latencies:
                result |= {n: [percentile(latencies, s)] for n, s in _PERCENTILES.items()}
            for metric, found in result.items():
                values.setdefault(metric, []).extend(found)
        if values:
            figures.values[contestant.label] = values
    return figures
