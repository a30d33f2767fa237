"""FeedRoutes follow each step of the table, whichever command it took (P7)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from actors.pubsub.connection.pending_commands import ShardLeave
from actors.pubsub.connection.shard_subscriber import ShardSubscriber
from actors.pubsub.delivery.merge import OWED
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import MovedError, RedisError, TryAgainError
from actors.redis.wire.resp import reader
from actors.runtime.overflow import MailboxSpec

X = Target(Kind.SHARD, b"x")


class OneShard:
    """A placement: all nodes are of one shard, and the places are set by hand."""

    def __init__(self) -> None:
        self.where: tuple[NodeId, ...] = ()

    def places(self, target: Target) -> tuple[NodeId, ...]:
        return self.where

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        return [self.where for _ in targets]

    def hopeless(self, target: Target) -> bool:
        return False

    def group(self, target: Target) -> int:
        return 0

    def asking(self, node: NodeId, target: Target) -> bool:
        return False

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        return True

    def trusted(self, node: NodeId) -> bool:
        return True

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        return heard

    def replica_until(self, node: NodeId) -> float:
        return -inf

    def linger(self, handover: Handover) -> float | None:
        return None

    def lost(self, node: NodeId) -> bool:
        return False

    found = lost

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        return isinstance(error, TryAgainError)

    def giver(self, node: NodeId, target: Target) -> NodeId | None:
        return None

    def accepted(self, node: NodeId, target: Target) -> None:
        pass

    def revoked(self, node: NodeId, target: Target) -> bool:
        return False


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
        self.reconciler = Reconciler(self.registry, self.placement, loop)
        self.reconciler.routes._now = lambda: self.time
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


async def test_p6_a_subscription_that_is_sent_once_more_counts_from_its_first_acknowledgement():
    """The new owner of a slot ends what it took before: it is asked again before it says so."""
    wired = Wired("new")
    wired.placed("new")
    wired.says("new", "ssubscribe", 1)
    wired.subscribers["new"].repeat(X.kind, X.name)
    assert wired.says("new", "sunsubscribe", 0) == []
    assert wired.reconciler.table.rows[X].source is None
    wired.subscribers["new"].connection.pending.popleft()  # the answer to ASKING
    wired.says("new", "ssubscribe", 1)
    assert wired.reconciler.table.rows[X].source == "new"
    assert wired.says("new", "smessage", "1") == ["1"]
    wired.says("new", "ssubscribe", 1)
    assert not wired.subscribers["new"].connection.pending
    assert wired.says("new", "smessage", "2") == ["2"]
    assert wired.registry.gaps == 1


async def test_p6_a_subscription_that_is_sent_once_more_and_refused_changes_nothing():
    wired = Wired("new")
    wired.placed("new")
    wired.says("new", "ssubscribe", 1)
    subscriber = wired.subscribers["new"]
    subscriber.repeat(X.kind, X.name)
    pending = subscriber.connection.pending
    pending.popleft()
    pending.popleft().resolve(MovedError(0, "127.0.0.1", 1))
    assert wired.reconciler.table.rows[X].source == "new"
    assert wired.says("new", "smessage", "1") == ["1"]


async def test_p6_a_subscription_that_nobody_waits_for_any_more_is_ended():
    wired = Wired("old", "new")
    wired.placed("old", "new")
    wired.says("old", "ssubscribe", 1)
    subscriber = wired.subscribers["new"]
    subscriber.repeat(X.kind, X.name)
    first, _, repeated = subscriber.connection.pending
    subscriber.connection.pending.clear()
    wired.placed("old")
    first.resolve(MovedError(0, "127.0.0.1", 1))
    assert "new" not in wired.reconciler.table.rows[X].nodes
    subscriber.connection.pending.append(repeated)
    wired.says("new", "ssubscribe", 1)
    assert [type(one).__name__ for one in subscriber.connection.pending] == [
        "ShardLeave",
        "Ignored",
    ]
    assert wired.says("new", "smessage", "1") == []
    assert wired.says("old", "smessage", "1") == ["1"]


@pytest.mark.parametrize("primary_is_live", [False, True])
async def test_p10_what_a_replica_had_not_got_when_its_slot_left_is_a_gap(primary_is_live: bool):
    """Wherever else the channel is live: but not if it was live at the primary that gave it."""
    wired = Wired("replica", "primary", "new")
    late = 0.07
    placement: Any = wired.placement
    placement.complete = lambda node, heard, _=None: heard - late * (node == "replica")
    placement.giver = lambda node, _: "primary" if node == "replica" else None
    wired.placed("replica", "new", *["primary"] * primary_is_live)
    for node in wired.placement.where:
        wired.says(node, "ssubscribe", 1)
    wired.time += 2 * late
    wired.placement.where = wired.placement.where[1:]
    wired.says("replica", "sunsubscribe", 0)
    assert wired.registry.gaps == (0 if primary_is_live else 1)
    assert wired.reconciler.table.rows[X].source == "new"


async def test_p6_a_try_that_was_sent_ahead_counts_though_the_node_refused_before():
    wired = Wired("old", "new")
    wired.placed("old")
    wired.says("old", "ssubscribe", 1)
    wired.placed("old", "new")
    subscriber, row = wired.subscribers["new"], wired.reconciler.table.rows[X]
    for _ in range(2):
        subscriber.put_try(X.kind, [X.name])
    subscriber.send()
    subscriber.connection.pending.popleft().resolve(TryAgainError("TRYAGAIN not yet"))
    assert "new" not in row.nodes
    wired.says("new", "ssubscribe", 1)
    assert row.is_live("new")
    wired.says("new", "ssubscribe", 1)
    assert not subscriber.connection.pending
    assert row.is_live("new")


async def test_p6_a_try_that_comes_true_where_nobody_wants_it_any_more_is_ended():
    wired = Wired("old", "new")
    wired.placed("old", "new")
    wired.says("old", "ssubscribe", 1)
    subscriber, row = wired.subscribers["new"], wired.reconciler.table.rows[X]
    subscriber.put_try(X.kind, [X.name])
    subscriber.send()
    subscriber.connection.pending.popleft().resolve(TryAgainError("TRYAGAIN not yet"))
    wired.placed("old")
    wired.says("new", "ssubscribe", 1)
    assert "new" not in row.nodes
    (leave, _) = subscriber.connection.pending
    assert isinstance(leave, ShardLeave)
