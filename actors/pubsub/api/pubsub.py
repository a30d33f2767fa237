"""PubSub: the subscriptions of one server."""

from __future__ import annotations

from typing import AnyStr

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.options import AnyHandler, ClusterPubSubOptions, PubSubOptions, constructor
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.lifecycle.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.names import handlers_in, names_in
from actors.pubsub.model.types import Kind
from actors.redis.wire.connection import Connection
from actors.runtime.actor import ActorSpec


class PatternPubSub(BasePubSub[AnyStr]):
    """What PubSub and ClusterPubSub share: patterns, and one connection for all targets."""

    def __init__(self, options: PubSubOptions | ClusterPubSubOptions) -> None:
        super().__init__(options)
        names = names_in("patterns", options.patterns)
        handlers = handlers_in("pattern_handlers", options.pattern_handlers)
        self._first.append((Kind.PATTERN, names, handlers))

    async def psubscribe(
        self, *patterns: str | bytes, **pattern_handlers: AnyHandler | None
    ) -> None:
        """Subscribe to patterns; as :meth:`subscribe`."""
        timeout = self.subscription_timeout
        await self._calls.subscribe(Kind.PATTERN, patterns, pattern_handlers, timeout)

    async def punsubscribe(self, *patterns: str | bytes) -> None:
        """End the subscription of ``patterns``, or of all; as :meth:`unsubscribe`."""
        await self._unsubscribe(Kind.PATTERN, patterns)

    @property
    def connection(self) -> Connection | None:
        """The connection of all subscriptions; None while there is none that answers."""
        subscribers = self._session.require_open().reconciler.subscribers.values()
        return next((one.connection for one in subscribers if not one.silent), None)


class PubSub(PatternPubSub[AnyStr]):
    """Pub/Sub on one server; returned by ``Redis.pubsub()``.

    An async context manager and an async iterator::

        async with client.pubsub(channels=["a"]) as pubsub:
            async for message in pubsub:
                print(message["data"])

    Args:
        connection_pool: opens the connection.
        ignore_subscribe_messages: leave acknowledgements out of the messages.
        retry_policy: how a lost connection is restored; None: not at all. The error that ends the
            pubsub is raised from the body of the ``async with`` and to whoever reads.
        channels: channels to subscribe to on entry: names, or one name.
        channel_handlers: the same, each with a handler for its messages.
        patterns: patterns to subscribe to on entry: patterns, or one pattern.
        pattern_handlers: the same, each with a handler for its messages.
        subscription_timeout: seconds in which a subscription must be acknowledged; with many names
            they count from the latest acknowledgement.
        unsubscription_timeout: seconds in which the end of a subscription should be acknowledged.
        max_idle_seconds: silence after which the server is sent a PING. Without an answer within
            the pool's ``stream_timeout``, or 1 s, a second connection is opened; the one that
            speaks first is kept.
        on_gap: called with each :class:`Gap`, before the next message of its target.
        on_lagged: called with the number of messages shed, before the next one.
        on_failure: takes the messages that a handler failed on; logs them by default.
        mailbox: the bound of the iterator's queue and of each handler's; an int is a capacity.
        overflow: what happens at the bound: drop_oldest, drop_newest or block (the socket is not
            read until the consumer has caught up).
        recover: get what was missed of the channels out of their histories: a Recover, or True for
            its defaults; see docs/recovery.md. A Handler may say otherwise for its channel, and a
            Recover in place of a handler has the iterator consume a channel with recovery.
        start_timeout: seconds for the first connection, and to wait while the server refuses the
            first subscriptions for the moment; None: as long as the retry policy goes on.
        system: the actor system to run in; by default the current one, or one of its own.
    """

    @constructor(PubSubOptions)
    def __init__(self, options: PubSubOptions) -> None:
        super().__init__(options)

    def _start(self, tree: PubSubTree) -> None:
        pool = self.connection_pool
        reader = self._reader_options(
            tree, Subscriber, lambda _, progress: pool.open_dedicated(progress)
        )
        options = ManagerOptions(tree, reader, self.retry_policy)
        tree.start(ActorSpec(SubscriptionManager, (options,), name="manager", restart="permanent"))
