"""The counters of a worker: failures, gaps and restarts, with the latest of each."""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from actors.pubsub.handlers.failure_sinks import HandlerFailure, HandlerFailureSink
from actors.pubsub.model.types import Gap, GapCallback
from actors.worker.observe.snapshot import FailureNote, GapNote, as_text
from supervisor import ChildRestarting, Event, EventSink

_RECENT: Final = 50
_LONGEST: Final = 300


class Counters:
    """Counts failures by the path of their handler, gaps, and restarts in the whole tree."""

    def __init__(self) -> None:
        self.failed: Counter[str] = Counter()
        self.gaps = 0
        self.restarts = 0
        self.recent_gaps: deque[GapNote] = deque(maxlen=_RECENT)
        self.recent_failures: deque[FailureNote] = deque(maxlen=_RECENT)
        # Each sink is wrapped once: every wrapper of a slow sink would have a writer of its own.
        self._sinks: dict[int, tuple[HandlerFailureSink, HandlerFailureSink]] = {}

    def events(self, sink: EventSink) -> EventSink:
        """Return a sink that counts restarts and passes all events on to ``sink``."""
        return _CountingSink(self, sink)

    def note_failure(self, failure: HandlerFailure) -> None:
        """Count ``failure``."""
        path, error = handler_of(failure.path), repr(failure.error)[:_LONGEST]
        self.failed[path] += 1
        self.recent_failures.append(
            FailureNote(failure.handler, as_text(failure.channel), error, failure.at, path)
        )

    def note_gap(self, gap: Gap) -> None:
        """Count ``gap``."""
        self.gaps += 1
        self.recent_gaps.append(
            GapNote(gap.kind.value, as_text(gap.name), gap.since, gap.until, gap.reason[:_LONGEST])
        )

    def failure_sink(self, sink: HandlerFailureSink) -> HandlerFailureSink:
        """Return a sink that counts failures and passes them on to ``sink``."""
        known = self._sinks.get(id(sink))
        if known is None:
            known = self._sinks[id(sink)] = (sink, self._counting(sink))
        return known[1]

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
            self.note_gap(gap)
            return None if hook is None else hook(gap)

        return counted


class _CountingSink:
    def __init__(self, counters: Counters, sink: EventSink) -> None:
        self._counters = counters
        self._sink = sink
        self.wants_routine = getattr(sink, "wants_routine", lambda: True)

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChildRestarting):
            self._counters.restarts += 1
        self._sink(event)


def handler_of(path: str) -> str:
    """Return the path of the handler that the actor at ``path`` is, or is a worker of."""
    before, handlers, after = path.partition("/handlers/")
    return f"{before}{handlers}{after.partition('/')[0]}"
