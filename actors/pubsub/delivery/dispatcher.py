"""The data plane of one connection: what runs for every message, and nothing else.

All replies of a read are parsed first, then looked at one by one: for a message one look-up by its
name and one append. What is no message, acknowledgements, errors and pongs, goes the slow way of
whoever derives from this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.pubsub.delivery.mailbox_writer import MailboxWriter, flush
from actors.pubsub.model.types import Kind, Target
from actors.redis.wire.resp import INCOMPLETE, PushNotification

__all__ = ["Dispatcher", "Route"]

#: A consumer, and the target's name as it appears in messages.
Route = tuple[Any, Any]


class Dispatcher:
    """Takes what was read, and gives messages to their consumers.

    Attributes:
        channels: routes by channel, or by shard channel on a ShardSubscriber.
        patterns: routes by pattern.
        received: messages that came, wanted or not.
        discarded: messages that no route wanted: of targets whose source is elsewhere.
    """

    def __init__(self, touched: list[MailboxWriter], encoding: str | None) -> None:
        self.channels: dict[bytes, Route] = {}
        self.patterns: dict[bytes, Route] = {}
        self.received = 0
        self.discarded = 0
        self._touched = touched
        self._encoding = encoding
        self._text = _decoder(encoding)
        self._take: Callable[[list[Any]], None] = (
            self._take_bytes if encoding is None else self._take_text
        )

    def set_route(self, target: Target, route: Route | None) -> None:
        """Send the messages of ``target`` to ``route``; None: discard them."""
        routes = self.patterns if target.kind is Kind.PATTERN else self.channels
        if route is None:
            routes.pop(target.name, None)
        else:
            routes[target.name] = route

    def drain(self, gets: Callable[[], Any]) -> None:
        """Take all replies there are."""
        replies: list[Any] = []
        try:
            # The parser runs in one go, without a step of ours between two replies: that is worth
            # a tenth of all that a message costs. What came before an error is kept.
            replies.extend(iter(gets, INCOMPLETE))
        finally:
            self._take(replies)
            touched = self._touched
            if touched:
                flush(touched)
            self._batch_done()

    # The two below differ in one thing, and are written out because each step is felt. A reply is
    # indexed, not unpacked: the interpreter is slow to unpack what is no plain list or tuple, and
    # a message by pattern has one part more.

    def _take_bytes(self, replies: list[Any]) -> None:
        routes, patterns = self.channels, self.patterns
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == b"message":
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                # A local: a method that is found in a slot is called without a short cut.
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
        routes, patterns, text = self.channels, self.patterns, self._text
        others = 0
        for reply in replies:
            try:
                kind = reply[0]
            except (TypeError, LookupError):
                others += 1
                self._other(reply)
                continue
            if kind == b"message":
                try:
                    writer, label = routes[reply[1]]
                except (TypeError, LookupError):
                    others += self._unrouted(reply)
                    continue
                data = reply[2]
                try:
                    data = text(data)
                except UnicodeDecodeError:
                    pass  # a payload that is no text stays bytes
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
        """Take what looks like a message and has no consumer; return whether it is none."""
        if type(reply) is not PushNotification:  # the answer to a query, which says what it likes
            self._other(reply)
            return True
        self.discarded += 1
        return False

    def _as_text(self, value: bytes) -> str | bytes:
        try:
            return self._text(value)
        except UnicodeDecodeError:
            return value

    def _other(self, reply: Any) -> None:
        """Take what is no message."""
        raise NotImplementedError

    def _batch_done(self) -> None:
        """All that was read has been handled."""
        raise NotImplementedError


def _decoder(encoding: str | None) -> Callable[[bytes], str]:
    # UTF-8 by its own method: a name of an encoding has to be looked at for each payload.
    if encoding is None or encoding.lower() in ("utf-8", "utf8"):
        return bytes.decode
    return lambda value: value.decode(encoding)
