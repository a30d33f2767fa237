"""What several nodes deliver reaches its consumer once, whatever they are to each other (P7)."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from actors.pubsub.connection.shard_subscriber import ShardSubscriber
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.merge import MEMORY
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.subscriptions.routes import FeedRoutes
from actors.pubsub.table.table import Table
from actors.redis.wire.resp import reader
from actors.runtime.messages.overflow import MailboxSpec

X = Target(Kind.SHARD, b"x")


class Shards:
    """A shard channel and nodes; which of them are mates, and the time, is set by hand."""

    def __init__(self, *nodes: str) -> None:
        self.message_queue = MessageQueue(MailboxSpec(), asyncio.get_running_loop())
        self.registry = SubscriptionRegistry(
            self.message_queue, encoding="utf-8", decode=True, ignore_subscribe_messages=True
        )
        self.table = Table()
        self.time = 100.0
        self.mates: set[frozenset[str]] = set()
        self.importing: set[str] = set()
        self.subscribers = {node: self._link(node) for node in nodes}
        clock = ListeningClock(lambda: self.time)
        self.routes = FeedRoutes(
            self.registry,
            self.table,
            self.subscribers,
            self,
            clock,
            lambda *_: None,
        )
        self.registry.put(Subscription(X, "x", self.registry.queue_writer))
        self.table.want(X, ())
        for node in nodes:
            self.table.node_up(node)

    def _link(self, node: str) -> ShardSubscriber:
        connection: Any = SimpleNamespace(
            location=node,
            last_read=self.time,
            settings=SimpleNamespace(encoding="utf-8"),
            pending=deque(),
        )
        events: Any = SimpleNamespace(on_batch_done=lambda _: None)
        return ShardSubscriber(node, connection, events, self.registry.touched, decode=True)

    def same_stream(self, node: str, other: str) -> bool:
        return node == other or frozenset((node, other)) in self.mates

    def trusted(self, node: str) -> bool:
        return True

    def imports(self, node: str, target: Target) -> bool:
        return node in self.importing

    def live_at(self, *places: str) -> None:
        """The channel should be live there, and is."""
        self.table.place(X, places)
        for node in places:
            self.table.confirmed(node, X, self.time)
        self.routes.update(X)

    def revoked(self, node: str) -> None:
        self.table.revoked(node, X, self.time)
        self.routes.revoked(X, node)
        self.routes.update(X)

    def reads(self, node: str, *payloads: str) -> list[str]:
        """Have ``node`` deliver; return what reaches the consumer."""
        subscriber = self.subscribers[node]
        subscriber.connection.last_read = self.time
        parser = reader()
        for payload in payloads:
            parser.feed(f">3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n{payload}\r\n".encode())
        subscriber.drain(parser.gets)
        return self.passed()

    def passed(self) -> list[str]:
        queue = self.message_queue.mailbox.queue
        got = [one["data"] for one in queue if type(one) is dict]
        queue.clear()
        return got


async def test_p7_the_new_owner_of_a_slot_waits_for_the_last_word_of_the_old_one():
    shards = Shards("old", "new")
    shards.live_at("old")
    assert shards.reads("old", "1") == ["1"]
    shards.live_at("new")
    assert shards.reads("new", "3") == []
    assert shards.reads("old", "2", "1") == ["2", "1"]
    shards.revoked("old")
    assert shards.passed() == ["3"]
    assert shards.reads("new", "1") == ["1"]


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not seen yet"])
async def test_p7_an_emptied_primary_repeats_as_a_replica_what_its_new_primary_delivers(seen):
    shards = Shards("emptied", "owner")
    shards.live_at("emptied")
    assert shards.reads("emptied", "1") == ["1"]
    shards.live_at("owner")
    shards.revoked("emptied")
    assert shards.reads("owner", "2") == ["2"]
    if seen:
        shards.mates.add(frozenset(("emptied", "owner")))
    shards.live_at("owner", "emptied")
    assert shards.reads("emptied", "2") == []
    assert shards.reads("owner", "3") == ["3"]
    assert shards.reads("emptied", "3", "4") == []
    assert shards.reads("owner", "4") == ["4"]
    shards.time += MEMORY + 0.01
    shards.routes.expire()
    assert shards.passed() == []


@pytest.mark.parametrize("order", [("emptied", "owner"), ("owner", "emptied")])
async def test_p7_nobody_saw_where_the_slot_went_and_both_take_it(order):
    shards = Shards("emptied", "owner")
    shards.live_at("emptied")
    shards.revoked("emptied")
    shards.live_at(order[0])
    assert shards.reads(order[0], "1") == ["1"]
    shards.live_at(*order)
    assert shards.reads(order[1], "1", "2") == []
    assert shards.reads(order[0], "2") == ["2"]
    shards.time += MEMORY + 0.01
    shards.routes.expire()
    assert shards.passed() == []


async def test_p7_who_imports_the_slot_back_repeats_nothing():
    shards = Shards("one", "other")
    shards.live_at("one")
    shards.revoked("one")
    shards.live_at("other")
    assert shards.reads("other", "1") == ["1"]
    shards.importing.add("one")
    shards.live_at("one")
    assert shards.reads("one", "1") == []
    shards.revoked("other")
    assert shards.passed() == ["1"]


@pytest.mark.parametrize("first", ["emptied", "replica"])
async def test_p7_the_replicas_of_an_emptied_primary_follow_it(first):
    shards = Shards("emptied", "replica", "owner")
    shards.mates.add(frozenset(("emptied", "replica")))
    shards.live_at("emptied")
    assert shards.reads("emptied", "1") == ["1"]
    shards.live_at("owner")
    shards.revoked("emptied")
    shards.live_at("owner", first)
    shards.live_at("owner", "emptied", "replica")
    assert shards.reads("replica", "2") == []
    assert shards.reads("emptied", "2") == []
    assert shards.reads("owner", "2") == ["2"]
    assert shards.reads("owner", "3") == ["3"]
    assert shards.reads("replica", "3") == shards.reads("emptied", "3") == []
    shards.time += MEMORY + 0.01
    shards.routes.expire()
    assert shards.passed() == []


@pytest.mark.parametrize("seen", ["before", "after"])
async def test_p7_the_replica_of_an_emptied_primary_goes_on_before_its_new_primary_is_known(seen):
    """It delivers what its new primary accepts, while the topology shows two shards."""
    shards = Shards("emptied", "replica", "owner")
    shards.mates.add(frozenset(("emptied", "replica")))
    shards.live_at("emptied")
    assert shards.reads("emptied", "1") == ["1"]
    shards.revoked("emptied")
    shards.live_at("replica")
    shards.live_at("owner", "replica")
    assert shards.reads("owner", "2", "3") == []
    if seen == "before":
        shards.mates.add(frozenset(("owner", "replica")))
        shards.routes.update(X)
    assert shards.reads("replica", "2") == ["2"]
    if seen == "after":
        shards.mates.add(frozenset(("owner", "replica")))
    shards.table.handover_done(X, "replica")
    shards.routes.update(X)
    assert shards.passed() == ["3"]
    assert shards.reads("replica", "3") == []
    assert shards.reads("owner", "4") == ["4"]
