"""What both clients are: a pool, a retry policy, and the commands that a Pub/Sub user needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, AnyStr, Generic, Self, overload

from actors.redis.clients.appending import (
    check_acknowledged,
    check_history,
    refuse_replicas,
    run_script,
)
from actors.redis.clients.message_batches import MessageBatch, in_batches
from actors.redis.clients.payloads import Payload, encoded
from actors.redis.clients.pipeline import Pipeline, raise_first
from actors.redis.clients.replies import count, given, names, pairs
from actors.redis.exceptions import DataError
from actors.redis.history.history import History
from actors.redis.history.refusals import explained
from actors.redis.history.script import append_command, with_first_text
from actors.redis.wire.resp import Argument, decode, encode
from supervisor.model.retry_policy import NoRetryPolicy, RetryPolicy


class BaseClient(ABC, Generic[AnyStr]):
    """A client is an async context manager. ``AnyStr`` is the type of the strings in replies.

    Commands without a method here go through :meth:`execute_command`.
    """

    def __init__(self, connection_pool: Any, options: Mapping[str, Any]) -> None:
        self.connection_pool = connection_pool
        policy: RetryPolicy | None = options["retry_policy"]
        self.retry_policy = NoRetryPolicy() if policy is None else policy
        self.verify_version: bool = options["verify_version"]
        self.noreply: bool = options["noreply"] or connection_pool.settings.noreply

    @property
    def encoding(self) -> str:
        """The codec of str in commands and replies."""
        return str(self.connection_pool.encoding)

    @property
    def decode_responses(self) -> bool:
        """Whether replies are str instead of bytes."""
        return bool(self.connection_pool.decode_responses)

    async def __aenter__(self) -> Self:
        await self.connection_pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.connection_pool.__aexit__(exc_type, exc, traceback)

    @abstractmethod
    async def execute_command(self, *args: Argument) -> Any:
        """Send a command and return its reply."""

    @abstractmethod
    async def _execute(self, args: tuple[Argument, ...]) -> Any:
        """Send a command that does not block and return its reply."""

    @abstractmethod
    async def _execute_all(
        self, commands: list[tuple[Argument, ...]], *, transaction: bool = False
    ) -> list[Any]:
        """Send commands that do not block together; return the replies, in which errors are values.

        The replies are not decoded.
        """

    @abstractmethod
    async def _execute_on_replicas(
        self, args: tuple[Argument, ...], replicas: int
    ) -> tuple[Any, Any]:
        """Send a command on a connection of its own, and wait there for ``replicas`` replicas.

        Returns:
            The reply, not decoded; and how many replicas have acknowledged, or the error instead.
        """

    def _group_of(self, key: bytes) -> Hashable:
        """Return what keys at one server have in common, as far as that is sure."""
        return None

    @abstractmethod
    async def _query(self, *args: Argument) -> Any:
        """Send a command that changes nothing, so that it may be sent again after a failure."""

    @overload
    async def publish(
        self, channel: str | bytes, message: Payload, *, history: None = None
    ) -> int: ...

    @overload
    async def publish(
        self, channel: str | bytes, message: Payload, *, history: History
    ) -> AnyStr: ...

    async def publish(
        self, channel: str | bytes, message: Payload, *, history: History | None = None
    ) -> int | AnyStr:
        """Publish ``message`` and return how many subscribers of this server received it.

        Args:
            channel: where to publish.
            message: the payload: str, bytes, int or float as they are; a dict, list, tuple, Struct,
                dataclass, attrs class or Pydantic model as JSON.
            history: append the message to the channel's history, and return the id of its entry
                instead. Both is done in one step at the server, or nothing.

        Raises:
            DataError: the message cannot be encoded, or the channel cannot have a history.
            WrongTypeError: the key of the history has another use.
            ReplicationError: the message was published, and not enough replicas have it yet.
        """
        if history is not None:
            return await self._append("PUBLISH", channel, message, history)
        return count(await self._execute(("PUBLISH", channel, encoded(message))))

    @overload
    async def spublish(
        self, channel: str | bytes, message: Payload, *, history: None = None
    ) -> int: ...

    @overload
    async def spublish(
        self, channel: str | bytes, message: Payload, *, history: History
    ) -> AnyStr: ...

    async def spublish(
        self, channel: str | bytes, message: Payload, *, history: History | None = None
    ) -> int | AnyStr:
        """Publish to a shard channel and return how many subscribers of this node received it.

        With ``history`` the same holds as for :meth:`publish`.
        """
        if history is not None:
            return await self._append("SPUBLISH", channel, message, history)
        return count(await self._execute(("SPUBLISH", channel, encoded(message))))

    async def _append(
        self, publish: str, channel: str | bytes, message: Payload, history: History
    ) -> AnyStr:
        check_history(history)
        args = self._append_command(publish, channel, message, history)
        if not history.replicas:
            return self._entry_id(await run_script(self._execute, args, blind=self.noreply))
        if self.noreply:
            raise DataError(
                "a client with noreply=True cannot wait for replicas: publish with "
                "History(replicas=0), or use a client without noreply"
            )
        on_replicas = partial(self._execute_on_replicas, replicas=history.replicas)
        reply, acknowledged = await run_script(on_replicas, args)
        entry_id = self._entry_id(reply)
        check_acknowledged(entry_id, acknowledged, history.replicas)
        return entry_id

    def _append_command(
        self, publish: str, channel: str | bytes, message: Payload, history: History
    ) -> tuple[Argument, ...]:
        return append_command(publish, encode(channel, self.encoding), encoded(message), history)

    def _entry_id(self, reply: Any) -> AnyStr:
        """Return the id of an entry; it is empty where nobody waits for replies."""
        entry_id: AnyStr = self._decoded(b"" if reply is None else reply)
        return entry_id

    @overload
    async def publish_many(
        self,
        messages: Iterable[tuple[str | bytes, Payload]],
        *,
        sharded: bool = False,
        history: None = None,
    ) -> list[int]: ...

    @overload
    async def publish_many(
        self,
        messages: Iterable[tuple[str | bytes, Payload]],
        *,
        sharded: bool = False,
        history: History,
    ) -> list[AnyStr]: ...

    async def publish_many(
        self,
        messages: Iterable[tuple[str | bytes, Payload]],
        *,
        sharded: bool = False,
        history: History | None = None,
    ) -> list[int] | list[AnyStr]:
        """Publish many messages, and return for each how many subscribers received it.

        Messages of one channel are published in their order. All messages are sent, in batches,
        unless one of a batch fails: then the first error is raised, and later batches are not sent.

        Args:
            messages: pairs of channel and message, as for :meth:`publish`; the next ones are taken
                when those before are published.
            sharded: publish to shard channels.
            history: append each message to the history of its channel, and return the ids of the
                entries instead.

        Raises:
            DataError: a message cannot be encoded, so that nothing of its batch is sent; a channel
                cannot have a history; or ``history`` asks for replicas, for which
                publish() and spublish() can wait.
            TypeError: ``messages`` are no pairs of channel and message.
        """
        name = "SPUBLISH" if sharded else "PUBLISH"
        send = self._counts_of if history is None else partial(self._ids_of, history=history)
        results: list[Any] = []
        for batch in in_batches(messages):
            results += await send(name, batch)
        return results

    async def _counts_of(self, name: str, batch: MessageBatch) -> list[int]:
        commands: list[tuple[Argument, ...]] = [
            (name, channel, message) for channel, message in batch
        ]
        replies = await self._execute_all(commands)
        raise_first(replies, commands)
        return replies if not self.noreply else [0] * len(replies)

    async def _ids_of(self, name: str, batch: MessageBatch, history: History) -> list[AnyStr]:
        refuse_replicas(history, "publish_many()")
        commands = [
            self._append_command(name, channel, message, history) for channel, message in batch
        ]
        replies = await self._send_all(commands)
        raise_first(replies, commands)
        return [self._entry_id(reply) for reply in replies]

    async def _send_all(
        self, commands: list[tuple[Argument, ...]], *, transaction: bool = False
    ) -> list[Any]:
        """Like :meth:`_execute_all`, also for commands that append to histories."""
        sent = with_first_text(commands, self._group_of)
        replies = await self._execute_all(sent, transaction=transaction)
        return [
            explained(reply, args) if isinstance(reply, Exception) else reply
            for reply, args in zip(replies, commands, strict=True)
        ]

    def pipeline(
        self,
        transaction: bool | None = None,
        *,
        raise_on_error: bool = True,
        timeout: float | None = None,
    ) -> Pipeline[AnyStr]:
        """Return a pipeline, which collects commands and sends them together; see Pipeline."""
        return Pipeline(
            self._send_all,
            self._append_command,
            self._decoded,
            transaction,
            raise_on_error,
            timeout,
        )

    def _decoded(self, reply: Any) -> Any:
        if type(reply) is int or not self.decode_responses:
            return reply
        return decode(reply, self.encoding)

    async def ping(self, message: str | bytes | None = None) -> AnyStr:
        """Return ``PONG``, or ``message`` where one is given, from the server."""
        reply: AnyStr = await self._query("PING", *given(message))
        return reply

    async def echo(self, message: str | bytes) -> AnyStr:
        """Return ``message`` from the server."""
        reply: AnyStr = await self._query("ECHO", message)
        return reply

    async def pubsub_channels(self, pattern: str | bytes | None = None) -> set[AnyStr]:
        """Return the channels with subscribers; those that match ``pattern`` where one is given."""
        return names(await self._query("PUBSUB", "CHANNELS", *given(pattern)))

    async def pubsub_shardchannels(self, pattern: str | bytes | None = None) -> set[AnyStr]:
        """Return this node's shard channels with subscribers, like :meth:`pubsub_channels`."""
        return names(await self._query("PUBSUB", "SHARDCHANNELS", *given(pattern)))

    async def pubsub_numsub(self, *channels: str | bytes) -> dict[AnyStr, int]:
        """Return the number of subscribers of each of ``channels``, patterns not counted."""
        return pairs(await self._query("PUBSUB", "NUMSUB", *channels))

    async def pubsub_shardnumsub(self, *channels: str | bytes) -> dict[AnyStr, int]:
        """Return the number of subscribers of each of the shard channels."""
        return pairs(await self._query("PUBSUB", "SHARDNUMSUB", *channels))

    async def pubsub_numpat(self) -> int:
        """Return the number of different patterns that are subscribed to."""
        return count(await self._query("PUBSUB", "NUMPAT"))
