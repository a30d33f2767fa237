"""Failure sinks: where the messages go that a handler failed on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from actors.redis.exceptions import RedisError
from actors.runtime.throttle import Throttle
from supervisor.log import get_logger

__all__ = ["HandlerFailure", "HandlerFailureSink", "ListSink", "LogSink", "StreamSink"]

log = get_logger("mailslot.pubsub")


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
    Callable[[HandlerFailure], None] | Callable[[HandlerFailure], Awaitable[None]]
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
        except (RedisError, OSError) as error:
            log.error("failure_sink_unreachable", key=self._key, error=str(error))
            self._fallback(failure)

    async def _write(self, failure: HandlerFailure) -> None:
        raise NotImplementedError


def _fields(failure: HandlerFailure) -> dict[str, Any]:
    return {
        "channel": failure.channel,
        "data": failure.message["data"],
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
