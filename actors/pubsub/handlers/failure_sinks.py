"""Failure sinks: what takes the messages that a handler failed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from actors.pubsub.handlers.failure_span import error_text, place_of
from supervisor.log import Folder, exc_info, get_logger

log = get_logger("mailslot.pubsub")

#: Characters of an error that are written to Redis.
_LONGEST_WRITTEN: Final = 100_000
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


def path_of_handler(path: str) -> str:
    """Return the path of the handler that the actor at ``path`` is, or is a worker of."""
    before, handlers, after = path.partition("/handlers/")
    return f"{before}{handlers}{after.partition('/')[0]}"


def kind_of(failure: HandlerFailure) -> Hashable:
    """Return what failures that are alike share: the handler, the type of error and its place."""
    return path_of_handler(failure.path), type(failure.error), place_of(failure.error)


class LogSink:
    """Logs the first failure of each kind in full, and then at intervals how many more there were.

    Failures are of one kind if the same line of code raised the same type of error for the same
    handler. Their messages, and the texts of their errors, may differ.

    Args:
        interval: seconds between two lines about one kind.
    """

    def __init__(self, interval: float = 10.0) -> None:
        self._folder: Folder[HandlerFailure] = Folder(_log_count, interval)

    def __call__(self, failure: HandlerFailure) -> None:
        """Log ``failure``, or count it."""
        if not self._folder.is_first(kind_of(failure), failure):
            return
        log.warning(
            "handler_failed",
            handler=failure.handler,
            channel=failure.channel,
            error=error_text(failure.error),
            exc_info=exc_info(failure.error),
        )

    def flush(self) -> None:
        """Log the counts of all kinds now."""
        self._folder.flush()


def _log_count(latest: HandlerFailure, count: int) -> None:
    place = place_of(latest.error)
    log.warning(
        "handler_failed_again",
        times=count,
        handler=latest.handler,
        channel=latest.channel,
        error=error_text(latest.error),
        **({"at": place} if place else {}),
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
        "error": error_text(failure.error, _LONGEST_WRITTEN),
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
