"""What a worker did in the last hour, as one sample each ten seconds (pure).

A sample is made of two snapshots: counts become what was added between them, and histograms become
percentiles of that time. The worker as a whole and each handler have a row of columns; a column is
an array of fixed size, so that the memory does not grow.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from actors.worker.observe.percentile import percentile
from actors.worker.observe.snapshot import Durations, HandlerState, Snapshot, WorkerSnapshot

#: Seconds between two samples.
EVERY: Final = 10.0
#: Samples that are kept.
SAMPLES: Final = 360
#: Handlers whose history is kept; a handler that did nothing in the last hour has none.
MOST_HANDLERS: Final = 100

#: What is kept of a handler, and of all handlers together.
COLUMNS: Final = (
    "handled",  # messages handled, failed ones included
    "failed",  # messages that went to the failure sink
    "shed",  # messages that a full mailbox dropped
    "restarts",
    "depth",  # messages that wait
    "age",  # seconds for which the oldest of them has waited
    "waited_p50",  # seconds that messages waited
    "waited_p99",
    "took_p50",  # seconds that their handling took
    "took_p99",
)
#: What is kept of the worker alone.
WORKER_COLUMNS: Final = (*COLUMNS, "gaps", "reconnects", "recovered", "lost", "lag")

_NONE: Final = math.nan
Key = tuple[int, str]  # the number of a process, and the path of a handler in it


class Columns(msgspec.Struct, frozen=True):
    """Some samples, oldest first; None where there is no value."""

    at: tuple[float, ...]  # the time of each sample, in Unix seconds
    values: Mapping[str, tuple[float | None, ...]]


class Counted(msgspec.Struct, frozen=True, gc=False):
    """The counts of a handler or a process in one snapshot."""

    counts: tuple[int, ...]
    waited: tuple[int, ...] = ()
    took: tuple[int, ...] = ()

    def since(self, before: Counted | None) -> Counted:
        """Return what was added since ``before``; all of it, if the counts have begun since."""
        if before is None or any(
            new < old for new, old in zip(self.counts, before.counts, strict=True)
        ):
            return self
        return Counted(
            _added(self.counts, before.counts),
            _added(self.waited, before.waited),
            _added(self.took, before.took),
        )


class History:
    """The samples of the last hour: of the worker, and of handlers that did something in it."""

    def __init__(self) -> None:
        self._at = _Ring()
        self._worker = {name: _Ring() for name in WORKER_COLUMNS}
        self._handlers: dict[Key, dict[str, _Ring]] = {}
        self._idle: dict[Key, int] = {}  # samples since the handler did something
        self._before: dict[Key | int, Counted] = {}
        #: How many handlers did something and have no history: there are too many.
        self.left_out = 0

    def add(self, at: float, worker: WorkerSnapshot) -> None:
        """Add the sample of now."""
        counted = dict(_counted(worker))
        # Nobody knows since when there was what the first sample finds.
        before = self._before if len(self._at) else counted
        new = {key: one.since(before.get(key)) for key, one in counted.items()}
        self._before = counted
        bounds = next((one.bounds for one in worker.snapshots if one.bounds), ())
        handlers = {
            (one.process, handler.path): handler
            for one in worker.snapshots
            for handler in one.handlers
        }
        self._admit(handlers, new)
        for key, columns in self._handlers.items():
            handler = handlers.get(key)
            row = {} if handler is None else _row([handler], [new[key]], bounds)
            _append(columns, row)
        row = _row(handlers.values(), [new[key] for key in handlers], bounds)
        _append(self._worker, row | _worker_row(worker.snapshots, new))
        self._at.append(at)

    def of_worker(self) -> Columns:
        """Return the samples of the whole worker."""
        return self._columns(self._worker)

    def of_handler(self, process: int, path: str) -> Columns:
        """Return the samples of a handler; none if it did nothing in the last hour."""
        return self._columns(self._handlers.get((process, path), {}))

    def _columns(self, columns: Mapping[str, _Ring]) -> Columns:
        at = tuple(self._at.values()) if columns else ()
        values = {name: tuple(map(_known, ring.values())) for name, ring in columns.items()}
        return Columns(at, values)

    def _admit(self, handlers: Mapping[Key, HandlerState], new: Mapping[Any, Counted]) -> None:
        """Begin the history of handlers that do something, and end that of idle ones."""
        self.left_out = 0
        for key in self._handlers:
            handler = handlers.get(key)
            is_active = handler is not None and _is_active(handler, new[key])
            self._idle[key] = 0 if is_active else self._idle[key] + 1
        for key in [key for key, idle in self._idle.items() if idle >= SAMPLES]:
            del self._idle[key], self._handlers[key]
        for key, handler in handlers.items():
            if key in self._handlers or not _is_active(handler, new[key]):
                continue
            if len(self._handlers) >= MOST_HANDLERS:
                self.left_out += 1
                continue
            self._idle[key] = 0
            self._handlers[key] = {name: _Ring(len(self._at)) for name in COLUMNS}


class _Ring:
    """The latest values of one column, ``SAMPLES`` at the most; begins with ``missing`` gaps."""

    __slots__ = ("_next", "_values")

    def __init__(self, missing: int = 0) -> None:
        self._values = array("d", [_NONE] * missing)
        self._next = 0  # where the next value goes, once it is full

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: float) -> None:
        if len(self._values) < SAMPLES:
            self._values.append(value)
            return
        self._values[self._next] = value
        self._next = (self._next + 1) % SAMPLES

    def values(self) -> list[float]:
        """Return all values, oldest first."""
        return [*self._values[self._next :], *self._values[: self._next]]


def _counted(worker: WorkerSnapshot) -> Iterator[tuple[Key | int, Counted]]:
    for one in worker.snapshots:
        recoveries = one.recoveries
        recovered = sum(of.recovered + of.resumed for of in recoveries)
        lost = sum(of.lost + of.unknown for of in recoveries)
        yield one.process, Counted((one.gaps, one.reconnects, recovered, lost))
        for handler in one.handlers:
            counts = (handler.handled, handler.failed, handler.shed, handler.restarts)
            waited, took = _counts(handler.waiting), _counts(handler.handling)
            yield (one.process, handler.path), Counted(counts, waited, took)


def _counts(durations: Durations | None) -> tuple[int, ...]:
    return () if durations is None else durations.counts


def _added(new: tuple[int, ...], old: tuple[int, ...]) -> tuple[int, ...]:
    if not old:
        return new
    return tuple(max(0, one - other) for one, other in zip(new, old, strict=True)) if new else ()


def _is_active(handler: HandlerState, new: Counted) -> bool:
    return any(new.counts) or handler.depth > 0


def _row(
    handlers: Iterable[HandlerState], new: Iterable[Counted], bounds: tuple[float, ...]
) -> dict[str, float]:
    """Return the values of ``COLUMNS`` for some handlers together."""
    states, added = list(handlers), list(new)
    counts = _sum(one.counts for one in added) or (0, 0, 0, 0)
    waited, took = _sum(one.waited for one in added), _sum(one.took for one in added)
    return {
        **dict(zip(COLUMNS[:4], map(float, counts), strict=True)),
        "depth": float(sum(one.depth for one in states)),
        "age": max((one.age for one in states if one.depth), default=0.0),
        "waited_p50": percentile(0.5, waited, bounds),
        "waited_p99": percentile(0.99, waited, bounds),
        "took_p50": percentile(0.5, took, bounds),
        "took_p99": percentile(0.99, took, bounds),
    }


def _worker_row(snapshots: Iterable[Snapshot], new: Mapping[Any, Counted]) -> dict[str, float]:
    processes = list(snapshots)
    gaps, reconnects, recovered, lost = _sum(new[one.process].counts for one in processes) or (
        (0,) * 4
    )
    return {
        "gaps": gaps,
        "reconnects": reconnects,
        "recovered": recovered,
        "lost": lost,
        "lag": max((one.lag for one in processes), default=_NONE),
    }


def _sum(all_counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(one for one in all_counts if one), strict=True)))


def _append(columns: Mapping[str, _Ring], row: Mapping[str, float]) -> None:
    for name, ring in columns.items():
        ring.append(row.get(name, _NONE))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
