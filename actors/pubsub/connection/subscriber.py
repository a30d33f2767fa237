"""One subscriber connection: commands to the node, and confirmations and pongs from it.

Messages are the dispatcher's, in ``delivery``.

Confirmations of subscriptions are pushes, errors are replies, and both come in the order of the
commands. So a confirmation belongs to the oldest command that still waits, or to no command: then
the server has ended the subscription by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import msgspec

from actors.pubsub.connection.pending_commands import (
    Command,
    DoubtfulFence,
    Ignored,
    Pong,
    ShardLeave,
)
from actors.pubsub.delivery.dispatcher import Dispatcher
from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ProtocolError, RedisError
from actors.redis.wire.connection import Connection
from actors.redis.wire.pending_reply import Pending
from actors.redis.wire.resp import PushNotification, pack

# The type of a confirmation -> its kind, and whether it confirms a subscription or the end of one.
_CONFIRMATIONS = {
    b"subscribe": (Kind.CHANNEL, True),
    b"psubscribe": (Kind.PATTERN, True),
    b"ssubscribe": (Kind.SHARD, True),
    b"unsubscribe": (Kind.CHANNEL, False),
    b"punsubscribe": (Kind.PATTERN, False),
    b"sunsubscribe": (Kind.SHARD, False),
}
# A command is the type of its confirmation in capitals.
_COMMANDS = {confirmed: word.upper() for word, confirmed in _CONFIRMATIONS.items()}
# Names in one command: few enough for any server, many enough that ten thousand channels are a
# handful of commands.
_NAMES_PER_COMMAND = 500
_ASKING = pack(("ASKING",))
_PING = pack(("PING",))
_FENCE = pack(("HELLO",))
_new = tuple.__new__


class Recent(msgspec.Struct, frozen=True):
    """What one connection delivered of one target.

    A message's key is its payload, with its channel where the target is a pattern.

    Attributes:
        keys: of the messages delivered after some time, in order.
        repeated: the keys that were delivered more than once, also longer ago.
    """

    keys: list[Any] = []
    repeated: frozenset[Any] = frozenset()


def recent_by_target(messages: Iterable[tuple[Target, Any, bool]]) -> dict[Target, Recent]:
    """Return what was delivered of each target.

    Args:
        messages: in order; of each the target, the key, and whether it was delivered after some
            time.
    """
    late: dict[Target, list[Any]] = {}
    counts: dict[Target, Counter[Any]] = {}
    for target, key, is_late in messages:
        counts.setdefault(target, Counter())[key] += 1
        if is_late:
            late.setdefault(target, []).append(key)
    return {
        target: Recent(
            late.get(target, []), frozenset(key for key, count in counter.items() if count > 1)
        )
        for target, counter in counts.items()
    }


class SubscriberEvents(Protocol):
    """Is told what a subscriber receives besides messages."""

    def on_confirmed(
        self, subscriber: Subscriber, target: Target, subscribed: bool, count: int
    ) -> None:
        """The node confirmed a command for ``target``."""

    def on_revoked(self, subscriber: Subscriber, target: Target, count: int) -> None:
        """The node ended a subscription by itself."""

    def on_refused(self, subscriber: Subscriber, targets: list[Target], error: RedisError) -> None:
        """The node answered a subscription with an error."""

    def on_batch_done(self, subscriber: Subscriber) -> None:
        """All that was read has been handled."""


class SideChannels(SubscriberEvents, Protocol):
    """Plain channels on a connection that are no targets of the table; told what comes of them."""

    @property
    def targets(self) -> frozenset[Target]:
        """The channels."""

    def put(self, message: Any) -> None:
        """Take a message: its channel's name, as the server has it, and its data."""

    def closed(self) -> None:
        """Take that the connection ends."""


