"""The reconciler: what connections report, and what reaches the consumer then (P5, P7, P10)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from actors.pubsub.connection.shard_subscriber import ShardSubscriber
from actors.pubsub.connection.subscriber import Recent
from actors.pubsub.delivery.merge import OWED
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.placement import Revocation
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import AuthorizationError, RedisError, TryAgainError
from actors.redis.wire.resp import reader
from actors.runtime.messages.overflow import MailboxSpec

X = Target(Kind.SHARD, b"x")


class OneShard:
    """A placement, and its events: all nodes are of one shard, the places are set by hand."""

    def __init__(self) -> None:
        self.where: tuple[NodeId, ...] = ()
        self.revocation = Revocation()

    def places(self, target: Target) -> tuple[NodeId, ...]:
        return self.where

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        return [self.where for _ in targets]

    def hopeless(self, target: Target) -> bool:
        return False

    def unserved(self, target: Target) -> str | None:
        return None

    def address_of(self, node: NodeId) -> str:
        return node

    def group(self, target: Target) -> int:
        return 0

    def asking(self, node: NodeId, target: Target) -> bool:
        return False

    imports = asking

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        return True

    def trusted(self, node: NodeId) -> bool:
        return True

    def complete(self, node: NodeId, heard: float) -> float:
        return heard

    def linger(self, handover: Handover) -> float | None:
        return None

    def lost(self, node: NodeId) -> bool:
        return False

    found = lost

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        return isinstance(error, TryAgainError)

    def revoked(self, node: NodeId, target: Target) -> Revocation:
        return self.revocation


class Wired:
    """A reconciler whose connections say what a test has them say."""

    def __init__(self, *nodes: str) -> None:
        loop = asyncio.get_running_loop()
        self.message_queue = MessageQueue(MailboxSpec(), loop)
        self.registry = SubscriptionRegistry(
            self.message_queue, encoding="utf-8", decode=True, ignore_subscribe_messages=True
        )
        self.placement = OneShard()
        self.time = loop.time()
        self.reconciler = Reconciler(self.registry, self.placement, self.placement, loop)
        self.reconciler.sender.routes._now = lambda: self.time
        self.subscribers = {node: self._link(node) for node in nodes}
        self.registry.put(Subscription(X, "x", self.registry.queue_writer))
        self.reconciler.table.want(X, ())
        for subscriber in self.subscribers.values():
            self.reconciler.on_connected(subscriber)

    def _link(self, node: str) -> ShardSubscriber:
        connection: Any = SimpleNamespace(
            location=node,
            last_read=self.time,
            proof=self.time,
            usable=True,
            settings=SimpleNamespace(encoding="utf-8"),
            pending=deque(),
        )
        connection.deliver = lambda reply: connection.pending.popleft().resolve(reply)
        connection.write = lambda _, *expected: connection.pending.extend(expected)
        return ShardSubscriber(
            node, connection, self.reconciler, self.registry.touched, decode=True
        )

    def placed(self, *nodes: str) -> None:
        """The channel belongs there from now on."""
        self.placement.where = nodes
        self.reconciler.replace()

    def says(self, node: str, kind: str, payload: str | int) -> list[str]:
        """Have ``node`` say something of the channel; return what reaches the consumer."""
        subscriber = self.subscribers[node]
        subscriber.connection.last_read = subscriber.connection.proof = self.time
        last = f":{payload}" if isinstance(payload, int) else f"${len(payload)}\r\n{payload}"
        parser = reader()
        parser.feed(f">3\r\n${len(kind)}\r\n{kind}\r\n$1\r\nx\r\n{last}\r\n".encode())
        if kind == "sunsubscribe" and subscriber.connection.pending:  # the PING that goes with it
            parser.feed(b"+PONG\r\n")
        subscriber.drain(parser.gets)
        queue = self.message_queue.mailbox.queue
        got = [one["data"] for one in queue if type(one) is dict]
        queue.clear()
        return got


async def test_p7_a_node_that_was_left_and_is_asked_again_is_live_since_then():
    """What it missed meanwhile is told of, and does not come after what followed it."""
    wired = Wired("old", "new")
    wired.placed("old", "new")
    wired.says("old", "ssubscribe", 1)
    wired.says("new", "ssubscribe", 1)
    assert wired.says("old", "smessage", "1") == ["1"]
    assert wired.says("new", "smessage", "1") == []
    wired.placed("old")
    wired.says("new", "sunsubscribe", 0)
    wired.time += 2 * OWED
    wired.placed("old", "new")
    wired.says("new", "ssubscribe", 1)
    wired.placed("new", "old")  # it accepted 2 before it was asked again, and 3 after it
    wired.says("old", "sunsubscribe", 0)
    wired.says("old", "ssubscribe", 1)
    assert wired.says("new", "smessage", "3") == ["3"]
    assert wired.says("old", "smessage", "2") == []
    assert wired.says("old", "smessage", "3") == []
    assert wired.says("new", "smessage", "4") == ["4"]
    assert wired.registry.gaps == 1


@pytest.mark.parametrize("missed", [False, True])
async def test_p10_what_a_replica_had_not_got_when_its_slot_left_is_a_gap(missed: bool):
    """Wherever else the channel is live: the new owner never had what the old one accepted."""
    wired = Wired("replica", "new")
    late = 0.07
    placement: Any = wired.placement
    placement.complete = lambda node, heard: heard - late * (node == "replica")
    placement.revocation = Revocation(missed=missed)
    wired.placed("replica", "new")
    for node in wired.placement.where:
        wired.says(node, "ssubscribe", 1)
    wired.time += 2 * late
    wired.placement.where = ("new",)
    wired.says("replica", "sunsubscribe", 0)
    assert wired.registry.gaps == (1 if missed else 0)
    assert wired.reconciler.table.rows[X].source == "new"


async def test_p11_a_target_that_was_refused_for_good_is_asked_for_by_a_command_of_its_own():
    wired = Wired("node")
    for name in (b"y", b"z"):
        target = Target(Kind.SHARD, name)
        wired.registry.put(Subscription(target, name.decode(), wired.registry.queue_writer))
        wired.reconciler.table.want(target, ())
    wired.placed("node")
    pending: deque[Any] = wired.subscribers["node"].connection.pending
    assert [command.names for command in pending] == [{b"x", b"y", b"z"}]
    pending.popleft().resolve(AuthorizationError("NOPERM not these channels"))
    assert sorted(map(list, (command.names for command in pending))) == [[b"x"], [b"y"], [b"z"]]
    refusals = wired.reconciler.refusals
    assert refusals.targets == set(wired.reconciler.table.rows)
    while pending:
        pending.popleft().resolve(AuthorizationError("NOPERM not this channel"))
    wired.reconciler.retry(wired.reconciler.refused_for_now())
    assert not pending, "they are asked for again when somebody says so"
    wired.reconciler.retry(refusals.targets)
    assert sorted(map(list, (command.names for command in pending))) == [[b"x"], [b"y"], [b"z"]]


async def test_p7_an_old_message_is_not_remembered_longer_than_a_merge_asks_for():
    """The index of what came last is made once for all channels, and not used for later times."""
    wired = Wired("old", "new")
    wired.placed("old")
    wired.says("old", "ssubscribe", 1)
    wired.says("old", "smessage", "tick")
    subscriber = wired.subscribers["old"]
    assert subscriber.recent(X, wired.time - 0.2).keys == ["tick"]
    assert subscriber.recent(X, wired.time + 1.0).keys == []


async def test_p7_payloads_that_came_more_than_once_are_remembered_as_such():
    wired = Wired("old")
    wired.placed("old")
    wired.says("old", "ssubscribe", 1)
    for payload in ("tick", "tack", "tick"):
        wired.time += 1.0
        wired.says("old", "smessage", payload)
    recent = wired.subscribers["old"].recent(X, wired.time - 0.2)
    assert recent == Recent(["tick"], frozenset(["tick"]))


async def test_p7_of_a_batch_only_delivered_messages_are_remembered_and_each_in_time():
    """Whoever asks in the middle of a batch is told what was delivered before, and no more."""
    wired = Wired("old", "standby")
    wired.placed("old", "standby")
    wired.says("old", "ssubscribe", 1)
    wired.says("standby", "ssubscribe", 1)
    subscriber = wired.subscribers["old"]
    asked: list[list[str]] = []

    def revoked(node: NodeId, target: Target) -> Revocation:
        asked.append(subscriber.recent(X, wired.time - 0.2).keys)
        subscriber.set_route(X, None)
        return wired.placement.revocation

    wired.placement.revoked = revoked  # type: ignore[method-assign]
    message = ">3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n{}\r\n"
    parser = reader()
    for part in (message.format(1), message.format(2)):
        parser.feed(part.encode())
    parser.feed(b">3\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:0\r\n")
    parser.feed(message.format(3).encode())
    subscriber.drain(parser.gets)
    assert asked == [["1", "2"]]
    assert subscriber.recent(X, wired.time - 0.2).keys == ["1", "2"]
