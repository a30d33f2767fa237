"""What all pub/sub objects share: an async context manager and iterator over subscriptions."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, AnyStr, ClassVar, Final, Generic, Self

from actors.pubsub.api import introspection
from actors.pubsub.api.introspection import PubSubStats
from actors.pubsub.api.options import (
    AnyHandler,
    ClusterPubSubOptions,
    PubSubOptions,
    ShardedPubSubOptions,
)
from actors.pubsub.api.subscription_calls import SubscriptionCalls
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.delivery.batches import MessageBatches
from actors.pubsub.delivery.message_queue import MessageQueue
from actors.pubsub.lifecycle.handler_factory import HandlerFactory
from actors.pubsub.lifecycle.reader import ReaderOptions
from actors.pubsub.lifecycle.refusing_nodes import RefusingNodes
from actors.pubsub.lifecycle.session import Session
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.names import handlers_in, names_in
from actors.pubsub.model.options import consumer_mailbox
from actors.pubsub.model.types import Kind, PubSubMessage, Target
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.redis.config.credentials import UserPassCredentialProvider
from actors.redis.config.settings import DEFAULT_STREAM_TIMEOUT
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection
from actors.runtime.system import ActorSystem

if TYPE_CHECKING:
    from actors.pubsub.connection.gate import Gate
    from actors.pubsub.delivery.progress import Progress
    from actors.pubsub.lifecycle.recoveries import Recoveries

# Seconds for the answer to a PING, unless the pool was given a stream_timeout.
_PING_DEADLINE: Final = 1.0


class BasePubSub(Generic[AnyStr]):
    """What all pub/sub objects share. A client's ``pubsub()`` makes one."""

    _kind: ClassVar[str] = "pubsub"
    _channel_kind: ClassVar[Kind] = Kind.CHANNEL

    def __init__(
        self, options: PubSubOptions | ClusterPubSubOptions | ShardedPubSubOptions
    ) -> None:
        self.connection_pool: Any = options.connection_pool
        self.ignore_subscribe_messages = options.ignore_subscribe_messages
        self.retry_policy = options.retry_policy
        self.subscription_timeout = options.subscription_timeout
        self.unsubscription_timeout = options.unsubscription_timeout
        self.max_idle_seconds = options.max_idle_seconds
        self._options = options
        self._mailbox = consumer_mailbox(options.mailbox, options.overflow)
        self._first = [
            (
                self._channel_kind,
                names_in("channels", options.channels),
                handlers_in("channel_handlers", options.channel_handlers),
            )
        ]
        self._session = Session(self._kind, options.system, options.start_timeout)
        self._calls = SubscriptionCalls(self._session, options.recover)
        #: Subscribed channels and patterns, each with its handler or None.
        self.channels: dict[AnyStr, AnyHandler | None] = self._calls.channels
        self.patterns: dict[AnyStr, AnyHandler | None] = self._calls.patterns
        self._gate: Gate | None = None
        self._queue: MessageQueue
        self._popleft: Callable[[], Any] = deque[Any]().popleft

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, and subscribe to what the constructor was given.

        Raises:
            ExceptionGroup: with the error: no connection, a wrong password, a TimeoutError for a
                subscription that was not acknowledged in time, ...
        """
        self._check_first()
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
        """End all subscriptions and close the connections."""
        try:
            await self._session.close()
        finally:
            self._calls.clear()
            await self.connection_pool.__aexit__(None, None, None)
        self._session.reraise(error)

    async def close(self) -> None:
        """End all subscriptions now, before the context ends; waiting messages are not handled."""
        await self._session.close()

    def _make(self, system: ActorSystem, name: str) -> PubSubTree:
        pool, options = self.connection_pool, self._options
        self._queue = message_queue = MessageQueue(self._mailbox, system.loop)
        self._popleft = message_queue.mailbox.queue.popleft
        registry = SubscriptionRegistry(
            message_queue,
            encoding=pool.encoding,
            decode=pool.decode_responses,
            ignore_subscribe_messages=self.ignore_subscribe_messages,
            shown=self._calls.shown,
        )
        registry.on_gap = options.on_gap
        registry.gate = self._gate
        message_queue.on_lagged = options.on_lagged
        message_queue.ended = lambda: not registry.subscriptions
        provider = pool.settings.credential_provider
        is_fixed = provider is None or isinstance(provider, UserPassCredentialProvider)
        tree = PubSubTree(system, name, registry, RefusingNodes(fresh=not is_fixed))
        self._calls.make_recoveries = lambda: self._recoveries(tree)
        self._calls.handler_factory = HandlerFactory(
            tree, self._mailbox, options.on_failure, options.on_lagged
        )
        return tree

    def _start(self, tree: PubSubTree) -> None:
        """Start the tree, with the manager of this kind of pub/sub object."""
        raise NotImplementedError

    def _check_first(self) -> None:
        """Check the first subscriptions, if one of them recovers."""
        callbacks = (one for _, _, handlers in self._first for one in handlers.values())
        if self._calls.recovers(callbacks):
            # Most programs recover nothing, and load nothing of the recovery.
            from actors.pubsub.recovery.wanted import check_first  # noqa: PLC0415

            check_first(self._first, self._options.recover, self.connection_pool.settings)

    def _recoveries(self, tree: PubSubTree) -> Recoveries:
        # As above.
        from actors.pubsub.api.history_client import history_access  # noqa: PLC0415
        from actors.pubsub.lifecycle.recoveries import Recoveries  # noqa: PLC0415

        pool = self.connection_pool
        access = partial(history_access, pool)
        return Recoveries(tree, self._options.recover, access, pool.settings, self._track)

    def _track(self, progress: Mapping[Any, Progress]) -> None:
        """Have the iterator note which messages its reader has handled."""
        self._popleft = self._queue.track(progress)

    def _reader_options(
        self,
        tree: PubSubTree,
        subscriber: type[Subscriber],
        open: Callable[[str, ConnectProgress], Awaitable[Connection]],
        failed: Callable[[str, Exception], None] | None = None,
        ready: Callable[[str], None] | None = None,
        *,
        same_server: bool = True,
    ) -> ReaderOptions:
        pool = self.connection_pool
        timeout = pool.settings.stream_timeout
        given = timeout is not None and timeout != DEFAULT_STREAM_TIMEOUT
        return ReaderOptions(
            open=open,
            release=pool.release,
            reconciler=lambda: tree.reconciler,
            failed=failed or tree.note_error,
            ready=ready or tree.connected,
            subscriber=subscriber,
            decode=pool.decode_responses,
            max_idle_seconds=self.max_idle_seconds,
            same_server=same_server,
            ping_deadline=timeout if given else _PING_DEADLINE,
        )

    # -- subscriptions -----------------------------------------------------------------------------

    async def subscribe(
        self, *channels: str | bytes, **channel_handlers: AnyHandler | None
    ) -> None:
        """Subscribe to channels; messages of those given by keyword go to a handler.

        While nothing is connected that could take a subscription, this returns at once. The
        subscription is made with the next connection, and the time until then is reported as a
        gap.

        Args:
            channels: names.
            channel_handlers: by name, a function, a coroutine function, a Handler or an Actor
                class.

        Raises:
            TimeoutError: not acknowledged within ``subscription_timeout``. The subscriptions that
                were not acknowledged are given up.
            AuthorizationError: the user may not; or another error that the server answers with. A
                refusal that passes by itself (LOADING or BUSY, for instance) is raised only after
                ``subscription_timeout``.
            ConnectionError: the pubsub was not entered, or is closed.
        """
        timeout = self.subscription_timeout
        await self._calls.subscribe(self._channel_kind, channels, channel_handlers, timeout)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """End the subscription of ``channels``, or of all channels if none is given.

        A server that does not acknowledge within ``unsubscription_timeout`` is logged.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
        """
        await self._unsubscribe(self._channel_kind, channels)

    async def _unsubscribe(self, kind: Kind, names: tuple[str | bytes, ...]) -> None:
        silent, timeout = self.ignore_subscribe_messages, self.unsubscription_timeout
        await self._calls.unsubscribe(kind, names, timeout, silent=silent)

    async def _subscribe_first(self) -> None:
        for kind, names, handlers in self._first:
            timeout, patience = self.subscription_timeout, self._options.start_timeout
            await self._calls.subscribe(kind, names, handlers, timeout, patience)

    async def drain(self, timeout: float | None = None) -> bool:
        """End all subscriptions, and wait until the handlers have handled all messages.

        These include what a server sent before it knew of the end. A node that sends nothing for
        two seconds is not waited for.

        Args:
            timeout: seconds; None: no limit.

        Returns:
            whether all messages were handled in time; others become dead letters at the end.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
        """
        return await self._calls.drain(timeout)

    @property
    def subscribed(self) -> bool:
        """Whether there is a subscription."""
        return bool(self.channels or self.patterns)

    # -- messages ----------------------------------------------------------------------------------

    async def get_message(
        self, ignore_subscribe_messages: bool = False, timeout: float | None = None
    ) -> PubSubMessage | None:
        """Return the next message without a handler; acknowledgements are messages, too.

        Args:
            ignore_subscribe_messages: return None instead of an acknowledgement.
            timeout: seconds to wait; 0: only what is there already; None: no limit.

        Returns:
            the message; None after ``timeout``, for an ignored acknowledgement, and once for each
            message that a handler has handled.

        Raises:
            ConnectionError: the pubsub was not entered, or is closed.
            Exception: why the pubsub gave up.
        """
        if self._session.tree is None:
            self._session.require_open()
        message = await self._queue.get(timeout)
        if message is not None and ignore_subscribe_messages and "subscribe" in message["type"]:
            return None
        return message

    def __aiter__(self) -> Self:
        """Iterate over the messages without a handler; ends when nothing is subscribed."""
        return self

    async def __anext__(self) -> PubSubMessage:
        # Most messages pass here and nowhere else: each look-up is felt.
        try:
            message = self._popleft()
        except IndexError:
            return await self._next()
        if type(message) is dict:
            return message  # type: ignore[return-value]
        await self._queue.handle(message)
        return await self._next()

    async def _next(self) -> PubSubMessage:
        self._require_entered()
        return await self._queue.next()

    def _require_entered(self) -> None:
        """End the iteration of an object that was not entered, unless it was given names."""
        if self._session.tree is None:
            if any(names or handlers for _, names, handlers in self._first):
                self._session.require_open()
            raise StopAsyncIteration

    def batches(self, max: int = 500) -> MessageBatches:
        """Iterate over the messages without a handler, many at a time.

        ``async for messages in pubsub.batches(): ...`` costs less for each message than one by
        one. Each list has the messages that are there, in order: the iterator waits for the first
        one only. A gap ends a list: ``on_gap`` is called before the next list.

        Args:
            max: messages in one list at the most.

        Raises:
            ValueError: ``max`` is not 1 or more.
        """
        return MessageBatches(self._next_batch, max)

    async def _next_batch(self, most: int) -> list[PubSubMessage]:
        self._require_entered()
        return await self._queue.next_batch(most)

    # -- for operators and the worker --------------------------------------------------------------

    @property
    def name(self) -> str:
        """The object's name in the supervision tree; empty before it is entered."""
        tree = self._session.tree
        return "" if tree is None else tree.name

    @property
    def _known_tree(self) -> PubSubTree:
        """The tree, also of an object that has failed or was left."""
        return self._session.tree or self._session.require_open()

    def nodes(self) -> list[str]:
        """Return the connected nodes."""
        return list(self._session.require_open().reconciler.subscribers)

    def sources(self) -> dict[str, list[Target]]:
        """Return the live targets, by the node whose messages are delivered."""
        return introspection.sources(self._session.require_open())

    def unconfirmed(self) -> list[Target]:
        """Return the desired targets that are live on no node.

        Raises:
            ConnectionError: the pubsub was not entered.
        """
        return introspection.unconfirmed(self._known_tree)

    def stats(self) -> PubSubStats:
        """Return the object's counters; they stay known when it has failed or was left.

        Raises:
            ConnectionError: the pubsub was not entered.
        """
        return introspection.stats(self._known_tree)

    def missing_since(self) -> float | None:
        """Return since when messages may have been missed that no gap has reported yet, or None.

        The time is by the clock of the event loop. It stays known when the object has failed.

        Raises:
            ConnectionError: the pubsub was not entered.
        """
        return introspection.missing_since(self._known_tree)

    def refusing(self) -> dict[str, str]:
        """Return the nodes that refuse new connections, each with what it said.

        A wrong password or an unknown user at one node of a cluster, for instance; the other nodes
        go on, and this one is asked again now and then.
        """
        return introspection.refusing(self._known_tree)

    def restart_reader(self, node: str, *, proven_at: float | None = None) -> None:
        """Replace the connection to ``node``, which answers but does not deliver.

        Args:
            node: one of :meth:`nodes`; for another one nothing happens.
            proven_at: the loop's time of the last proof that the connection delivers. The gap then
                begins there, and not with the last byte, which proves less.
        """
        introspection.restart_reader(self._session.require_open(), node, proven_at)

    def handlers_only(self) -> None:
        """Promise that nobody will call ``get_message``: nothing is counted for it any more."""
        self._queue.pending_nones.refuse()
