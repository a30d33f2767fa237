"""From a parsed reply to its consumer's queue: what runs for every message of one connection.

All replies of a read are parsed first, then dispatched one by one: a message costs one look-up by
its channel or pattern, and one append. Replies that are no messages (confirmations, errors, pongs)
go to the methods of the subclass.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, ClassVar, Final

from actors.pubsub.delivery.mailbox_writer import MailboxWriter, flush
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ProtocolError
from actors.redis.wire.resp import INCOMPLETE, PushNotification

# The parts of a push of three parts or more; every other one has a kind at least.
_FEWEST: Final = {
    b"pmessage": 4,
    **dict.fromkeys((b"message", b"smessage"), 3),
    **dict.fromkeys((b"subscribe", b"psubscribe", b"ssubscribe"), 3),
    **dict.fromkeys((b"unsubscribe", b"punsubscribe", b"sunsubscribe"), 3),
}
#: A consumer, and the target's name as it appears in messages.
Route = tuple[Any, Any]


class Dispatcher:
    """Gives each message that a connection reads to its consumer.

    Attributes:
        channels: routes by channel, or by shard channel on a ShardSubscriber.
        patterns: routes by pattern.
        received: messages read so far, those without a route included: their targets have their
            source on another connection.
    """

    #: The type of a push that is a message of a channel; a message by pattern is a pmessage.
    _MESSAGE: ClassVar[bytes] = b"message"

    def __init__(self, touched: list[MailboxWriter], encoding: str | None) -> None:
        self.channels: dict[bytes, Route] = {}
        self.patterns: dict[bytes, Route] = {}
        self.received = 0
        self._touched = touched
        self._encoding = encoding
        self._text = _decoder(encoding)
        self._take: Callable[[list[Any]], None] = (
            self._take_bytes if encoding is None else self._take_text
        )

    def set_route(self, target: Target, route: Route | None) -> None:
        """Give the messages of ``target`` to ``route``; None: discard them."""
        routes = self.patterns if target.kind is Kind.PATTERN else self.channels
        if route is None:
            routes.pop(target.name, None)
        else:
            routes[target.name] = route

    def drain(self, gets: Callable[[], Any]) -> None:
        """Dispatch all replies that the parser has."""
        replies: list[Any] = []
        before = self.received
        try:
            # The parser runs in one go, with no Python code between two replies: that saves a
            # tenth of what a message costs. Replies before a parse error are dispatched.
            replies.extend(iter(gets, INCOMPLETE))
        finally:
            try:
                self._take(replies)
            except LookupError:
                _check_pushes(replies)
                raise
            touched = self._touched
            if touched:
                flush(touched)
            if self.received - before != len(replies):
                self._batch_done()

    # The two methods below differ in decoding only, and are written out: each call would be felt.
    # A reply is indexed, not unpacked: the interpreter is slow to unpack what is no plain list or
    # tuple, and a message by pattern has one part more.

    def _take_bytes(self, replies: list[Any]) -> None:
        routes, patterns, channel_message = self.channels, self.patterns, self._MESSAGE
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == channel_message:
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                # A local variable: the call of an attribute in a slot is slower.
                put = writer.put
                put({"type": "message", "pattern": None, "channel": label, "data": reply[2]})
            elif kind == b"pmessage":
                try:
                    writer, label = patterns[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                put = writer.put
                channel, data = reply[2], reply[3]
                put({"type": "pmessage", "pattern": label, "channel": channel, "data": data})
            else:
                others += 1
                self._other(reply)
        self.received += len(replies) - others

    def _take_text(self, replies: list[Any]) -> None:
        routes, patterns, channel_message = self.channels, self.patterns, self._MESSAGE
        text = self._text
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == channel_message:
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                data = reply[2]
                try:
                    data = text(data)
                except UnicodeDecodeError:
                    pass  # a payload that is not text stays bytes
                put = writer.put
                put({"type": "message", "pattern": None, "channel": label, "data": data})
            elif kind == b"pmessage":
                try:
                    writer, label = patterns[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                channel, data = reply[2], reply[3]
                try:
                    channel, data = text(channel), text(data)
                except UnicodeDecodeError:
                    channel, data = self._as_text(channel), self._as_text(data)
                put = writer.put
                put({"type": "pmessage", "pattern": label, "channel": channel, "data": data})
            else:
                others += 1
                self._other(reply)
        self.received += len(replies) - others

    def _unrouted(self, reply: list[Any]) -> bool:
        """Handle a reply that looks like a message without a route; return whether it is none."""
        if type(reply) is PushNotification:
            return False
        self._other(reply)  # the reply to a query: its text may be anything
        return True

    def _as_text(self, value: bytes) -> str | bytes:
        try:
            return self._text(value)
        except UnicodeDecodeError:
            return value

    def _other(self, reply: Any) -> None:
        """Handle a reply that is no message."""
        raise NotImplementedError

    def _batch_done(self) -> None:
        """Called after each batch in which there were replies that are no messages."""
        raise NotImplementedError


def _check_pushes(replies: list[Any]) -> None:
    """Raise ProtocolError for the first push that lacks parts."""
    for reply in replies:
        if type(reply) is PushNotification and len(reply) < _FEWEST.get(
            reply[0] if reply else b"", 1
        ):
            raise ProtocolError(f"the server sent a push that lacks parts: {reprlib.repr(reply)}")


def _decoder(encoding: str | None) -> Callable[[bytes], str]:
    # bytes.decode without an argument is UTF-8, and faster: no encoding's name to look up.
    if encoding is None or encoding.lower() in ("utf-8", "utf8"):
        return bytes.decode
    return lambda value: value.decode(encoding)
