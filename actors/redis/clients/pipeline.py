"""Commands that are collected, and sent together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, AnyStr, Generic, Protocol, Self, TypeVar, overload

from actors.redis.clients.appending import refuse_replicas
from actors.redis.clients.payloads import Payload, encoded
from actors.redis.clients.replies import count, given, names, pairs
from actors.redis.exceptions import (
    DataError,
    ExecAbortError,
    ReplyTimeoutError,
    ResponseError,
)
from actors.redis.history.history import History
from actors.redis.shared.command_kinds import blocking_seconds
from actors.redis.wire.patience import Patience
from actors.redis.wire.resp import Argument, text_of, words

T = TypeVar("T")


class SendAll(Protocol):
    """Sends commands together; returns the replies, in which errors are values."""

    def __call__(
        self, commands: list[tuple[Argument, ...]], *, transaction: bool
    ) -> Awaitable[list[Any]]:
        """Send ``commands``, between MULTI and EXEC where a ``transaction`` is asked for."""


class AppendCommand(Protocol):
    """Makes the command that appends a message to the history of a channel and publishes it."""

    def __call__(
        self, publish: str, channel: str | bytes, message: Payload, history: History
    ) -> tuple[Argument, ...]:
        """Return the command, with PUBLISH or SPUBLISH; raise DataError if there is none."""


class PipelineResult(Generic[T]):
    """What a command in a pipeline returns: await the result after the pipeline has ended."""

    __slots__ = ("_convert", "_value", "args")

    def __init__(self, args: tuple[Argument, ...], convert: Callable[[Any], T]) -> None:
        self.args = args
        self._convert = convert
        self._value: Any = RuntimeError(
            "the pipeline has not sent this command yet: await the result after the "
            "`async with client.pipeline()` block"
        )

    def take(self, reply: Any) -> T | Exception:
        """Take the reply, or the error in its place; return the result."""
        self._value = reply if isinstance(reply, Exception) else self._convert(reply)
        result: T | Exception = self._value
        return result

    def __await__(self) -> Generator[Any, None, T]:
        return self._get().__await__()

    async def _get(self) -> T:
        if isinstance(self._value, Exception):
            raise self._value
        result: T = self._value
        return result


class Pipeline(Generic[AnyStr]):
    """Collects commands and sends them when its context ends without an error; made by a client.

    ::

        async with client.pipeline() as pipe:
            one = pipe.publish("orders", "1")
            two = pipe.execute_command("INCR", "orders")
        print(await one, await two, pipe.results)

    A command that fails does not keep the others from being executed. On a cluster each node gets
    its commands together; those that a node redirects are sent on.

    Args:
        send: sends the commands.
        append: makes the command that publishes with a history.
        decoded: makes str of a reply, where the client decodes replies.
        transaction: send the commands between MULTI and EXEC: all are executed, or none is; on a
            cluster all must be for one slot.
        raise_on_error: raise the first error when the context ends; otherwise the errors are in
            :attr:`results`, and raised where the result of the command is awaited.
        timeout: seconds to wait for all replies; None: as long as each reply may take.
    """

    def __init__(
        self,
        send: SendAll,
        append: AppendCommand,
        decoded: Callable[[Any], Any],
        transaction: bool | None,
        raise_on_error: bool,
        timeout: float | None,
    ) -> None:
        self._send_all = send
        self._append_command = append
        self._decoded = decoded
        self._transaction = bool(transaction)
        self._raise_on_error = raise_on_error
        self._timeout = timeout
        self._queued: list[PipelineResult[Any]] = []
        self._results: tuple[Any, ...] | None = None

    @property
    def results(self) -> tuple[Any, ...]:
        """The results of all commands in their order; RuntimeError before the context has ended."""
        if self._results is None:
            raise RuntimeError("the pipeline has no results before its `async with` block ends")
        return self._results

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            await self._send()

    async def _send(self) -> None:
        commands = [queued.args for queued in self._queued]
        try:
            async with Patience(self._timeout) as limit:
                replies = await self._send_all(commands, transaction=self._transaction)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ReplyTimeoutError(
                f"the pipeline had not all replies within {self._timeout} s (timeout); each of its "
                f"{len(commands)} commands may have been carried out"
            ) from None
        taken = (queued.take(reply) for queued, reply in zip(self._queued, replies, strict=True))
        self._results = tuple(taken)
        if self._raise_on_error:
            raise_first(self._results, commands)

    # --- Commands ---------------------------------------------------------------------------------

    def execute_command(self, *args: Argument) -> Awaitable[Any]:
        """Collect any command.

        Raises:
            DataError: the command blocks, or changes the state of its connection.
        """
        args = words(args)
        if blocking_seconds(args) is not None:
            raise DataError(
                f"{text_of(args[0])} blocks its connection, which the commands of other tasks "
                "share: send it by client.execute_command(), which uses a connection of its own"
            )
        return self._add(self._decoded, *args)

    @overload
    def publish(
        self, channel: str | bytes, message: Payload, *, history: None = None
    ) -> Awaitable[int]: ...

    @overload
    def publish(
        self, channel: str | bytes, message: Payload, *, history: History
    ) -> Awaitable[AnyStr]: ...

    def publish(
        self, channel: str | bytes, message: Payload, *, history: History | None = None
    ) -> Awaitable[int] | Awaitable[AnyStr]:
        """Collect a PUBLISH; see the client's method.

        Raises:
            DataError: the message cannot be encoded, the channel cannot have a history, or
                ``history`` asks for replicas.
        """
        if history is not None:
            return self._append("PUBLISH", channel, message, history)
        return self._add(count, "PUBLISH", channel, encoded(message))

    @overload
    def spublish(
        self, channel: str | bytes, message: Payload, *, history: None = None
    ) -> Awaitable[int]: ...

    @overload
    def spublish(
        self, channel: str | bytes, message: Payload, *, history: History
    ) -> Awaitable[AnyStr]: ...

    def spublish(
        self, channel: str | bytes, message: Payload, *, history: History | None = None
    ) -> Awaitable[int] | Awaitable[AnyStr]:
        """Collect a SPUBLISH; see :meth:`publish`."""
        if history is not None:
            return self._append("SPUBLISH", channel, message, history)
        return self._add(count, "SPUBLISH", channel, encoded(message))

    def _append(
        self, publish: str, channel: str | bytes, message: Payload, history: History
    ) -> Awaitable[AnyStr]:
        refuse_replicas(history, "a pipeline")
        args = self._append_command(publish, channel, message, history)
        return self._add(lambda reply: self._decoded(b"" if reply is None else reply), *args)

    def ping(self, message: str | bytes | None = None) -> Awaitable[AnyStr]:
        """Collect a PING; see the client's method."""
        return self._add(self._decoded, "PING", *given(message))

    def echo(self, message: str | bytes) -> Awaitable[AnyStr]:
        """Collect an ECHO; see the client's method."""
        return self._add(self._decoded, "ECHO", message)

    def pubsub_channels(self, pattern: str | bytes | None = None) -> Awaitable[set[AnyStr]]:
        """Collect a PUBSUB CHANNELS; see the client's method."""
        return self._add(self._names, "PUBSUB", "CHANNELS", *given(pattern))

    def pubsub_shardchannels(self, pattern: str | bytes | None = None) -> Awaitable[set[AnyStr]]:
        """Collect a PUBSUB SHARDCHANNELS; see the client's method."""
        return self._add(self._names, "PUBSUB", "SHARDCHANNELS", *given(pattern))

    def pubsub_numsub(self, *channels: str | bytes) -> Awaitable[dict[AnyStr, int]]:
        """Collect a PUBSUB NUMSUB; see the client's method."""
        return self._add(self._counts, "PUBSUB", "NUMSUB", *channels)

    def pubsub_shardnumsub(self, *channels: str | bytes) -> Awaitable[dict[AnyStr, int]]:
        """Collect a PUBSUB SHARDNUMSUB; see the client's method."""
        return self._add(self._counts, "PUBSUB", "SHARDNUMSUB", *channels)

    def pubsub_numpat(self) -> Awaitable[int]:
        """Collect a PUBSUB NUMPAT; see the client's method."""
        return self._add(count, "PUBSUB", "NUMPAT")

    def _names(self, reply: Any) -> set[AnyStr]:
        return names(self._decoded(reply))

    def _counts(self, reply: Any) -> dict[AnyStr, int]:
        return pairs(self._decoded(reply))

    def _add(self, convert: Callable[[Any], T], *args: Argument) -> PipelineResult[T]:
        if self._results is not None:
            raise RuntimeError("the pipeline was sent already: make a new one")
        queued = PipelineResult(args, convert)
        self._queued.append(queued)
        return queued


def raise_first(replies: Sequence[Any], commands: list[tuple[Argument, ...]]) -> None:
    """Raise the first error among ``replies``; that of a server has a note with the command's name.

    That a transaction was discarded is the consequence of another error, if there is one.
    """
    failed = [number for number, reply in enumerate(replies) if isinstance(reply, Exception)]
    causes = [number for number in failed if not isinstance(replies[number], ExecAbortError)]
    for number in (*causes, *failed):
        error = replies[number]
        if isinstance(error, ResponseError):
            # The error of a connection may be that of other tasks, too.
            # An argument may be a secret, or a payload: notes are logged.
            name = text_of(commands[number][0])
            error.add_note(f"command {number + 1} of {len(commands)}: {name}")
        raise error
