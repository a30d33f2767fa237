"""The words of this floor: targets, messages, callbacks, gaps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias, TypedDict

import msgspec

__all__ = [
    "Gap",
    "GapCallback",
    "Kind",
    "LagCallback",
    "PubSubMessage",
    "SubscriptionCallback",
    "Target",
]


class Kind(StrEnum):
    """What a name names. The three are name spaces of their own: one name may be all three."""

    CHANNEL = "channel"
    PATTERN = "pattern"
    SHARD = "shard_channel"


class Target(NamedTuple):
    """Something to subscribe to.

    Attributes:
        kind: channel, pattern or shard channel.
        name: as the server knows it.
    """

    kind: Kind
    name: bytes


class PubSubMessage(TypedDict):
    """A message, or the acknowledgement of a (un)subscription.

    Attributes:
        type: ``message``, ``pmessage``, or the acknowledged command in lower case.
        pattern: the pattern it came by; None for channels.
        channel: the channel's name; for acknowledgements of patterns the pattern.
        data: the payload; for acknowledgements how many subscriptions the connection has.
    """

    type: str
    pattern: Any
    channel: Any
    data: Any


#: Takes a message, as a function or a coroutine function.
SubscriptionCallback: TypeAlias = (
    Callable[[PubSubMessage], Awaitable[None]] | Callable[[PubSubMessage], None]
)


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A time in which messages of one target may have been missed (P10).

    Attributes:
        kind: channel, pattern or shard channel.
        name: the target's name, as str or bytes like the names in messages.
        since: the last proof that the target was live, in Unix seconds: not the latest message,
            but the read before it. When in between it was sent, and the connection broken, nobody
            knows: the process may have been late to look.
        until: when it was confirmed again, in Unix seconds.
        reason: what broke it, in words.
    """

    kind: Kind
    name: Any
    since: float
    until: float
    reason: str

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.until - self.since


#: Hears of a gap before the next message of its target.
GapCallback: TypeAlias = Callable[[Gap], Awaitable[None]] | Callable[[Gap], None]
#: Hears how many messages were shed right before the next one.
LagCallback: TypeAlias = Callable[[int], Awaitable[None]] | Callable[[int], None]
