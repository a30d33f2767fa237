"""What must hold: the limits, in one place, and what was measured against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tests.benchmarks.figures import Figures
from tests.benchmarks.scenarios import BARE, MAILSLOT

__all__ = ["GATE", "TARGETS", "Target", "Verdict", "judge"]


class Target(msgspec.Struct, frozen=True):
    """One limit.

    Attributes:
        scenario: where it is measured.
        metric: of which figure.
        limit: the most that it may be, or the least where ``at_least``.
        to: whose figure it is divided by; None: it stands for itself.
        label: whose figure it is.
        at_least: whether more is better.
        scaled: a figure of the machine that targets were set on, where a bare asyncio.Queue does
            2,000,000 messages a second: what is measured is scaled by what it does here, in the
            same run.
        what: in words, for the table.
    """

    what: str
    scenario: str
    metric: str
    limit: float
    to: str | None = None
    label: str = MAILSLOT
    at_least: bool = False
    scaled: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """A target and what was measured; None: it was not."""

    target: Target
    measured: float | None

    @property
    def met(self) -> bool | None:
        """Whether it holds; None where it was not measured."""
        if self.measured is None:
            return None
        if self.target.at_least:
            return self.measured >= self.target.limit
        return self.measured <= self.target.limit

    def __str__(self) -> str:
        sign = ">=" if self.target.at_least else "<="
        if self.measured is None:
            return f"{self.target.what}: not measured (limit {sign} {self.target.limit:,.4g})"
        state = "ok" if self.met else "MISSED"
        return f"{self.target.what}: {self.measured:,.4g} {sign} {self.target.limit:,.4g} {state}"


#: What was aimed at; docs/performance.md says what is met.
TARGETS: Final = [
    Target("iterator, 64 bytes, CPU to the bare loop's", "iterator-64", "cpu_us", 1.25, BARE),
    Target("iterator, 64 bytes, CPU to redis-py's", "iterator-64", "cpu_us", 1 / 5, "redis-py"),
    Target("iterator, 64 bytes, CPU to coredis's", "iterator-64", "cpu_us", 1 / 18, "coredis"),
    Target("iterator, 1,024 bytes, CPU to the bare loop's", "iterator-1024", "cpu_us", 1.25, BARE),
    Target("async handler, 64 bytes, CPU to the bare loop's", "handler-async", "cpu_us", 2, BARE),
    Target("async handler, CPU to FastStream's", "handler-async", "cpu_us", 1 / 40, "FastStream"),
    Target("handler with decode=, CPU to the bare loop's", "handler-struct", "cpu_us", 3, BARE),
    Target(
        "10,000 channels, CPU to that of one channel",
        "channels-10000",
        "cpu_us",
        1.2,
        "mailslot, 1 channel",
    ),
    Target("tell a second, scaled", "tell", "cpu_rate", 2_000_000, at_least=True, scaled=True),
    Target("ask a second, scaled", "ask", "cpu_rate", 100_000, at_least=True, scaled=True),
    Target(
        "spawn and stop a second, scaled",
        "spawn-stop",
        "cpu_rate",
        40_000,
        at_least=True,
        scaled=True,
    ),
    Target("memory of an idle actor, bytes", "memory-actors", "bytes", 6 * 1024),
    Target("p99 from PUBLISH to handler, to the bare loop's", "latency", "p99_us", 1.5, BARE),
    Target("from actors import Redis, ms, scaled", "import", "import_ms", 150, scaled=True),
    Target("extras that from actors import Redis loads", "import", "extras", 0),
]

#: What CI holds a change to: ratios to what runs beside it, with room for a noisy machine. They say
#: that something became slower, not that the targets above are met.
GATE: Final = [
    Target("iterator, 64 bytes, to the bare loop", "iterator-64", "cpu_us", 1.35, BARE),
    Target("iterator, 1,024 bytes, to the bare loop", "iterator-1024", "cpu_us", 1.35, BARE),
    Target("async handler, 64 bytes, to the bare loop", "handler-async", "cpu_us", 1.5, BARE),
    Target("handler with decode=, to the bare loop", "handler-struct", "cpu_us", 2.4, BARE),
    Target("patterns, to the bare loop", "patterns", "cpu_us", 1.45, BARE),
    Target(
        "10,000 channels to one channel", "channels-10000", "cpu_us", 1.3, "mailslot, 1 channel"
    ),
    Target("tell, to asyncio.Queue", "tell", "cpu_us", 1.2, "asyncio.Queue"),
    Target("ask, to asyncio.Queue and a future", "ask", "cpu_us", 1.2, "asyncio.Queue"),
    Target("spawn and stop, to a task and a queue", "spawn-stop", "cpu_us", 4.0, "asyncio.Queue"),
    Target("memory of an idle actor, bytes", "memory-actors", "bytes", 6.5 * 1024),
    Target("extras that from actors import Redis loads", "import", "extras", 0),
]


def judge(targets: Iterable[Target], figures: Mapping[str, Figures]) -> list[Verdict]:
    """Compare what was measured with the limits."""
    speed = _speed(figures)
    return [
        Verdict(target, _measured(target, figures.get(target.scenario), speed))
        for target in targets
    ]


def _speed(figures: Mapping[str, Figures]) -> float | None:
    """Return how fast this machine is, the one that the targets were written for being 1."""
    tell = figures.get("tell")
    queue_us = None if tell is None else tell.median("asyncio.Queue", "cpu_us")
    return None if queue_us is None else 1e6 / queue_us / 2_000_000


def _measured(target: Target, figures: Figures | None, speed: float | None) -> float | None:
    if figures is None or (target.scaled and speed is None):
        return None
    if target.to is not None:
        return figures.ratio(target.metric, target.label, target.to)
    if target.metric == "cpu_rate":
        cpu_us = figures.median(target.label, "cpu_us")
        value = None if cpu_us is None else 1e6 / cpu_us
    else:
        value = figures.median(target.label, target.metric)
    if value is None or not target.scaled or speed is None:
        return value
    return value / speed if target.at_least else value * speed
