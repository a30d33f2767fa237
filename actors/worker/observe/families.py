"""What a worker measures, as families of metrics, for any exporter (pure).

The only labels are the process, and the handler, the pub/sub object, or the node. Channels are no
label: a worker cannot bound their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TypeAlias

import msgspec

from actors.worker.observe.health import is_live, is_ready
from actors.worker.observe.snapshot import Durations, HandlerState, Snapshot, WorkerSnapshot

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
_HANDLER_HISTOGRAMS = {
    "waiting": ("handler_waiting_seconds", "How long messages waited for their handler."),
    "handling": ("handler_handling_seconds", "How long messages took, or calls with a batch."),
}


class Kind(Enum):
    """What the values of a family are."""

    COUNTER = "counter"  # they only grow
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


#: The values of the labels, and the value.
Sample: TypeAlias = tuple[list[str], float]


class Family(msgspec.Struct, frozen=True):
    """A metric for each value of its labels.

    Attributes:
        kind: what its values are.
        name: its name, without a suffix that the kind brings along.
        text: what it says.
        labels: the names of its labels.
        samples: its values, unless it is a histogram.
        durations: its values, if it is a histogram.
        bounds: the upper bounds of these, in seconds.
    """

    kind: Kind
    name: str
    text: str
    labels: list[str]
    samples: list[Sample] = []
    durations: list[tuple[list[str], Durations]] = []
    bounds: tuple[float, ...] = ()


def families(worker: WorkerSnapshot) -> Iterator[Family]:
    """Yield the metrics of ``worker``."""
    yield from _of_worker(worker)
    yield from _of_processes(worker.snapshots)
    yield from _of_handlers(worker.snapshots)
    yield from _of_paths(worker.snapshots)
    yield from _of_recoveries(worker.snapshots)
    yield from _of_fleets(worker.snapshots)


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[Sample]) -> Family:
    return Family(Kind.GAUGE, f"mailslot_{name}", text, labels, list(samples))


def _counter(name: str, text: str, labels: list[str], samples: Iterable[Sample]) -> Family:
    return Family(Kind.COUNTER, f"mailslot_{name}", text, labels, list(samples))


def _of_worker(worker: WorkerSnapshot) -> Iterator[Family]:
    ready = is_ready(worker)
    yield _gauge("live", "1 if /live answers yes.", [], [([], float(is_live(worker).ok))])
    yield _gauge("ready", "1 if /ready answers yes.", [], [([], float(ready.ok))])
    text = "1 if a handler fails or sheds too much, or its breaker is open."
    yield _gauge("degraded", text, [], [([], float(bool(ready.degraded)))])
    if worker.processes:
        restarts = [([str(process.index)], process.restarts) for process in worker.processes]
        yield _counter("process_restarts", "Restarts of processes.", ["process"], restarts)


def _of_processes(snapshots: Iterable[Snapshot]) -> Iterator[Family]:
    lags = [([str(one.process)], one.lag) for one in snapshots]
    text = "The longest delay of the event loop in 5 seconds."
    yield _gauge("loop_lag_seconds", text, ["process"], lags)
    for name, text in _PROCESS_COUNTERS.items():
        counts = [([str(one.process)], getattr(one, name)) for one in snapshots]
        yield _counter(name, text, ["process"], counts)


def _of_handlers(snapshots: Iterable[Snapshot]) -> Iterator[Family]:
    found: dict[tuple[str, str], list[HandlerState]] = {}
    bounds: tuple[float, ...] = ()
    for one in snapshots:
        bounds = one.bounds or bounds
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
    is_open = [(key, max(int(one.breaker != "closed") for one in same)) for key, same in handlers]
    yield _gauge("breaker_open", text, labels, is_open)
    text = "1 if an operator has paused the handler."
    is_paused = [(key, max(int(one.paused) for one in same)) for key, same in handlers]
    yield _gauge("handler_paused", text, labels, is_paused)
    for name, (metric, text) in _HANDLER_HISTOGRAMS.items():
        known = [(key, [d for one in same if (d := getattr(one, name))]) for key, same in handlers]
        together = [(key, _sum(durations)) for key, durations in known if durations]
        yield Family(
            Kind.HISTOGRAM, f"mailslot_{metric}", text, labels, durations=together, bounds=bounds
        )


def _sum(durations: list[Durations]) -> Durations:
    """Return the histogram of several handlers of one name, of different pub/sub objects."""
    counts = tuple(map(sum, zip(*(one.counts for one in durations), strict=True)))
    return Durations(counts, sum(one.seconds for one in durations))


def _of_paths(snapshots: Iterable[Snapshot]) -> Iterator[Family]:
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


def _of_recoveries(snapshots: Iterable[Snapshot]) -> Iterator[Family]:
    labels = ["process", "pubsub"]
    found = [([str(one.process), of.pubsub], of) for one in snapshots for of in one.recoveries]
    for name, (metric, text) in _RECOVERY_COUNTERS.items():
        yield _counter(metric, text, labels, [(key, getattr(one, name)) for key, one in found])
    for name, (metric, text) in _RECOVERY_GAUGES.items():
        yield _gauge(metric, text, labels, [(key, getattr(one, name)) for key, one in found])


def _of_fleets(snapshots: Iterable[Snapshot]) -> Iterator[Family]:
    found = [([str(one.process)], one.fleet) for one in snapshots if one.fleet is not None]
    for metric, text, value in (
        ("fleet_in_view", "1 if the process is in the committed view.", lambda of: of.is_in_view),
        ("fleet_members", "Members of the committed view.", lambda of: len(of.members)),
        ("fleet_view", "The number of the committed view.", lambda of: of.view),
        ("fleet_owned_names", "Names that the process owns.", lambda of: len(of.owns)),
    ):
        yield _gauge(metric, text, ["process"], [(key, float(value(of))) for key, of in found])
