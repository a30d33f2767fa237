"""The commands that a Pub/Sub user needs; any other goes through ``execute_command``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, AnyStr, Generic

from actors.redis.wire.resp import Argument

__all__ = ["Commands"]


class Commands(ABC, Generic[AnyStr]):
    """Mixin; ``AnyStr`` is what the client makes of strings in replies."""

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
        args = () if message is None else (message,)
        reply: AnyStr = await self._query("PING", *args)
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
        return _pairs(await self._query("PUBSUB", "NUMSUB", *channels))

    async def pubsub_shardnumsub(self, *channels: str | bytes) -> dict[AnyStr, int]:
        """Return the number of subscribers of each of the shard channels."""
        return _pairs(await self._query("PUBSUB", "SHARDNUMSUB", *channels))

    async def pubsub_numpat(self) -> int:
        """Return the number of different patterns that are subscribed to."""
        return _count(await self._query("PUBSUB", "NUMPAT"))


def _given(pattern: str | bytes | None) -> tuple[str | bytes, ...]:
    return () if pattern is None else (pattern,)


def _count(reply: Any) -> int:
    # Where replies are off there is none.
    return 0 if reply is None else int(reply)


def _pairs(reply: Any) -> dict[Any, int]:
    if isinstance(reply, Mapping):
        return dict(reply)
    flat = iter(reply or ())
    return dict(zip(flat, flat, strict=True))
