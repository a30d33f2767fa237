"""What a subscriber's commands wait for, among the pendings of its connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ProtocolError, RedisError
from actors.redis.wire.pending_reply import Pending

if TYPE_CHECKING:
    from actors.pubsub.connection.subscriber import Subscriber

__all__ = ["Command", "Ignored", "Query", "ShardLeave"]


class Command(Pending):
    """A (un)subscription on its way: popped by its last ack, or resolved by its error."""

    __slots__ = ("kind", "names", "subscribe", "subscriber")

    def __init__(
        self, subscriber: Subscriber, kind: Kind, names: Iterable[bytes], subscribe: bool
    ) -> None:
        self.subscriber = subscriber
        self.kind = kind
        self.names = set(names)
        self.subscribe = subscribe

    def resolve(self, reply: Any) -> None:
        """Hear an error: what is acknowledged is not answered."""
        targets = [Target(self.kind, name) for name in self.names]
        error = reply if isinstance(reply, RedisError) else ProtocolError(f"reply {reply!r:.100}")
        if self.subscribe:
            self.subscriber.events.on_refused(self.subscriber, targets, error)
        else:
            # A node that refuses to end a subscription has none: the slot has left it.
            for target in targets:
                self.subscriber.events.on_confirmed(self.subscriber, target, False, 0)

    def fail(self, error: BaseException) -> None:
        """Hear of the connection's end, which the subscriber is told of as a whole."""


class ShardLeave(Command):
    """The end of a shard subscription on its way, with a PING behind it.

    The slot may leave the node before the command comes to it. Then all names are acknowledged by
    the server's own word, and the command is answered with an error on top. So the acks do not end
    it: its error does, or the answer to the PING.
    """

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        """Hear the command's error, or the answer to the PING."""
        if isinstance(reply, RedisError):
            super().resolve(reply)
            return
        fence = self.subscriber.connection.pending.popleft()
        assert isinstance(fence, Ignored)


class Ignored(Pending):
    """A reply that says nothing: where it matters, the next one does."""

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        """Take the reply."""

    def fail(self, error: BaseException) -> None:
        """Hear of the connection's end."""


class Query(Pending):
    """The reply to a command that has nothing to do with subscriptions, or the error instead."""

    __slots__ = ("heard",)

    def __init__(self, heard: Callable[[Any], None]) -> None:
        self.heard = heard

    def resolve(self, reply: Any) -> None:
        """Pass the reply on."""
        self.heard(reply)

    def fail(self, error: BaseException) -> None:
        """Pass the error on."""
        self.heard(error)
