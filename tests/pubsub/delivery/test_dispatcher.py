"""The data dispatcher by itself: bytes in, messages at their consumers, the rest elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis
import pytest

from actors.pubsub.delivery.dispatcher import Dispatcher
from actors.pubsub.delivery.message_queue import MessageQueue, QueueWriter
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ProtocolError
from actors.redis.wire.resp import reader
from actors.runtime.messages.overflow import MailboxSpec


class RecordingDispatcher(Dispatcher):
    """One that keeps what is no message."""

    def __init__(self, encoding: str | None) -> None:
        self.message_queue = MessageQueue(MailboxSpec(), asyncio.get_running_loop())
        touched: list[Any] = []
        super().__init__(touched, encoding)
        self.others: list[Any] = []
        self.batches = 0
        self.writer = QueueWriter(self.message_queue, touched, "the test", lambda _: None)
        self.parser = reader()

    def _other(self, reply: Any) -> None:
        self.others.append(reply)

    def _batch_done(self) -> None:
        self.batches += 1

    def feed(self, *parts: bytes) -> list[Any]:
        self.parser.feed(b"".join(parts))
        self.drain(self.parser.gets)
        messages = list(self.message_queue.mailbox.queue)
        self.message_queue.mailbox.queue.clear()
        return messages


def resp(mark: bytes, *parts: bytes) -> bytes:
    return b"%b%d\r\n" % (mark, len(parts)) + b"".join(
        b"$%d\r\n%b\r\n" % (len(part), part) for part in parts
    )


def push(*parts: bytes) -> bytes:
    return resp(b">", *parts)


def dispatcher_with(encoding: str | None, label: Any = "name") -> RecordingDispatcher:
    dispatcher = RecordingDispatcher(encoding)
    dispatcher.set_route(Target(Kind.CHANNEL, b"name"), (dispatcher.writer, label))
    dispatcher.set_route(Target(Kind.PATTERN, b"n*"), (dispatcher.writer, "n*"))
    return dispatcher


async def test_messages_of_both_kinds_keep_their_order():
    dispatcher = dispatcher_with(None, b"name")
    messages = dispatcher.feed(
        push(b"message", b"name", b"1"),
        push(b"pmessage", b"n*", b"name", b"1"),
        push(b"message", b"name", b"2"),
    )
    assert messages == [
        {"type": "message", "pattern": None, "channel": b"name", "data": b"1"},
        {"type": "pmessage", "pattern": "n*", "channel": b"name", "data": b"1"},
        {"type": "message", "pattern": None, "channel": b"name", "data": b"2"},
    ]
    assert (dispatcher.received, dispatcher.batches) == (3, 0)


@pytest.mark.parametrize("encoding", [None, "utf-8"])
async def test_what_nobody_wants_is_counted_and_dropped(encoding: str | None):
    dispatcher = dispatcher_with(encoding)
    assert not dispatcher.feed(
        push(b"message", b"other", b"1"), push(b"pmessage", b"o*", b"other", b"1")
    )
    assert dispatcher.received == 2
    assert not dispatcher.others


@pytest.mark.parametrize(
    ("encoding", "payload", "text"),
    [
        ("utf-8", "häß".encode(), "häß"),
        ("UTF-8", "häß".encode(), "häß"),
        ("latin-1", "häß".encode("latin-1"), "häß"),
        ("utf-16-le", "häß".encode("utf-16-le"), "häß"),
        ("utf-8", b"\xff", b"\xff"),
        ("ascii", b"\xff", b"\xff"),
    ],
)
async def test_payloads_become_text_in_the_clients_encoding(
    encoding: str, payload: bytes, text: Any
):
    dispatcher = dispatcher_with(encoding)
    one, two = dispatcher.feed(
        push(b"message", b"name", payload), push(b"pmessage", b"n*", payload, payload)
    )
    assert one["data"] == text
    assert (two["channel"], two["data"]) == (text, text)


async def test_of_a_pattern_message_each_part_is_text_or_not_by_itself():
    dispatcher = dispatcher_with("utf-8")
    (message,) = dispatcher.feed(push(b"pmessage", b"n*", b"n\xff", b"text"))
    assert (message["channel"], message["data"]) == (b"n\xff", "text")


@pytest.mark.parametrize("encoding", [None, "utf-8"])
async def test_all_that_is_no_message_goes_elsewhere(encoding: str | None):
    dispatcher = dispatcher_with(encoding)
    messages = dispatcher.feed(
        push(b"subscribe", b"name"),
        b"+PONG\r\n:1\r\n_\r\n,1.5\r\n#t\r\n*0\r\n%1\r\n:0\r\n:1\r\n-ERR no\r\n",
        # Answers that look like messages, to whoever asked for a list of names.
        resp(b"*", b"message", b"other", b"1"),
        resp(b"*", b"pmessage"),
        push(b"message", b"name", b"1"),
    )
    assert [message["data"] for message in messages] in (["1"], [b"1"])
    assert len(dispatcher.others) == 11
    assert dispatcher.others[:2] == [[b"subscribe", b"name"], b"PONG"]
    assert (dispatcher.received, dispatcher.batches) == (1, 1)


async def test_what_came_before_a_broken_reply_is_delivered():
    dispatcher = dispatcher_with(None)
    with pytest.raises(hiredis.ProtocolError):
        dispatcher.feed(push(b"message", b"name", b"1"), b"+PONG\r\n?what\r\n")
    assert [message["data"] for message in dispatcher.message_queue.mailbox.queue] == [b"1"]
    assert (dispatcher.received, dispatcher.batches) == (1, 1)


@pytest.mark.parametrize("encoding", [None, "utf-8"])
@pytest.mark.parametrize("parts", [(b"message", b"name"), (b"pmessage", b"n*", b"name")])
async def test_a_push_that_lacks_parts_is_a_protocol_error(
    encoding: str | None, parts: tuple[bytes, ...]
):
    dispatcher = dispatcher_with(encoding)
    with pytest.raises(ProtocolError, match="a push that lacks parts"):
        dispatcher.feed(push(b"message", b"name", b"1"), push(*parts))
    assert len(dispatcher.message_queue.mailbox.queue) == 1, "what came before is delivered"
