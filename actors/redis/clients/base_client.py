"""What both clients are: a pool, a retry policy, and the commands that a Pub/Sub user needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, AnyStr, Final, Generic, Self

from actors.redis.clients.pipeline import Pipeline, raise_first
from actors.redis.clients.replies import count, given, names, pairs
from actors.redis.wire.resp import Argument, decode
from supervisor.retry_policy import NoRetryPolicy, RetryPolicy

# How many messages publish_many() has in flight at the same time.
_PUBLISH_BATCH: Final = 2000


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
    async def _query(self, *args: Argument) -> Any:
        """Send a command that changes nothing, so that it may be sent again after a failure."""

    async def publish(self, channel: str | bytes, message: Argument) -> int:
        """Publish ``message`` and return how many subscribers of this server received it."""
        return count(await self._execute(("PUBLISH", channel, message)))

    async def spublish(self, channel: str | bytes, message: Argument) -> int:
        """Publish to a shard channel and return how many subscribers of this node received it."""
        return count(await self._execute(("SPUBLISH", channel, message)))

    async def publish_many(
        self, messages: Iterable[tuple[str | bytes, Argument]], *, sharded: bool = False
    ) -> list[int]:
        """Publish many messages, and return for each how many subscribers received it.

        Messages of one channel are published in their order. All messages are sent, in batches,
        unless one of a batch fails: then the first error is raised, and later batches are not sent.

        Args:
            messages: pairs of channel and message; the next ones are taken when those before are
                published.
            sharded: publish to shard channels.
        """
        name = "SPUBLISH" if sharded else "PUBLISH"
        counts: list[int] = []
        rest = iter(messages)
        while batch := list(islice(rest, _PUBLISH_BATCH)):
            commands: list[tuple[Argument, ...]] = [
                (name, channel, message) for channel, message in batch
            ]
            replies = await self._execute_all(commands)
            raise_first(replies, commands)
            counts += replies if not self.noreply else [0] * len(replies)
        return counts

    def pipeline(
        self,
        transaction: bool | None = None,
        *,
        raise_on_error: bool = True,
        timeout: float | None = None,
    ) -> Pipeline[AnyStr]:
        """Return a pipeline, which collects commands and sends them together; see Pipeline."""
        return Pipeline(self._execute_all, self._decoded, transaction, raise_on_error, timeout)

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
