"""The subscriber of one primary, where every primary has the same subscriptions.

The messages of each node are its own, so the targets of each node are, too: all that this
subscriber reports is about a :class:`NodeTarget`.
"""

from __future__ import annotations

from typing import Any

from actors.pubsub.connection.subscriber import Subscriber, SubscriberEvents
from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.model.types import NodeTarget, Target
from actors.redis.exceptions import RedisError
from actors.redis.wire.connection import Connection


class PrimarySubscriber(Subscriber):
    """The subscriptions on the connection to one of several primaries."""

    def __init__(
        self,
        node: str,
        connection: Connection,
        events: SubscriberEvents,
        touched: list[MailboxWriter],
        **options: Any,
    ) -> None:
        super().__init__(node, connection, _EventsOfNode(node, events), touched, **options)


class _EventsOfNode:
    """Passes events on, with the node's own target in place of the target of the command."""

    def __init__(self, node: str, events: SubscriberEvents) -> None:
        self._node = node
        self._events = events

    def on_confirmed(
        self, subscriber: Subscriber, target: Target, subscribed: bool, count: int
    ) -> None:
        self._events.on_confirmed(subscriber, self._own(target), subscribed, count)

    def on_revoked(self, subscriber: Subscriber, target: Target, count: int) -> None:
        self._events.on_revoked(subscriber, self._own(target), count)

    def on_refused(self, subscriber: Subscriber, targets: list[Target], error: RedisError) -> None:
        own: list[Target] = [self._own(target) for target in targets]
        self._events.on_refused(subscriber, own, error)

    def on_batch_done(self, subscriber: Subscriber) -> None:
        self._events.on_batch_done(subscriber)

    def _own(self, target: Target) -> NodeTarget:
        return NodeTarget(target.kind, target.name, self._node)
