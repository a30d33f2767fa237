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

        def counted(event: Event) -> None:
            if isinstance(event, ChildRestarting):
                self.restarts += 1
            sink(event)

        wants_routine = getattr(sink, "wants_routine", lambda: True)
        setattr(counted, "wants_routine", wants_routine)  # noqa: B010 - mypy knows no such attribute
        return counted

    def note_failure(self, failure: HandlerFailure) -> None:
        """Count ``failure``."""
        # The failed actor is a handler, or the worker of one: both count for the handler.
        before, handlers, after = failure.path.partition("/handlers/")
        path = f"{before}{handlers}{after.partition('/')[0]}"
        error = repr(failure.error)[:_LONGEST]
        self.failed[path] += 1
        self.recent_failures.append(
            FailureNote(failure.handler, as_text(failure.channel), error, failure.at, path)
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
            self.gaps += 1
            kind, name, reason = gap.kind.value, as_text(gap.name), gap.reason[:_LONGEST]
            self.recent_gaps.append(GapNote(kind, name, gap.since, gap.until, reason))
            return None if hook is None else hook(gap)

        return counted
