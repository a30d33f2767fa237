"""What a subscriber's commands wait for, in the connection's queue of expected replies."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    ProtocolError,
    RedisError,
    TryAgainError,
)
from actors.redis.wire.pending_reply import Pending


class CommandOwner(Protocol):
    """The subscriber that sent a command."""

    def ended(self, target: Target) -> None:
        """The node has no subscription of ``target``."""

    def refused(self, targets: list[Target], error: RedisError) -> None:
        """The node refused to subscribe to ``targets``."""

    def skip_fence(self) -> None:
        """Take the reply that was just received for the one of the next expected command, too."""

    def doubt_fence(self, error: RedisError) -> None:
        """Take ``error`` for the reply of the next expected command, perhaps."""

    def take(self, reply: Any) -> None:
        """Give ``reply`` to the next expected command."""

    def lose_track(self, error: RedisError) -> None:
        """End the connection: whose reply ``error`` is cannot be known."""


# What a server answers to commands with keys or shard channels alone.
_ABOUT_SLOTS = (AskError, ClusterCrossSlotError, ClusterDownError, TryAgainError)


class _Reply(Pending):
    """A reply of a connection whose end the reconciler hears of as a whole."""

    __slots__ = ()

    def fail(self, error: BaseException) -> None: ...


class Command(_Reply):
    """A command that subscribes or unsubscribes: its last confirmation ends it, or its error."""

    __slots__ = ("kind", "names", "owner", "subscribe")

    def __init__(
        self, owner: CommandOwner, kind: Kind, names: Iterable[bytes], subscribe: bool
    ) -> None:
        self.owner = owner
        self.kind = kind
        self.names = set(names)
        self.subscribe = subscribe

    def resolve(self, reply: Any) -> None:
        """Take the command's error: confirmations are pushes, not replies."""
        targets = [Target(self.kind, name) for name in self.names]
        error = (
            reply
            if isinstance(reply, RedisError)
            else ProtocolError(f"reply {reprlib.repr(reply)}")
        )
        if self.subscribe:
            self.owner.refused(targets, error)
        else:
            # A node that refuses to end a subscription has none: the slot has left the node.
            for target in targets:
                self.owner.ended(target)


class ShardLeave(Command):
    """SUNSUBSCRIBE, with a fence behind it.

    The slot may leave the node before the command arrives there. Then the server has ended the
    subscriptions by itself, and answers the command with an error on top. So confirmations alone
    do not end this command: its error does, or the reply to the fence. The fence is HELLO without
    arguments, which servers answer in every state and to every user. A proxy may refuse that, too:
    an error after all confirmations is the fence's, or the command's after the server has ended the
    subscriptions by itself. An error about slots is always the command's.
    """

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        """Take the command's error, or the fence's reply."""
        if not isinstance(reply, RedisError):
            self.owner.skip_fence()
        elif self.names or isinstance(reply, _ABOUT_SLOTS):
            super().resolve(reply)
        else:
            self.owner.doubt_fence(reply)


class Ignored(_Reply):
    """A reply that nobody needs: ASKING's, or a fence's after an error."""

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        """Take the reply."""


class DoubtfulFence(_Reply):
    """The reply to a fence, if it is still to come: its error may have come already."""

    __slots__ = ("error", "owner")

    def __init__(self, owner: CommandOwner, error: RedisError) -> None:
        self.owner = owner
        self.error = error

    def resolve(self, reply: Any) -> None:
        """Take the fence's reply, which is a map, or pass on what is another command's."""
        if isinstance(reply, RedisError):
            self.owner.lose_track(self.error)
        elif not isinstance(reply, dict):
            self.owner.take(reply)


class Pong(_Reply):
    """The reply to a PING; an error, too, shows that the node answers."""

    __slots__ = ("heard",)

    def __init__(self, heard: Callable[[], None]) -> None:
        self.heard = heard

    def resolve(self, reply: Any) -> None:
        """Report that the node has answered."""
        self.heard()
