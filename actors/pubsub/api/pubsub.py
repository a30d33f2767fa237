"""PubSub: the subscriptions of one server."""

from __future__ import annotations

from typing import AnyStr

from actors.pubsub.api.base import (
    DEFAULT_RETRY_POLICY,
    AnyHandler,
    BasePubSub,
    Handlers,
    Names,
)
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.lifecycle.manager import ManagerOptions, SubscriptionManager
from actors.pubsub.lifecycle.reader import ReaderOptions
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import GapCallback, Kind, LagCallback
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from actors.runtime.actor import ActorSpec
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import RetryPolicy

__all__ = ["PatternPubSub", "PubSub"]

#: Seconds in which something must come back after a PING, where no stream_timeout says otherwise.
PING_DEADLINE = 1.0


class PatternPubSub(BasePubSub[AnyStr]):
    """What PubSub and ClusterPubSub have beyond shard channels: patterns."""

    async def psubscribe(
        self, *patterns: str | bytes, **pattern_handlers: AnyHandler | None
    ) -> None:
        """Subscribe to patterns; as :meth:`subscribe`."""
        await self._subscribe(Kind.PATTERN, patterns, pattern_handlers)

    async def punsubscribe(self, *patterns: str | bytes) -> None:
        """End the subscription of ``patterns``, or of all; as :meth:`unsubscribe`."""
        await self._unsubscribe(Kind.PATTERN, patterns)

    @property
    def connection(self) -> Connection | None:
        """The connection that it listens on; None while there is none."""
        tree = self._session.require_open()
        return next(
            (subscriber.connection for subscriber in tree.reconciler.subscribers.values()), None
        )


class PubSub(PatternPubSub[AnyStr]):
    """Pub/Sub on one server; returned by ``Redis.pubsub()``.

    An async context manager and an async iterator::

        async with client.pubsub(channels=["a"]) as pubsub:
            async for message in pubsub:
                print(message["data"])

    Args:
        connection_pool: where its connection comes from.
        ignore_subscribe_messages: leave acknowledgements out of the messages.
        retry_policy: how a lost connection is restored; None: not at all. The error that ends it
            surfaces from the body and from whoever reads.
        channels: subscribed to on entry.
        channel_handlers: the same, each with a function or coroutine function for its messages.
        patterns: subscribed to on entry.
        pattern_handlers: the same, with handlers.
        subscription_timeout: seconds in which a subscription must be acknowledged.
        unsubscription_timeout: seconds in which the end of one should be.
        max_idle_seconds: silence after which the server must answer a PING, within the pool's
            ``stream_timeout`` or 1 s, or the connection is replaced.
        on_gap: called with each :class:`Gap`, before the next message of its target.
        on_lagged: called with the number of messages shed, before the next one.
        on_failure: takes the messages that a handler failed on; logs them by default.
        mailbox: the bound of the iterator's queue and of each handler's; an int is a capacity.
        overflow: what happens there: drop_oldest, drop_newest or block (then the socket is not
            read until the consumer has caught up).
        start_timeout: seconds in which the first connection must be there; None: wait as long as
            the retry policy goes on.
        system: the actor system to be in; by default the current one, or one of its own.
    """

    def __init__(
        self,
        connection_pool: ConnectionPool,
        ignore_subscribe_messages: bool = False,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        channels: Names = None,
        channel_handlers: Handlers = None,
        patterns: Names = None,
        pattern_handlers: Handlers = None,
        subscription_timeout: float = 1,
        unsubscription_timeout: float = 0.1,
        max_idle_seconds: float = 15,
        *,
        on_gap: GapCallback | None = None,
        on_lagged: LagCallback | None = None,
        on_failure: HandlerFailureSink | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        start_timeout: float | None = 5.0,
        system: ActorSystem | None = None,
    ) -> None:
        super().__init__(
            connection_pool,
            ignore_subscribe_messages=ignore_subscribe_messages,
            retry_policy=retry_policy,
            channels=channels,
            channel_handlers=channel_handlers,
            patterns=patterns,
            pattern_handlers=pattern_handlers,
            subscription_timeout=subscription_timeout,
            unsubscription_timeout=unsubscription_timeout,
            max_idle_seconds=max_idle_seconds,
            on_gap=on_gap,
            on_lagged=on_lagged,
            on_failure=on_failure,
            mailbox=mailbox,
            overflow=overflow,
            start_timeout=start_timeout,
            system=system,
        )

    def _start(self, tree: PubSubTree) -> None:
        pool = self.connection_pool
        reader = ReaderOptions(
            open=lambda _, reservation: pool.open_dedicated(reservation),
            release=pool.release,
            reconciler=lambda: tree.reconciler,
            failed=tree.note_error,
            ready=tree.ready.set,
            subscriber=Subscriber,
            decode=pool.decode_responses,
            max_idle_seconds=self.max_idle_seconds,
            ping_deadline=pool.settings.stream_timeout or PING_DEADLINE,
        )
        options = ManagerOptions(tree, reader, self.retry_policy)
        tree.start(ActorSpec(SubscriptionManager, (options,), name="manager", restart="permanent"))
