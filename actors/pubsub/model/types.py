"""Targets, messages, callbacks and gaps: the types that all of pub/sub shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, NamedTuple, NotRequired, Self, TypeAlias, TypedDict

import msgspec


class Kind(StrEnum):
    """The three kinds of names. Each is a name space of its own: one name may be of all three."""

    CHANNEL = "channel"
    PATTERN = "pattern"
    SHARD = "shard_channel"


class Target(NamedTuple):
    """Something to subscribe to.

    Attributes:
        kind: channel, pattern or shard channel.
        name: the name, as the server has it.
    """

    kind: Kind
    name: bytes


class NodeTarget(Target):
    """A target on one node, where several nodes have targets of the same name.

    Attributes:
        node: the node's id.
    """

    __slots__ = ()

    def __new__(cls, kind: Kind, name: bytes, node: str) -> Self:  # noqa: D102
        return tuple.__new__(cls, (kind, name, node))

    @property
    def node(self) -> str:  # noqa: D102 - the class's docstring says it
        return str(tuple.__getitem__(self, 2))

    def __repr__(self) -> str:
        return f"NodeTarget(kind={self.kind!r}, name={self.name!r}, node={self.node!r})"


class PubSubMessage(TypedDict):
    """A message, or the acknowledgement of a subscribe or unsubscribe command.

    Attributes:
        type: ``message``, ``pmessage``, or the acknowledged command in lower case.
        pattern: the pattern that the message matches; None for channels.
        channel: the channel's name; for acknowledgements of patterns the pattern.
        data: the payload; for acknowledgements how many subscriptions the connection has.
        id: the id of the message's entry in the channel's history, where the consumer asked for
            recovery.
        recovered: True where the message was read out of the history; a live one has no such key.
    """

    type: str
    pattern: Any
    channel: Any
    data: Any
    id: NotRequired[Any]
    recovered: NotRequired[bool]


#: Takes a message, as a function or a coroutine function.
SubscriptionCallback: TypeAlias = (
    Callable[[PubSubMessage], Awaitable[None]] | Callable[[PubSubMessage], None]
)


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A time in which messages of one target may have been missed (P10).

    Attributes:
        kind: channel, pattern or shard channel.
        name: the target's name, as str or bytes like the names in messages.
        since: the last proof that the target was live, in Unix seconds. That is not the latest
            read from the connection but the one before it: the process may have been late to read,
            and the connection may have broken at any time since then.
        until: when the subscription was confirmed again, in Unix seconds.
        reason: why the target was not live, in words.
        node: the address of the node whose messages may have been missed, where every primary of a
            cluster is subscribed on; None: whatever the nodes.
        lost: how many messages were missed for good; None: nobody knows. Where the consumer asked
            for recovery, the history may have shown the number.
        recovered: how many of the missed messages the history still had, as far as they were read
            when the gap was told. They come after the gap.
    """

    kind: Kind
    name: Any
    since: float
    until: float
    reason: str
    node: str | None = None
    lost: int | None = None
    recovered: int = 0

    @property
    def seconds(self) -> float:
        """How long the gap was."""
        return self.until - self.since


#: Called with a gap, before the next message of its target.
GapCallback: TypeAlias = Callable[[Gap], Awaitable[None]] | Callable[[Gap], None]
#: Called with the number of messages that were shed right before the next one.
LagCallback: TypeAlias = Callable[[int], Awaitable[None]] | Callable[[int], None]
