"""The counters of a worker: failures, gaps and restarts, with the latest of each."""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Callable, Hashable, MutableMapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import msgspec

from actors.pubsub.handlers.breaker import BreakerOpenError
from actors.pubsub.handlers.failure_sinks import (
    HandlerFailure,
    HandlerFailureSink,
    LogSink,
    kind_of,
    path_of_handler,
)
from actors.pubsub.handlers.failure_span import LONGEST_IN_SPAN, FailureSpan, error_text, place_of
from actors.pubsub.model.types import Gap, GapCallback
from actors.worker.observe.snapshot import FailureNote, GapNote, as_text
from actors.worker.observe.traceback_text import traceback_text
from supervisor import ChildRestarting, Event, EventSink

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes

_RECENT: Final = 50
_LONGEST: Final = 300
#: Kinds of failures whose traceback is in a snapshot: a process sends one every second.
_TRACEBACKS: Final = 10


class Counters:
    """Counts failures by the path of their handler, gaps, and restarts in the whole tree.

    Attributes:
        failed: failures of each handler.
        over: the seconds without a failure after which a handler's failures are past.
        times: what measures each handler, by path.
        path_of: returns the path of the handler that a gap is reported to; empty: nobody knows.
    """

    def __init__(self) -> None:
        self.failed: Counter[str] = Counter()
        self.over = 60.0
        self.times: MutableMapping[str, HandlingTimes] = WeakValueDictionary()
        self.gaps = 0
        self.path_of: Callable[[Gap], str] = lambda _gap: ""
        self.restarts = 0
        self.recent_gaps: deque[GapNote] = deque(maxlen=_RECENT)
        # By path: the failures of each handler since it had a pause of ``over`` seconds.
        self._failures: dict[str, FailureSpan] = {}
        self._kinds: dict[Hashable, FailureNote] = {}  # that of the newest failure last
        # Each sink is wrapped once: every wrapper of a slow sink would have a writer of its own.
        self._sinks: dict[int, tuple[HandlerFailureSink, HandlerFailureSink]] = {}

    def events(self, sink: EventSink) -> EventSink:
        """Return a sink that counts restarts and passes all events on to ``sink``."""

        def counted(event: Event) -> None:
            if isinstance(event, ChildRestarting):
                self.restarts += 1
            sink(event)

        wants_routine = getattr(sink, "wants_routine", lambda: True)
        setattr(counted, "wants_routine", wants_routine)  # noqa: B010 - mypy knows no such attribute
        return counted

    @property
    def recent_failures(self) -> tuple[FailureNote, ...]:
        """The latest kinds of failures, that of the newest failure last."""
        kinds = list(self._kinds.values())
        older = [msgspec.structs.replace(kind, traceback="") for kind in kinds[:-_TRACEBACKS]]
        return (*older, *kinds[-_TRACEBACKS:])

    def latest_failures(self, path: str, now: float) -> FailureSpan | None:
        """Return the failures of a handler, if the last one was less than ``over`` seconds ago."""
        span = self._failures.get(path)
        return None if span is None or now - span.last_at > self.over else span

    def note_failure(self, failure: HandlerFailure) -> None:
        """Count ``failure``."""
        # The failed actor is a handler, or the worker of one: both count for the handler.
        path = path_of_handler(failure.path)
        at = failure.at
        self.failed[path] += 1
        if not isinstance(failure.error, BreakerOpenError):  # then the handler was not called
            error = error_text(failure.error, LONGEST_IN_SPAN)
            span = self.latest_failures(path, at)
            self._failures[path] = (
                FailureSpan.of(error, at) if span is None else span.then(error, at)
            )
        self._note_kind(kind_of(failure), failure, path)

    def _note_kind(self, kind: Hashable, failure: HandlerFailure, path: str) -> None:
        error = error_text(failure.error)
        known = self._kinds.pop(kind, None)
        if known is None and len(self._kinds) >= _RECENT:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[kind] = FailureNote(
            failure.handler,
            as_text(failure.channel),
            error,
            failure.at,
            path,
            place_of(failure.error),
            1 if known is None else known.count + 1,
            error if known is None else known.first_error,
            failure.at if known is None else known.first_at,
            traceback_text(failure.error) if known is None else known.traceback,
        )

    def failure_sink(self, sink: HandlerFailureSink) -> HandlerFailureSink:
        """Return a sink that counts failures and passes them on to ``sink``."""
        known = self._sinks.get(id(sink))
        if known is None:
            known = self._sinks[id(sink)] = (sink, self._counting(sink))
        return known[1]

    def flush(self) -> None:
        """Have the sinks log what they have counted."""
        for sink, _ in self._sinks.values():
            if isinstance(sink, LogSink):
                sink.flush()

    def _counting(self, sink: HandlerFailureSink) -> HandlerFailureSink:
        call = getattr(sink, "__call__", None)  # noqa: B004 - an async __call__ counts
        given: Any = sink
        if inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(call):

            async def counted(failure: HandlerFailure) -> None:
                self.note_failure(failure)
                await given(failure)

            return counted

        def counted_now(failure: HandlerFailure) -> Any:
            self.note_failure(failure)
            return given(failure)

        return counted_now

    def gap_hook(self, hook: GapCallback | None) -> Callable[[Gap], Any]:
        """Return a hook that counts gaps and passes them on to ``hook``."""

        def counted(gap: Gap) -> Any:
            self.gaps += 1
            kind, name, reason = gap.kind.value, as_text(gap.name), gap.reason[:_LONGEST]
            path = self.path_of(gap)
            self.recent_gaps.append(GapNote(kind, name, gap.since, gap.until, reason, path))
            return None if hook is None else hook(gap)

        return counted
