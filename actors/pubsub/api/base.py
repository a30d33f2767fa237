"""What users hold: an async context manager and an async iterator over their subscriptions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, AnyStr, ClassVar, Final, Generic, Self, TypeAlias

from actors.pubsub.api.introspection import Insight, PubSubStats
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.lifecycle.drain import drain
from actors.pubsub.lifecycle.handler_factory import HandlerFactory
from actors.pubsub.lifecycle.manager import GiveUp, Subscribe, Unsubscribe
from actors.pubsub.lifecycle.session import Session
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.options import check_hooks, check_policy, consumer_mailbox
from actors.pubsub.model.types import (
    GapCallback,
    Kind,
    LagCallback,
    PubSubMessage,
    SubscriptionCallback,
    Target,
)
from actors.pubsub.subscriptions.pending_calls import Call
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from supervisor import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    ExponentialBackoffRetryPolicy,
    RetryPolicy,
)
from supervisor.log import get_logger

__all__ = ["DEFAULT_RETRY_POLICY", "AnyHandler", "BasePubSub", "Handlers", "Names", "PubSubStats"]

log = get_logger("mailslot.pubsub")

#: How lost connections are restored, unless told otherwise.
DEFAULT_RETRY_POLICY: Final = CompositeRetryPolicy(
    ExponentialBackoffRetryPolicy(
        (ConnectionError,), retries=None, base_delay=0.1, max_delay=16, jitter=True
    ),
    ConstantRetryPolicy((TimeoutError,), retries=2, delay=0.1),
)

Names = Iterable[str | bytes] | None
#: What takes the messages of one name.
AnyHandler: TypeAlias = SubscriptionCallback | Handler | type[Actor[Any]] | ActorSpec
Handlers = Mapping[Any, AnyHandler | None] | None


class BasePubSub(Insight, Generic[AnyStr]):
    """What all pub/sub objects have in common. Made by a client's ``pubsub()``."""

    _kind: ClassVar[str] = "pubsub"
    _channel_kind: ClassVar[Kind] = Kind.CHANNEL

    def __init__(
        self,
        connection_pool: Any,
        *,
        ignore_subscribe_messages: bool,
        retry_policy: RetryPolicy | None,
        channels: Names,
        channel_handlers: Handlers,
        patterns: Names,
        pattern_handlers: Handlers,
        subscription_timeout: float,
        unsubscription_timeout: float,
        max_idle_seconds: float,
        on_gap: GapCallback | None,
        on_lagged: LagCallback | None,
        on_failure: HandlerFailureSink | None,
        mailbox: MailboxSpec | int | None,
        overflow: Overflow | str | None,
        start_timeout: float | None,
        system: ActorSystem | None,
    ) -> None:
        if max_idle_seconds <= 0:
            raise ValueError(f"max_idle_seconds must be more than 0, not {max_idle_seconds}")
        check_hooks(on_gap=on_gap, on_lagged=on_lagged, on_failure=on_failure)
        check_policy(retry_policy)
        self.connection_pool = connection_pool
        self.ignore_subscribe_messages = ignore_subscribe_messages
        self.retry_policy = retry_policy
        self.subscription_timeout = subscription_timeout
        self.unsubscription_timeout = unsubscription_timeout
        self.max_idle_seconds = max_idle_seconds
        #: Subscribed channels and patterns, each with its handler or None.
        self.channels: dict[AnyStr, AnyHandler | None] = {}
        self.patterns: dict[AnyStr, AnyHandler | None] = {}
        self._first = [
            (self._channel_kind, list(channels or ()), dict(channel_handlers or {})),
            (Kind.PATTERN, list(patterns or ()), dict(pattern_handlers or {})),
        ]
        self._mailbox = consumer_mailbox(mailbox, overflow)
        self._on_gap = on_gap
        self._on_lagged = on_lagged
        self._on_failure = on_failure
        self._session = Session(self._kind, system, start_timeout)
        self._handler_factory: HandlerFactory
        self._inbox: MessageQueue
        self._popleft: Callable[[], Any] = deque[Any]().popleft
        self._book: SubscriptionRegistry

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, and subscribe to what the constructor was given.

        Raises:
            ExceptionGroup: of what went wrong: no connection, a wrong password, a TimeoutError for
                a subscription that was not acknowledged in time, ...
        """
        await self.connection_pool.__aenter__()
        try:
            await self._session.open(self._make, self._start, self._subscribe_first)
        except BaseException:
            await self.connection_pool.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all subscriptions and let the connections go."""
        try:
            await self._session.close()
        finally:
            self.channels.clear()
            self.patterns.clear()
            await self.connection_pool.__aexit__(None, None, None)
        self._session.reraise(error)

    def _make(self, system: ActorSystem, name: str) -> PubSubTree:
        pool = self.connection_pool
        self._inbox = message_queue = MessageQueue(self._mailbox, system.loop)
        self._popleft = message_queue.mailbox.queue.popleft
        self._book = registry = SubscriptionRegistry(
            message_queue,
            encoding=pool.encoding,
            decode=pool.decode_responses,
            ignore_subscribe_messages=self.ignore_subscribe_messages,
        )
        registry.on_gap = self._on_gap
        message_queue.on_lagged = self._on_lagged
        message_queue.ended = lambda: not registry.subscriptions
        tree = PubSubTree(system, name, registry)
        self._handler_factory = HandlerFactory(
            tree, self._mailbox, self._on_failure, self._on_lagged
        )
        return tree

    def _start(self, tree: PubSubTree) -> None:
        """Begin to start the tree, with the manager that keeps this kind of object subscribed."""
        raise NotImplementedError

    async def _subscribe_first(self) -> None:
        for kind, names, handlers in self._first:
            await self._subscribe(kind, names, handlers)

    # -- subscriptions -----------------------------------------------------------------------------

    async def subscribe(
        self, *channels: str | bytes, **channel_handlers: AnyHandler | None
    ) -> None:
        """Subscribe to channels; those given by keyword have their messages sent to a handler.

        While nothing is connected that could take a subscription, it is kept and made as soon as
        there is; the time until then is reported as a gap.

        Args:
            channels: names.
            channel_handlers: by name, a function, a coroutine function, a Handler or an Actor
                class.

        Raises:
            TimeoutError: not acknowledged within ``subscription_timeout``. What was not, is given
                up again.
            AuthorizationError: the user may not; and other errors that the server answers with.
            ConnectionError: the pubsub was not entered, or is closed.
        """
        await self._subscribe(self._channel_kind, channels, channel_handlers)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """End the subscription of ``channels``, or of all when there are none.

        What is not acknowledged within ``unsubscription_timeout`` is logged.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
        """
        await self._unsubscribe(self._channel_kind, channels)

    async def _subscribe(
        self, kind: Kind, names: Iterable[str | bytes], handlers: Mapping[Any, Any]
    ) -> None:
        tree = self._session.require_open()
        wanted: dict[Any, Any] = {**dict.fromkeys(names), **handlers}
        subscriptions = [self._subscription(kind, name) for name in wanted]
        if not subscriptions:
            return
        self._start_handlers(subscriptions, wanted.values())
        call = self._session.track(Call((s.target for s in subscriptions), tree.system.loop))
        tree.manager.tell(Subscribe(subscriptions, call))
        try:
            async with asyncio.timeout(self.subscription_timeout) as limit:
                await call.future
        except BaseException as error:
            if self._session.is_open:
                tree.manager.tell(GiveUp(call))
            if isinstance(error, TimeoutError) and limit.expired():
                raise TimeoutError(
                    "Failed to receive acknowledgement of subscription within"
                    f" {self.subscription_timeout} seconds"
                ) from None
            raise
        self._register(kind, subscriptions)

    def _register(self, kind: Kind, subscriptions: Iterable[Subscription]) -> None:
        registered: dict[Any, Any] = self.patterns if kind is Kind.PATTERN else self.channels
        for subscription in subscriptions:
            if self._book.subscriptions.get(subscription.target) is subscription:
                registered[subscription.label] = subscription.callback

    def _subscription(self, kind: Kind, name: str | bytes) -> Subscription:
        registry = self._book
        target = Target(kind, registry.encode(name))
        return Subscription(target, registry.label(target.name), registry.inbox_inlet)

    def _start_handlers(self, subscriptions: list[Subscription], callbacks: Iterable[Any]) -> None:
        try:
            for subscription, callback in zip(subscriptions, callbacks, strict=True):
                if callback is not None:
                    self._handler_factory.start(subscription, callback)
        except BaseException:
            for subscription in subscriptions:
                subscription.drain()
            raise

    async def _unsubscribe(self, kind: Kind, names: Iterable[str | bytes]) -> None:
        tree = self._session.require_open()
        registry = self._book
        targets = [Target(kind, registry.encode(name)) for name in dict.fromkeys(names)]
        if not targets:
            targets = registry.targets(kind)
        if not targets:
            self._announce_nothing(kind)
            return
        call = self._session.track(Call(targets, tree.system.loop))
        tree.manager.tell(Unsubscribe(targets, call))
        try:
            async with asyncio.timeout(self.unsubscription_timeout):
                await call.future
        except TimeoutError:
            log.warning("unsubscribe_not_acknowledged", targets=len(call.open))
        except ConnectionError:
            pass  # the pubsub ended meanwhile, and with it all subscriptions
        self._deregister(targets)

    def _deregister(self, targets: Iterable[Target]) -> None:
        registry = self._book
        for target in targets:
            known = registry.subscriptions.get(target)
            if known is None or known.draining:
                of_kind: dict[Any, Any] = (
                    self.patterns if target.kind is Kind.PATTERN else self.channels
                )
                of_kind.pop(registry.label(target.name), None)
        if not registry.subscriptions:
            self._inbox.wake_all()

    def _announce_nothing(self, kind: Kind) -> None:
        types = {Kind.CHANNEL: "", Kind.PATTERN: "p", Kind.SHARD: "s"}
        if self.ignore_subscribe_messages:
            self._inbox.pending_nones.add(1)
        else:
            message: PubSubMessage = {
                "type": f"{types[kind]}unsubscribe",
                "pattern": None,
                "channel": None,
                "data": 0 if kind is Kind.SHARD else len(self.channels) + len(self.patterns),
            }
            self._book.inbox_inlet.put(message)
            self._book.inbox_inlet.flush()
            self._book.touched.clear()

    async def drain(self, timeout: float | None = None) -> bool:
        """End all subscriptions, and wait until the handlers are through with what they have.

        Whatever a server delivered before it had the word of the end is handled, too. A node that
        says nothing for two seconds is not waited for.

        Args:
            timeout: seconds; None: as long as it takes.

        Returns:
            whether all was handled in time; what was not becomes dead letters at the end.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
        """
        tree = self._session.require_open()
        targets = list(self._book.subscriptions)
        call = self._session.track(Call(targets, tree.system.loop))
        try:
            return await drain(tree, call, timeout)
        finally:
            self._deregister(targets)

    @property
    def subscribed(self) -> bool:
        """Whether there is a subscription."""
        return bool(self.channels or self.patterns)

    # -- messages ----------------------------------------------------------------------------------

    async def get_message(
        self, ignore_subscribe_messages: bool = False, timeout: float | None = None
    ) -> PubSubMessage | None:
        """Return the next message that no handler takes, acknowledgements among them.

        Args:
            ignore_subscribe_messages: return None instead of an acknowledgement.
            timeout: seconds to wait; 0: only what is there already; None: as long as it takes.

        Returns:
            the message; None after ``timeout``, for an ignored acknowledgement, and once for each
            message that a handler was through with.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
            Exception: what made it give up.
        """
        if self._session.tree is None:
            self._session.require_open()
        message = await self._inbox.get(timeout)
        if message is not None and ignore_subscribe_messages and "subscribe" in message["type"]:
            return None
        return message

    def __aiter__(self) -> Self:
        """Iterate over the messages that no handler takes; ends when nothing is subscribed."""
        return self

    async def __anext__(self) -> PubSubMessage:
        # Most messages take this way and no other; each look-up here is felt in every one of them.
        try:
            message = self._popleft()
        except IndexError:
            return await self._next()
        if type(message) is dict:
            return message  # type: ignore[return-value]
        await self._inbox.handle(message)
        return await self._next()

    async def _next(self) -> PubSubMessage:
        if self._session.tree is None:
            raise StopAsyncIteration
        return await self._inbox.next()
