"""Failure sinks: where the messages go that a handler failed on."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from actors.runtime.ref import ActorRef
from supervisor import SupervisorError
from supervisor.log import Throttle, get_logger

__all__ = [
    "WRITER_PREFIX",
    "Begun",
    "FailureDispatcher",
    "HandlerFailure",
    "HandlerFailureSink",
    "ListSink",
    "LogSink",
    "StreamSink",
]

log = get_logger("mailslot.pubsub")

#: What the names of writers begin with: they stand among the handlers, and are none.
WRITER_PREFIX: Final = "mailslot:failures"


class HandlerFailure(msgspec.Struct, frozen=True):
    """A message that its handler failed on, or that never reached it.

    Attributes:
        message: the message, as it came.
        channel: where it came from.
        error: what was raised: by the handler, by decoding, by the time limit or the breaker.
        handler: the handler's name.
        path: the handler's actor.
        at: when, in Unix seconds.
    """

    message: Any
    channel: Any
    error: BaseException
    handler: str
    path: str
    at: float


#: Takes a failure; one that returns an awaitable has it awaited, in order, away from the handler.
HandlerFailureSink: TypeAlias = (
    Callable[[HandlerFailure], None]
    | Callable[[HandlerFailure], Awaitable[None]]
    | Callable[[HandlerFailure], Awaitable[None] | None]
)


class LogSink:
    """Logs failures, at most one a second for a handler and type of error; counts the rest."""

    def __init__(self, interval: float = 1.0) -> None:
        self._throttle = Throttle(time.monotonic, interval)

    def __call__(self, failure: HandlerFailure) -> None:
        """Log ``failure``, or count it as suppressed."""
        suppressed = self._throttle.passes((failure.path, type(failure.error)))
        if suppressed is not None:
            log.warning(
                "handler_failed",
                handler=failure.handler,
                channel=failure.channel,
                error=repr(failure.error),
                suppressed=suppressed,
                exc_info=failure.error,
            )


class _Commands(Protocol):
    async def execute_command(self, *args: Any) -> Any: ...


class _RedisSink:
    """Writes failures to a key; what cannot be written is logged instead of dropped."""

    def __init__(self, client: _Commands, key: str, most: int = 10_000) -> None:
        if most < 1:
            raise ValueError(f"most must be 1 or more, not {most}")
        self._client = client
        self._key = key
        self._most = most
        self._fallback = LogSink()

    async def __call__(self, failure: HandlerFailure) -> None:
        """Write ``failure``."""
        try:
            await self._write(failure)
        except Exception as error:
            # Whatever it is: the failure must not get lost over another one.
            log.error("failure_sink_failed", key=self._key, error=repr(error))
            self._fallback(failure)

    async def _write(self, failure: HandlerFailure) -> None:
        raise NotImplementedError


def _fields(failure: HandlerFailure) -> dict[str, Any]:
    message = failure.message
    data = message["data"] if type(message) is dict else repr(message)
    return {
        "channel": failure.channel,
        # An actor may fail on what is no message: a timer's, Terminated.
        "data": data if isinstance(data, str | bytes) else repr(data),
        "error": repr(failure.error),
        "handler": failure.handler,
        "at": failure.at,
    }


class StreamSink(_RedisSink):
    """Appends failures to a stream, trimmed to about ``most`` entries."""

    async def _write(self, failure: HandlerFailure) -> None:
        fields = [part for item in _fields(failure).items() for part in item]
        await self._client.execute_command(
            "XADD", self._key, "MAXLEN", "~", self._most, "*", *fields
        )


class ListSink(_RedisSink):
    """Pushes failures as JSON to the head of a list, trimmed to ``most`` entries.

    A payload that is no text stands in it as base64, under ``data_base64``.
    """

    async def _write(self, failure: HandlerFailure) -> None:
        fields = _fields(failure)
        for name in ("channel", "data"):
            if isinstance(fields[name], bytes):
                try:
                    fields[name] = fields[name].decode()
                except UnicodeDecodeError:
                    fields[f"{name}_base64"] = fields.pop(name)
        await self._client.execute_command("LPUSH", self._key, msgspec.json.encode(fields))
        await self._client.execute_command("LTRIM", self._key, 0, self._most - 1)


# -- on the way to a sink --------------------------------------------------------------------------

_last_resort: Final = LogSink()
_Hire: TypeAlias = Callable[[HandlerFailureSink, ActorRef[Any]], ActorRef[Any]]


class Begun(msgspec.Struct, frozen=True):
    """A failure that its sink has been told of, and what is left to await."""

    failure: HandlerFailure
    rest: Awaitable[Any]

    def drop(self) -> None:
        """Nobody will await the rest."""
        if inspect.iscoroutine(self.rest):
            self.rest.close()


class FailureDispatcher:
    """Takes the failures of one handler to its sink.

    Args:
        sink: the user's.
        hire: returns a writer for a sink that must be awaited, and for the handler; raises
            SupervisorError where all of this ends.
    """

    def __init__(self, sink: HandlerFailureSink, hire: _Hire) -> None:
        self._sink = sink
        self._hire = hire
        self._handler: ActorRef[Any] | None = None
        self._writer: ActorRef[Any] | None = None
        call = getattr(sink, "__call__", None)  # noqa: B004 - an async __call__ counts
        self._waits = inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(call)

    def serve(self, handler: ActorRef[Any]) -> None:
        """Have the writer, if there must be one, last as long as ``handler``, which is spawned."""
        self._handler = handler
        if self._waits:
            self._writer = self._hire(self._sink, handler)

    def give(self, failure: HandlerFailure) -> None:
        """Take ``failure``; returns at once."""
        if self._waits:
            self._tell(failure, failure)
            return
        result: Any = self._sink(failure)
        if result is not None and inspect.isawaitable(result):
            # No coroutine function, and must be awaited all the same: from now on it is one.
            self._waits = True
            self._tell(failure, Begun(failure, result))

    def _tell(self, failure: HandlerFailure, message: HandlerFailure | Begun) -> None:
        if self._writer is None or not self._writer.alive:
            assert self._handler is not None
            try:
                self._writer = self._hire(self._sink, self._handler)
            except SupervisorError:  # it fails while all of this ends
                _last_resort(failure)
                if isinstance(message, Begun):
                    message.drop()
                return
        self._writer.tell(message)
