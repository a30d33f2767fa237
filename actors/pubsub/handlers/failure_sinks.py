"""Failure sinks: what takes the messages that a handler failed on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

#: What the names of sink writers begin with: they are among the handlers, and are no handlers.
WRITER_PREFIX: Final = "mailslot:failures"


class HandlerFailure(msgspec.Struct, frozen=True):
    """A message that its handler failed on, or that never reached it.

    Attributes:
        message: the message, as the server sent it.
        channel: the message's channel.
        error: the exception of the handler, the decoder, the time limit or the breaker.
        handler: the handler's name.
        path: the path of the handler's actor.
        at: when the message failed, in Unix seconds.
    """

    message: Any
    channel: Any
    error: BaseException
    handler: str
    path: str
    at: float


#: Takes a failure. If it returns an awaitable, that is awaited, in order and outside the handler.
HandlerFailureSink: TypeAlias = (
    Callable[[HandlerFailure], None]
    | Callable[[HandlerFailure], Awaitable[None]]
    | Callable[[HandlerFailure], Awaitable[None] | None]
)


class LogSink:
    """Logs at most one failure a second for each handler and type of error; counts the others."""

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
    """Writes failures to a key, and logs those that it cannot write."""

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
            # Whatever the error is, the failure itself must not get lost.
            log.error("failure_sink_failed", key=self._key, error=repr(error))
            self._fallback(failure)

    async def _write(self, failure: HandlerFailure) -> None:
        raise NotImplementedError


def _fields(failure: HandlerFailure) -> dict[str, Any]:
    message = failure.message
    data = message["data"] if type(message) is dict else repr(message)
    return {
        "channel": failure.channel,
        # An actor may fail on a message that is not the server's: a timer's, Terminated.
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

    A payload that is not text is written as base64, under ``data_base64``.
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


class SinkCall(msgspec.Struct, frozen=True):
    """A failure that a sink was called with, and the awaitable that the sink returned."""

    failure: HandlerFailure
    rest: Awaitable[Any]
