"""One node's connection as the router uses it: the loop that runs for every message, and the acks.

The data plane is :meth:`NodeLink.drain` alone: parse, one look-up by name, one append. Everything
that is no message, acknowledgements, errors and pongs, goes the slow way below it.

Acknowledgements of subscriptions are pushes, errors are replies, and both come in the order of the
commands. So an acknowledgement belongs to the oldest command that still waits, or to none: then
the server took the subscription away by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from actors.pubsub.inlet import Inlet, flush
from actors.pubsub.types import Kind, Target
from actors.redis.connection import Connection
from actors.redis.exceptions import ProtocolError, RedisError
from actors.redis.pending import Pending
from actors.redis.resp import INCOMPLETE, PushNotification, pack

__all__ = ["LinkEvents", "NodeLink", "Route"]

#: A consumer, and the target's name as it appears in messages.
Route = tuple[Any, Any]

_SUBSCRIBE = {Kind.CHANNEL: "SUBSCRIBE", Kind.PATTERN: "PSUBSCRIBE", Kind.SHARD: "SSUBSCRIBE"}
_UNSUBSCRIBE = {
    Kind.CHANNEL: "UNSUBSCRIBE",
    Kind.PATTERN: "PUNSUBSCRIBE",
    Kind.SHARD: "SUNSUBSCRIBE",
}
# Acknowledgement -> (kind, whether it is the one of a subscription, the message's type).
_ACKS = {
    b"subscribe": (Kind.CHANNEL, True),
    b"psubscribe": (Kind.PATTERN, True),
    b"ssubscribe": (Kind.SHARD, True),
    b"unsubscribe": (Kind.CHANNEL, False),
    b"punsubscribe": (Kind.PATTERN, False),
    b"sunsubscribe": (Kind.SHARD, False),
}
# Names a command: few enough that no server takes offence, many enough that ten thousand channels
# are a handful of commands.
_NAMES_PER_COMMAND = 500
_ASKING = pack(("ASKING",))
_PING = pack(("PING",))


class LinkEvents(Protocol):
    """Who is told what a link hears besides messages."""

    def link_acked(self, link: NodeLink, target: Target, subscribed: bool, count: int) -> None:
        """The node acknowledged a command."""

    def link_revoked(self, link: NodeLink, target: Target, count: int) -> None:
        """The node ended a subscription by itself."""

    def link_refused(self, link: NodeLink, targets: list[Target], error: RedisError) -> None:
        """The node answered a subscription with an error."""

    def link_batch_done(self, link: NodeLink) -> None:
        """All that was read has been handled."""


class _Command(Pending):
    """A (un)subscription on its way: popped by its last ack, or resolved by its error."""

    __slots__ = ("kind", "link", "names", "subscribe")

    def __init__(self, link: NodeLink, kind: Kind, names: Iterable[bytes], subscribe: bool) -> None:
        self.link = link
        self.kind = kind
        self.names = set(names)
        self.subscribe = subscribe

    def resolve(self, reply: Any) -> None:
        targets = [Target(self.kind, name) for name in self.names]
        error = reply if isinstance(reply, RedisError) else ProtocolError(f"reply {reply!r:.100}")
        if self.subscribe:
            self.link.events.link_refused(self.link, targets, error)
        else:
            # A node that refuses to end a subscription has none: the slot has left it.
            for target in targets:
                self.link.events.link_acked(self.link, target, False, 0)

    def fail(self, error: BaseException) -> None:
        pass  # the link is told of the connection's end as a whole


class _ShardLeave(_Command):
    """The end of a shard subscription on its way, with a PING behind it.

    The slot may leave the node before the command comes to it. Then all names are acknowledged by
    the server's own word, and the command is answered with an error on top. So the acks do not end
    it: its error does, or the answer to the PING.
    """

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        if isinstance(reply, RedisError):
            super().resolve(reply)
            return
        fence = self.link.connection.pending.popleft()
        assert isinstance(fence, _Ignored)


class _Ignored(Pending):
    """A reply that says nothing: where it matters, the next one does."""

    __slots__ = ()

    def resolve(self, reply: Any) -> None:
        pass

    def fail(self, error: BaseException) -> None:
        pass


class _Query(Pending):
    """The reply to a command that has nothing to do with subscriptions, or the error instead."""

    __slots__ = ("heard",)

    def __init__(self, heard: Callable[[Any], None]) -> None:
        self.heard = heard

    def resolve(self, reply: Any) -> None:
        self.heard(reply)

    def fail(self, error: BaseException) -> None:
        self.heard(error)


class NodeLink:
    """The subscriptions on one connection.

    Attributes:
        node: which node it is, as the table calls it.
        channels: routes by channel, or by shard channel on a ShardLink.
        patterns: routes by pattern.
        received: messages that came, wanted or not.
        discarded: messages that no route wanted: of targets whose source is elsewhere.
        pongs: answers to :meth:`ping`.
    """

    def __init__(
        self,
        node: str,
        connection: Connection,
        events: LinkEvents,
        touched: list[Inlet],
        *,
        decode: bool = False,
    ) -> None:
        self.node = node
        self.connection = connection
        self.events = events
        self.channels: dict[bytes, Route] = {}
        self.patterns: dict[bytes, Route] = {}
        self.received = 0
        self.discarded = 0
        self.pongs = 0
        self._outgoing: list[bytes] = []
        self._expected: list[Pending] = []
        self._touched = touched
        self._encoding = connection.settings.encoding
        self._decode = decode
        connection.tainted = True
        connection.drain = self.drain_text if decode else self.drain

    # -- the data plane ----------------------------------------------------------------------------

    def drain(self, gets: Callable[[], Any]) -> None:
        """Take all replies there are; payloads stay bytes."""
        routes = self.channels
        received = 0
        while (reply := gets()) is not INCOMPLETE:
            try:
                kind, name, data = reply
            except (TypeError, ValueError):
                self._other(reply)
                continue
            if kind == b"message":
                received += 1
                route = routes.get(name)
                if route is not None:
                    inlet, label = route
                    inlet.put({"type": "message", "pattern": None, "channel": label, "data": data})
                else:
                    self.discarded += 1
            else:
                self._other(reply)
        self.received += received
        self._batch_done()

    def drain_text(self, gets: Callable[[], Any]) -> None:
        """Take all replies there are; payloads become str where they are text."""
        routes = self.channels
        encoding = self._encoding
        received = 0
        while (reply := gets()) is not INCOMPLETE:
            try:
                kind, name, data = reply
            except (TypeError, ValueError):
                self._other(reply)
                continue
            if kind == b"message":
                received += 1
                route = routes.get(name)
                if route is not None:
                    inlet, label = route
                    try:
                        data = data.decode(encoding)
                    except UnicodeDecodeError:
                        pass  # a payload that is no text stays bytes
                    inlet.put({"type": "message", "pattern": None, "channel": label, "data": data})
                else:
                    self.discarded += 1
            else:
                self._other(reply)
        self.received += received
        self._batch_done()

    def _batch_done(self) -> None:
        touched = self._touched
        if touched:
            flush(touched)
        self.events.link_batch_done(self)

    # -- everything else ---------------------------------------------------------------------------

    def _other(self, reply: Any) -> None:
        if type(reply) is not PushNotification:
            self.connection.deliver(reply)
            return
        kind = reply[0]
        if kind == b"pmessage":
            self._pattern_message(reply)
        elif kind in _ACKS:
            self._acked(kind, reply[1], reply[2])
        # Other pushes (client-side caching and what may come) are not for a subscriber.

    def _pattern_message(self, reply: list[Any]) -> None:
        _, pattern, channel, data = reply
        self.received += 1
        route = self.patterns.get(pattern)
        if route is None:
            self.discarded += 1
            return
        inlet, label = route
        if self._decode:
            channel, data = self._text(channel), self._text(data)
        inlet.put({"type": "pmessage", "pattern": label, "channel": channel, "data": data})

    def _text(self, value: bytes) -> str | bytes:
        try:
            return value.decode(self._encoding)
        except UnicodeDecodeError:
            return value

    def _acked(self, push: bytes, name: bytes | None, count: int) -> None:
        kind, subscribed = _ACKS[push]
        if name is None:  # the answer to an UNSUBSCRIBE of nothing, which is never sent
            return
        target = Target(kind, name)
        pending = self.connection.pending
        head = pending[0] if pending else None
        if (
            isinstance(head, _Command)
            and head.subscribe is subscribed
            and head.kind is kind
            and name in head.names
        ):
            head.names.discard(name)
            if not head.names and type(head) is _Command:
                pending.popleft()
            self.events.link_acked(self, target, subscribed, count)
        elif not subscribed:
            self.events.link_revoked(self, target, count)

    # -- commands ----------------------------------------------------------------------------------

    def subscribe(self, kind: Kind, names: list[bytes], *, asking: bool = False) -> None:
        """Have the subscription of ``names`` sent; shard channels must be of one slot (P4).

        Args:
            kind: of all ``names``.
            names: as the server knows them.
            asking: the node is importing the slot and does not own it yet (P6).
        """
        self._send(_SUBSCRIBE[kind], kind, names, True, asking)

    def unsubscribe(self, kind: Kind, names: list[bytes]) -> None:
        """Have the end of the subscription of ``names`` sent."""
        self._send(_UNSUBSCRIBE[kind], kind, names, False)

    def _send(
        self, command: str, kind: Kind, names: list[bytes], subscribe: bool, asking: bool = False
    ) -> None:
        for start in range(0, len(names), _NAMES_PER_COMMAND):
            part = names[start : start + _NAMES_PER_COMMAND]
            if asking:
                self._outgoing.append(_ASKING)
                self._expected.append(_Ignored())
            self._outgoing.append(pack((command, *part)))
            if subscribe or kind is not Kind.SHARD:
                self._expected.append(_Command(self, kind, part, subscribe))
            else:
                self._outgoing.append(_PING)
                self._expected += _ShardLeave(self, kind, part, subscribe), _Ignored()

    def send(self) -> None:
        """Send what :meth:`subscribe` and :meth:`unsubscribe` have collected, in one write."""
        outgoing, self._outgoing = self._outgoing, []
        expected, self._expected = self._expected, []
        # Where the connection has ended, the news of that is on the way to the router.
        if outgoing and self.connection.usable:
            self.connection.write(b"".join(outgoing), *expected)

    def query(self, command: tuple[Any, ...], heard: Callable[[Any], None]) -> None:
        """Run another command; ``heard`` gets the reply, or the error in place of one."""
        if self.connection.usable:
            self.connection.write(pack(command), _Query(heard))

    def ping(self) -> None:
        """Ask for a sign of life: any byte that comes back is one."""
        self.query(("PING",), self._ponged)

    def _ponged(self, reply: Any) -> None:
        self.pongs += not isinstance(reply, Exception)

    @property
    def proof(self) -> float:
        """The loop's time at which what is live here was surely live, as a push is handled."""
        return self.connection.last_read

    def recent(self, name: bytes, since: float) -> list[Any]:
        """Return the payloads of a channel delivered after ``since``, where that is remembered."""
        return []

    def set_route(self, target: Target, route: Route | None) -> None:
        """Send the messages of ``target`` to ``route``; None: discard them."""
        routes = self.patterns if target.kind is Kind.PATTERN else self.channels
        if route is None:
            routes.pop(target.name, None)
        else:
            routes[target.name] = route
