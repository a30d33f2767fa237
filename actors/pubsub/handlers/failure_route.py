"""From a message that a handler failed on to the handler's failure sink."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from actors.pubsub.handlers.breaker import BreakerOpenError, BreakerState, BreakerStatus
from actors.pubsub.handlers.failure_sinks import (
    HandlerFailure,
    HandlerFailureSink,
    LogSink,
    SinkCall,
)
from actors.pubsub.handlers.failure_span import LONGEST_IN_SPAN, as_utc, error_text
from actors.pubsub.handlers.function_actor import RestOfBatch, Work
from actors.pubsub.handlers.pipeline import is_undecodable
from actors.runtime.messages.lost_messages import Failure
from actors.runtime.ref import ActorRef
from supervisor import SupervisorError
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

_last_resort: Final = LogSink()
#: A breaker that stays open is told once a minute.
_still_open: Final = Throttle(time.monotonic, 60.0)
_WriterOf: TypeAlias = Callable[[HandlerFailureSink, ActorRef[Any]], ActorRef[Any]]


class FailureRoute:
    """Takes the failures of one handler: counts them for its breaker, and gives them to its sink.

    A sink that must be awaited has a writer: an actor that awaits it.

    Args:
        name: the handler's, for the failures.
        label: the name that the handler is subscribed to, for messages that are not the server's.
        breaker: the handler's; None: it has none.
        clock: the breaker's.
        sink: the user's.
        writer_of: returns the writer of a sink, for a handler; raises SupervisorError while the
            pub/sub object ends.
    """

    __slots__ = (
        "_clock",
        "_handler",
        "_label",
        "_must_await",
        "_name",
        "_sink",
        "_writer",
        "_writer_of",
        "breaker",
    )

    def __init__(
        self,
        name: str,
        label: Any,
        breaker: BreakerState | None,
        clock: Callable[[], float],
        sink: HandlerFailureSink,
        writer_of: _WriterOf,
    ) -> None:
        self._name = name
        self._label = label
        self.breaker = breaker
        self._clock = clock
        self._sink = sink
        self._writer_of = writer_of
        self._handler: ActorRef[Any] | None = None
        self._writer: ActorRef[Any] | None = None
        call = getattr(sink, "__call__", None)  # noqa: B004 - an async __call__ counts
        self._must_await = inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(call)

    def start(self, handler: ActorRef[Any]) -> None:
        """Take failures of ``handler``, which is spawned; its writer lives as long at least."""
        self._handler = handler
        if self._must_await:
            self._writer = self._writer_of(self._sink, handler)

    def __call__(self, failure: Failure) -> None:
        """Take a failure, and return at once."""
        message = failure.message
        counted = not isinstance(message, RestOfBatch)
        if isinstance(message, Work | RestOfBatch):
            message = message.message
        from_server, at = type(message) is dict, time.time()
        if self.breaker is not None and from_server and counted:
            _count(self.breaker, failure.error, self._clock(), at)
        channel = message["channel"] if from_server else self._label
        self._dispatch(
            HandlerFailure(message, channel, failure.error, self._name, failure.path, at)
        )

    def _dispatch(self, failure: HandlerFailure) -> None:
        if self._must_await:
            self._tell_writer(failure, failure)
            return
        result: Any = self._sink(failure)
        if result is not None and inspect.isawaitable(result):
            # Not a coroutine function, but it must be awaited: treated as one from now on.
            self._must_await = True
            self._tell_writer(failure, SinkCall(failure, result))

    def _tell_writer(self, failure: HandlerFailure, message: HandlerFailure | SinkCall) -> None:
        if self._writer is None or not self._writer.alive:
            assert self._handler is not None
            try:
                self._writer = self._writer_of(self._sink, self._handler)
            except SupervisorError:  # the pub/sub object ends
                _last_resort(failure)
                if isinstance(message, SinkCall) and inspect.iscoroutine(message.rest):
                    message.rest.close()
                return
        self._writer.tell(message)


def _count(breaker: BreakerState, error: BaseException, now: float, at: float) -> None:
    """Count a failure for ``breaker``, unless the handler was not called."""
    if isinstance(error, BreakerOpenError):
        return
    if is_undecodable(error):
        breaker.spared()
        return
    was_closed = breaker.status is BreakerStatus.CLOSED
    if not breaker.failed(now, error_text(error, LONGEST_IN_SPAN), at):
        return
    if was_closed:
        _log_open("breaker_open", breaker)
    elif _still_open.passes((breaker.handler, breaker.channel)) is not None:
        _log_open("breaker_still_open", breaker)


def _log_open(event: str, breaker: BreakerState) -> None:
    failures = breaker.failures
    assert failures is not None
    log.error(
        event,
        handler=breaker.handler,
        channel=breaker.channel,
        failures=failures.count,
        first_error=failures.first_error,
        first_at=as_utc(failures.first_at),
        last_error=failures.last_error,
        last_at=as_utc(failures.last_at),
    )
