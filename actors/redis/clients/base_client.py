"""What both clients are: a pool, a retry policy, and the commands that a Pub/Sub user needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, AnyStr, Generic, Self

from actors.redis.wire.resp import Argument
from supervisor.retry_policy import NoRetryPolicy, RetryPolicy


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
    async def _query(self, *args: Argument) -> Any:
        """Send a command that changes nothing, so that it may be sent again after a failure."""

    async def publish(self, channel: str | bytes, message: Argument) -> int:
        """Publish ``message`` and return how many subscribers of this server received it."""
        return _count(await self.execute_command("PUBLISH", channel, message))

    async def spublish(self, channel: str | bytes, message: Argument) -> int:
        """Publish to a shard channel and return how many subscribers of this node received it."""
        return _count(await self.execute_command("SPUBLISH", channel, message))

    async def ping(self, message: str | bytes | None = None) -> AnyStr:
        """Return ``PONG``, or ``message`` where one is given, from the server."""
        reply: AnyStr = await self._query("PING", *_given(message))
        return reply

    async def echo(self, message: str | bytes) -> AnyStr:
        """Return ``message`` from the server."""
        reply: AnyStr = await self._query("ECHO", message)
        return reply

    async def pubsub_channels(self, pattern: str | bytes | None = None) -> set[AnyStr]:
        """Return the channels with subscribers; those that match ``pattern`` where one is given."""
        return set(await self._query("PUBSUB", "CHANNELS", *_given(pattern)) or ())

    async def pubsub_shardchannels(self, pattern: str | bytes | None = None) -> set[AnyStr]:
        """Return this node's shard channels with subscribers, like :meth:`pubsub_channels`."""
        return set(await self._query("PUBSUB", "SHARDCHANNELS", *_given(pattern)) or ())

    async def pubsub_numsub(self, *channels: str | bytes) -> dict[AnyStr, int]:
        """Return the number of subscribers of each of ``channels``, patterns not counted."""
        return pairs(await self._query("PUBSUB", "NUMSUB", *channels))

    async def pubsub_shardnumsub(self, *channels: str | bytes) -> dict[AnyStr, int]:
        """Return the number of subscribers of each of the shard channels."""
        return pairs(await self._query("PUBSUB", "SHARDNUMSUB", *channels))

    async def pubsub_numpat(self) -> int:
        """Return the number of different patterns that are subscribed to."""
        return _count(await self._query("PUBSUB", "NUMPAT"))


def _given(argument: str | bytes | None) -> tuple[str | bytes, ...]:
    return () if argument is None else (argument,)


def _count(reply: Any) -> int:
    # A client with noreply gets None instead of a reply.
    return 0 if reply is None else int(reply)


def pairs(reply: Any) -> dict[Any, int]:
    """Return the names and counts in a reply to NUMSUB: a map, or a flat list of pairs."""
    if isinstance(reply, Mapping):
        return dict(reply)
    flat = iter(reply or ())
    return dict(zip(flat, flat, strict=True))
