"""Plain channels go on at another node of a cluster, which repeats what came last (P7)."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from actors.pubsub.connection.cluster_subscriber import ClusterSubscriber
from actors.pubsub.connection.subscriber import Recent
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.merge import LAG
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.subscriptions.routes import FeedRoutes
from actors.pubsub.table.table import Table
from actors.redis.wire.resp import reader
from actors.runtime.messages.overflow import MailboxSpec

NODE = "server"
CHANNEL, PATTERN = Target(Kind.CHANNEL, b"a"), Target(Kind.PATTERN, b"p*")


def message(*parts: bytes) -> bytes:
    return b">%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def channel(*payloads: bytes) -> bytes:
    return b"".join(message(b"message", b"a", payload) for payload in payloads)


class Plain:
    """A channel and a pattern, live on one node after another; the time is set by hand."""

    def __init__(self, decode: bool) -> None:
        self.message_queue = MessageQueue(MailboxSpec(), asyncio.get_running_loop())
        self.registry = SubscriptionRegistry(
            self.message_queue, encoding="utf-8", decode=decode, ignore_subscribe_messages=True
        )
        self.table = Table()
        self.subscribers: dict[str, ClusterSubscriber] = {}
        self.time = 100.0
        streams: Any = SimpleNamespace(
            same_stream=lambda *_: True, trusted=lambda _: True, imports=lambda *_: False
        )
        clock = ListeningClock(lambda: self.time)
        self.routes = FeedRoutes(
            self.registry,
            self.table,
            self.subscribers,
            streams,
            clock,
            lambda *_: None,
        )
        self.decode = decode
        for target in (CHANNEL, PATTERN):
            label = self.registry.label(target.name)
            self.registry.put(Subscription(target, label, self.registry.queue_writer))
            self.table.want(target, (NODE,))

    def connect(self, location: str) -> None:
        connection: Any = SimpleNamespace(
            location=location,
            last_read=self.time,
            settings=SimpleNamespace(encoding="utf-8"),
            pending=deque(),
        )
        events: Any = SimpleNamespace(on_batch_done=lambda _: None)
        self.subscribers[NODE] = ClusterSubscriber(
            NODE, connection, events, self.registry.touched, decode=self.decode
        )
        self.table.node_up(NODE)
        for target in (CHANNEL, PATTERN):
            self.table.confirmed(NODE, target, self.time)
            self.routes.update(target)

    def lose(self) -> None:
        self.table.node_down(NODE, self.time, "lost")
        del self.subscribers[NODE]
        for target in (CHANNEL, PATTERN):
            self.routes.update(target)

    def read(self, *replies: bytes) -> list[Any]:
        subscriber = self.subscribers[NODE]
        subscriber.connection.last_read = self.time
        parser = reader()
        parser.feed(b"".join(replies))
        subscriber.drain(parser.gets)
        queue = self.message_queue.mailbox.queue
        got = [one["data"] for one in queue if type(one) is dict]
        queue.clear()
        return got


@pytest.mark.parametrize("decode", [True, False])
async def test_p7_what_the_next_node_repeats_is_dropped(decode):
    plain = Plain(decode)

    def words(*payloads: str) -> list[str | bytes]:
        return [payload if decode else payload.encode() for payload in payloads]

    plain.connect("one")
    assert plain.read(channel(b"0")) == words("0")
    plain.time += LAG + 0.01
    assert plain.read(channel(b"1", b"2"), channel(b"3")) == words("1", "2", "3")
    assert plain.read(message(b"pmessage", b"p*", b"p1", b"3")) == words("3")
    plain.lose()
    plain.time += LAG / 2
    plain.connect("two")
    plain.time += LAG / 4
    # The 0 is too old to be a repetition; the 3 of p2 is another message than that of p1.
    assert plain.read(channel(b"0", b"2", b"3", b"4")) == words("0", "4")
    assert plain.read(message(b"pmessage", b"p*", b"p2", b"3")) == words("3")
    assert plain.read(message(b"pmessage", b"p*", b"p1", b"3")) == []
    # It repeats nothing twice, and nothing that it said itself.
    assert plain.read(channel(b"3", b"4")) == words("3", "4")
    plain.time += 2.0
    assert not plain.routes.expire()
    assert plain.read(channel(b"4")) == words("4")


async def test_p7_a_payload_that_comes_late_is_another_message():
    plain = Plain(decode=True)
    plain.connect("one")
    assert plain.read(channel(b"tick")) == ["tick"]
    plain.lose()
    plain.connect("two")
    plain.time += LAG + 0.01
    assert plain.read(channel(b"tick")) == ["tick"]


async def test_p7_the_same_node_repeats_nothing():
    plain = Plain(decode=True)
    plain.connect("one")
    assert plain.read(channel(b"tick")) == ["tick"]
    plain.lose()
    plain.connect("one")
    assert plain.read(channel(b"tick")) == ["tick"]


async def test_what_was_read_is_kept_for_two_seconds_and_told_from_a_time_on():
    plain = Plain(decode=True)
    plain.connect("one")
    subscriber = plain.subscribers[NODE]
    plain.read(channel(b"forgotten"))
    plain.time += 2.01
    plain.read(channel(b"old"))
    plain.time += LAG + 0.01
    plain.read(channel(b"new", b"\xff"))
    assert subscriber.recent(CHANNEL, 0.0).keys == ["old", "new", b"\xff"]
    assert subscriber.recent(PATTERN, 0.0) == Recent()
    plain.time += 0.01
    plain.read(channel(b"newer"))
    plain.read(channel(b"newest"))
    assert subscriber.recent(CHANNEL, plain.time).keys == ["newer", "newest"]
    for _ in range(5):
        plain.read(channel(*[b"x"] * 2000))
    assert len(subscriber.recent(CHANNEL, 0.0).keys) == 4000


async def test_an_old_message_is_not_remembered_longer_than_a_merge_asks_for():
    plain = Plain(decode=True)
    plain.connect("one")
    subscriber = plain.subscribers[NODE]
    plain.read(channel(b"new"))
    assert subscriber.recent(CHANNEL, plain.time).keys == ["new"]
    assert subscriber.recent(CHANNEL, plain.time + 0.1).keys == []


async def test_payloads_that_came_more_than_once_are_told_also_those_of_longer_ago():
    plain = Plain(decode=True)
    plain.connect("one")
    subscriber = plain.subscribers[NODE]
    plain.read(channel(b"tick", b"once"))
    plain.time += 1.0
    plain.read(channel(b"tick"), message(b"pmessage", b"p*", b"p1", b"tick"))
    assert subscriber.recent(CHANNEL, plain.time) == Recent(["tick"], frozenset(["tick"]))
    assert subscriber.recent(PATTERN, plain.time) == Recent([("p1", "tick")])