class Subscriber(Dispatcher):
    """The subscriptions on one connection.

    Attributes:
        node: the node's name in the table.
        connection: the connection to the node.
        origin: identifies the server: one server delivers no message twice.
        side: the channels beside the table's; None: there are none.
        pongs: how many answers to :meth:`ping` came.
        silent: whether nothing answers on the connection, and a second one is being opened.
    """

    def __init__(
        self,
        node: str,
        connection: Connection,
        events: SubscriberEvents,
        touched: list[MailboxWriter],
        *,
        decode: bool = False,
    ) -> None:
        super().__init__(touched, connection.settings.encoding if decode else None)
        self.node = node
        self.connection = connection
        self.origin: object = connection.location
        self.events = events
        self.side: SideChannels | None = None
        self.pongs = 0
        self.silent = False
        self._outgoing: list[bytes] = []
        self._expected: list[Pending] = []
        connection.tainted = True
        connection.subscribed = True
        connection.drain = self.drain

    # -- what is no message ------------------------------------------------------------------------

    def _batch_done(self) -> None:
        self.events.on_batch_done(self)

    def _other(self, reply: Any) -> None:
        if type(reply) is not PushNotification:
            self.connection.deliver(reply)
            return
        kind = reply[0]
        if kind in _CONFIRMATIONS:
            self._confirmed(kind, reply[1], reply[2])
        elif kind == b"message" and self.side is not None:  # on a connection of shard channels
            self.side.put({"channel": reply[1], "data": reply[2]})
        # Other pushes, of client-side caching for instance, are not for a subscriber.

    def _confirmed(self, push: bytes, name: bytes | None, count: int) -> None:
        kind, subscribed = _CONFIRMATIONS[push]
        if name is None:  # confirms an UNSUBSCRIBE without names, which is never sent
            return
        target = _new(Target, (kind, name))  # what Target(kind, name) does, at half its cost
        pending = self.connection.pending
        head = pending[0] if pending else None
        doubtful = type(head) is DoubtfulFence and len(pending) > 1
        if doubtful:
            head = pending[1]
        if (
            isinstance(head, Command)
            and head.subscribe is subscribed
            and head.kind is kind
            and name in head.names
        ):
            if doubtful:
                pending.popleft()  # a later command is confirmed: no reply to the fence will come
            head.names.discard(name)
            if not head.names and type(head) is not ShardLeave:
                pending.popleft()
            self._events_of(target).on_confirmed(self, target, subscribed, count)
        elif not subscribed:
            self._events_of(target).on_revoked(self, target, count)

    def _events_of(self, target: Target) -> SubscriberEvents:
        side = self.side
        return self.events if side is None or target not in side.targets else side

    # -- what becomes of commands ------------------------------------------------------------------

    def ended(self, target: Target) -> None:
        """Report that the node has no subscription of ``target``."""
        self.events.on_confirmed(self, target, False, 0)

    def refused(self, targets: list[Target], error: RedisError) -> None:
        """Report that the node refused to subscribe to ``targets``."""
        self._events_of(targets[0]).on_refused(self, targets, error)

    def skip_fence(self) -> None:
        """Drop the expectation of a fence whose reply has just come."""
        fence = self.connection.pending.popleft()
        assert isinstance(fence, Ignored)

    def doubt_fence(self, error: RedisError) -> None:
        """Expect a reply to the next fence, or none: ``error`` may have been that reply."""
        self.skip_fence()
        self.connection.pending.appendleft(DoubtfulFence(self, error))

    def take(self, reply: Any) -> None:
        """Give ``reply`` to the command that has waited longest."""
        self.connection.deliver(reply)

    def lose_track(self, error: RedisError) -> None:
        """End the connection: the reconciler subscribes anew on the next one."""
        raise ProtocolError(
            f"{self.connection.location} answered SUNSUBSCRIBE, or the HELLO behind it, with "
            f"{error!r:.200}: which of both is unclear, and so are the replies that follow; "
            "allow both commands"
        )

    # -- commands ----------------------------------------------------------------------------------

    def subscribe(self, kind: Kind, names: list[bytes], *, asking: bool = False) -> None:
        """Have the subscription of ``names`` sent; shard channels must be of one slot (P4).

        ``asking``: the node is importing the slot and does not own it yet (P6).
        """
        self._send(kind, names, True, asking)

    def unsubscribe(self, kind: Kind, names: list[bytes], *, asking: bool = False) -> None:
        """Have the end of the subscription of ``names`` sent; see :meth:`subscribe`."""
        self._send(kind, names, False, asking)

    def _send(self, kind: Kind, names: list[bytes], subscribe: bool, asking: bool) -> None:
        command = _COMMANDS[kind, subscribe]
        for start in range(0, len(names), _NAMES_PER_COMMAND):
            part = names[start : start + _NAMES_PER_COMMAND]
            if asking:
                self._outgoing.append(_ASKING)
                self._expected.append(Ignored())
            self._outgoing.append(pack((command, *part)))
            if subscribe or kind is not Kind.SHARD:
                self._expected.append(Command(self, kind, part, subscribe))
            else:
                self._outgoing.append(_FENCE)
                self._expected += ShardLeave(self, kind, part, subscribe), Ignored()

    def send(self) -> None:
        """Send what :meth:`subscribe` and :meth:`unsubscribe` have collected, in one write."""
        outgoing, self._outgoing = self._outgoing, []
        expected, self._expected = self._expected, []
        # Where the connection has ended, the reconciler is about to hear of that.
        if outgoing and self.connection.usable:
            self.connection.write(b"".join(outgoing), *expected)

    def open_side(self, side: SideChannels, connection_name: str) -> None:
        """Subscribe to ``side``'s channels; servers list the connection as ``connection_name``."""
        self.side = side
        self._outgoing.append(pack(("CLIENT", "SETNAME", connection_name)))
        self._expected.append(Ignored())
        self.subscribe(Kind.CHANNEL, [target.name for target in side.targets])
        self.send()
        if self._MESSAGE == b"message":
            for target in side.targets:
                self.set_route(target, (side, target.name))

    def ping(self) -> None:
        """Ask for a sign of life: any byte that comes back is one."""
        self._outgoing.append(_PING)
        self._expected.append(Pong(partial(self._ponged, asyncio.get_running_loop().time())))
        self.send()

    def _ponged(self, asked_at: float) -> None:
        self.pongs += 1
        self.connection.proof = max(self.connection.proof, asked_at)

    def recent(self, target: Target, since: float) -> Recent:
        """Return which messages of ``target`` were delivered after ``since``.

        Nothing, where this kind of connection remembers none.
        """
        return Recent()
