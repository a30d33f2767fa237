"""Redis: the client of one server, with Pub/Sub."""

from __future__ import annotations

from typing import AnyStr

from actors.pubsub.facade import DEFAULT_RETRY_POLICY, Handlers, Names
from actors.pubsub.single import PubSub
from actors.pubsub.sinks import HandlerFailureSink
from actors.pubsub.types import GapCallback, LagCallback
from actors.redis.client import RedisClient
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import RetryPolicy

__all__ = ["Redis"]


class Redis(RedisClient[AnyStr]):
    """A client of one Redis or Valkey server; an async context manager.

    See :class:`actors.redis.client.RedisClient` for the parameters.
    """

    def pubsub(
        self,
        *,
        channels: Names = None,
        channel_handlers: Handlers = None,
        patterns: Names = None,
        pattern_handlers: Handlers = None,
        ignore_subscribe_messages: bool = False,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        subscription_timeout: float = 1,
        unsubscription_timeout: float = 0.1,
        max_idle_seconds: float = 15,
        on_gap: GapCallback | None = None,
        on_lagged: LagCallback | None = None,
        on_failure: HandlerFailureSink | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        start_timeout: float | None = 5.0,
        system: ActorSystem | None = None,
    ) -> PubSub[AnyStr]:
        """Return a Pub/Sub object on this client's pool; see :class:`PubSub`."""
        return PubSub(
            self.connection_pool,
            ignore_subscribe_messages,
            retry_policy,
            channels,
            channel_handlers,
            patterns,
            pattern_handlers,
            subscription_timeout,
            unsubscription_timeout,
            max_idle_seconds,
            on_gap=on_gap,
            on_lagged=on_lagged,
            on_failure=on_failure,
            mailbox=mailbox,
            overflow=overflow,
            start_timeout=start_timeout,
            system=system,
        )
