"""Subscribe, unsubscribe and drain as the user calls them: tell the manager, and wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from math import inf
from typing import TYPE_CHECKING, Any

from actors.pubsub.handlers.handler import Handler
from actors.pubsub.lifecycle.handler_factory import HandlerFactory
from actors.pubsub.lifecycle.manager import Drain, GiveUp, Subscribe, Unsubscribe
from actors.pubsub.lifecycle.session import Session
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.names import consumers
from actors.pubsub.model.recover import Recover
from actors.pubsub.model.types import Kind, PubSubMessage, Target
from actors.pubsub.subscriptions.pending_calls import Call
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.wire.patience import Patience
from actors.runtime.collector import FREEZER, collection_paused
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.lifecycle.recoveries import Recoveries

log = get_logger("mailslot.pubsub")

# Handlers that are spawned at once: about ten milliseconds of the event loop.
_PORTION = 250
# Seconds between two looks of a drain at the nodes that it waits for. It waits no longer for a node
# that has sent no byte for so many seconds.
_LOOK, _PATIENCE = 0.25, 2.0
# What an acknowledgement of the end of all subscriptions begins with.
_PREFIXES = {Kind.CHANNEL: "", Kind.PATTERN: "p", Kind.SHARD: "s"}


class SubscriptionCalls:
    """The calls of one pub/sub object.

    Attributes:
        channels: the subscribed channels, or shard channels, each with its handler or None.
        patterns: the subscribed patterns, in the same way.
        handler_factory: starts handlers; set when the session opens.
        make_recoveries: makes what recovering channels need; set when the session opens.

    Args:
        session: the pub/sub object's.
        recover: whether consumers recover that say nothing.
    """

    def __init__(self, session: Session, recover: Recover | bool | None) -> None:
        self.channels: dict[Any, Any] = {}
        self.patterns: dict[Any, Any] = {}
        self.handler_factory: HandlerFactory
        self.make_recoveries: Callable[[], Recoveries]
        self.recover = recover
        self._session = session

    @cached_property
    def _recoveries(self) -> Recoveries:
        return self.make_recoveries()

    def clear(self) -> None:
        """Forget all subscriptions: the session is closed."""
        self.channels.clear()
        self.patterns.clear()

    @property
    def shown(self) -> dict[Kind, dict[Any, Any]]:
        """The two attributes by kind, for the registry, which keeps them."""
        channels = self.channels
        return {Kind.CHANNEL: channels, Kind.SHARD: channels, Kind.PATTERN: self.patterns}

    # -- subscribe ---------------------------------------------------------------------------------

    async def subscribe(
        self,
        kind: Kind,
        names: Iterable[str | bytes],
        handlers: Mapping[Any, Any],
        timeout: float,
        patience: float | None = 0.0,
    ) -> None:
        """Subscribe to ``names`` and to the keys of ``handlers``.

        A call that fails or is cancelled leaves nothing of itself, whenever that happens.

        Args:
            kind: their kind.
            names: without a handler.
            handlers: by name.
            timeout: seconds in which all must be acknowledged.
            patience: seconds to wait instead, if that is longer, where a server refuses for the
                moment; None: no limit.
        """
        tree = self._session.require_here()
        subscriptions = await self.prepare(kind, names, handlers)
        if not subscriptions:
            return
        call = self._session.track(Call([one.target for one in subscriptions], tree.system.loop))
        tree.manager.tell(Subscribe(subscriptions, call))
        try:
            async with Patience(timeout, call.progress) as limit:
                latest = inf if patience is None else tree.system.loop.time() + patience
                call.on_refusal = partial(limit.extend, latest)
                await call.future
        except BaseException as error:
            call.on_refusal = lambda: None
            reconciler = tree.latest_reconciler
            obstacle = "" if reconciler is None else reconciler.calls.obstacle(call)
            if self._session.is_open and tree.manager.alive:
                tree.manager.tell(GiveUp(call))
            if isinstance(error, TimeoutError) and limit.expired():
                raise _too_late(call, timeout, obstacle) from None
            raise
        # In the step in which the call succeeds: a cancelled call has changed nothing.
        if self._session.is_open:
            tree.reconciler.calls.settle(call)
        FREEZER.added(len(subscriptions))

    async def prepare(
        self, kind: Kind, names: Iterable[str | bytes], handlers: Mapping[Any, Any]
    ) -> list[Subscription]:
        """Return subscriptions with running handlers, which nobody has asked a server for yet."""
        tree = self._session.require_open()
        registry = tree.registry
        wanted = consumers(names, handlers, registry.encode)
        if registry.names or self.recovers(wanted.values()):
            subscriptions = self._recoveries.subscriptions(kind, wanted)
        else:
            subscriptions = [
                Subscription(Target(kind, name), registry.label(name), registry.queue_writer)
                for name in wanted
            ]
        if subscriptions:
            await self._start_handlers(subscriptions, list(wanted.values()))
        if subscriptions and registry.nodes is not None:
            subscriptions = _on_each_node(registry, subscriptions)
        return subscriptions

    def recovers(self, callbacks: Iterable[Any]) -> bool:
        """Whether a consumer asks for recovery."""
        return bool(self.recover) or any(
            isinstance(one, Recover) or (isinstance(one, Handler) and one.recover)
            for one in callbacks
        )

    async def _start_handlers(
        self, subscriptions: list[Subscription], callbacks: Sequence[Any]
    ) -> None:
        """Spawn the handlers, in portions between which the event loop gets its turn."""
        pairs = zip(subscriptions, callbacks, strict=True)
        wanted = [pair for pair in pairs if not (pair[1] is None or isinstance(pair[1], Recover))]
        try:
            for start in range(0, len(wanted), _PORTION):
                if start:
                    await asyncio.sleep(0)
                    self._session.require_open()
                with collection_paused(len(wanted)):
                    for subscription, callback in wanted[start : start + _PORTION]:
                        self.handler_factory.start(subscription, callback)
        except BaseException:
            for subscription in subscriptions:
                subscription.drain()
            raise

    # -- unsubscribe and drain ---------------------------------------------------------------------

    async def unsubscribe(
        self, kind: Kind, names: Iterable[str | bytes], timeout: float, *, silent: bool
    ) -> None:
        """End the subscriptions of ``names``, or of all of ``kind`` if there are no names.

        They end also where the call is cancelled: then nobody waits for the acknowledgement.
        A server that does not acknowledge within ``timeout`` seconds is logged. With ``silent``
        acknowledgements are no messages.
        """
        tree = self._session.require_here()
        registry = tree.registry
        given = [
            registry.names.wire(Target(kind, name))
            for name in consumers(names, {}, registry.encode)
        ]
        targets = [target for one in given for target in registry.spread(one)]
        targets = targets or registry.targets(kind)
        if not targets:
            self._acknowledge_nothing(tree, kind, silent=silent)
            return
        call = self._session.track(Call(targets, tree.system.loop))
        tree.manager.tell(Unsubscribe(targets, call))
        try:
            async with Patience(timeout, call.progress):
                await call.future
        except TimeoutError:
            log.warning("unsubscribe_not_acknowledged", targets=len(call.open))
        except ConnectionError:
            pass  # the pub/sub object ended meanwhile, and with it all subscriptions
        self._end_iteration(registry)

    async def drain(self, timeout: float | None) -> bool:
        """End all subscriptions, and wait until the handlers have handled all messages.

        No message that a server has sent is lost: whatever it sent comes before its confirmation
        of the end, on the same connection. After the handlers, the failure sinks that must be
        awaited write what they have.

        Args:
            timeout: seconds for all of this; None: no limit.

        Returns:
            whether all messages were handled in time.
        """
        tree = self._session.require_here()
        subscriptions = tree.registry.subscriptions
        targets = list(subscriptions)
        handlers = [one.handler for one in subscriptions.values() if one.handler is not None]
        call = self._session.track(Call(targets, tree.system.loop))
        try:
            async with asyncio.timeout(timeout) as limit:
                if targets:
                    if tree.registry.names:
                        await self._recoveries.catch_up()
                    tree.manager.tell(Drain(targets, call))
                    await confirmed(tree, call)
                for handler in handlers:
                    await handler.stopped()
                if tree.written is not None:
                    await tree.written()
                if tree.keep_positions is not None:
                    await tree.keep_positions()
        except ConnectionError:  # the pub/sub object ended meanwhile, and with it all subscriptions
            return not any(handler.alive for handler in handlers)
        except (TimeoutError, asyncio.CancelledError) as error:
            if call.open and tree.manager.alive:
                tree.manager.tell(Unsubscribe(list(call.open), Call((), tree.system.loop)))
            if isinstance(error, TimeoutError) and limit.expired():
                return False
            raise
        finally:
            self._end_iteration(tree.registry)
        return True

    def _end_iteration(self, registry: SubscriptionRegistry) -> None:
        """Have iterators end if nothing is subscribed, also where a server has not confirmed it."""
        if not registry.subscriptions:
            registry.message_queue.wake_all()

    def _acknowledge_nothing(self, tree: PubSubTree, kind: Kind, *, silent: bool) -> None:
        """Answer an unsubscribe from all where there is nothing to unsubscribe from."""
        registry = tree.registry
        if silent:
            registry.message_queue.pending_nones.add(1)
            return
        message: PubSubMessage = {
            "type": f"{_PREFIXES[kind]}unsubscribe",
            "pattern": None,
            "channel": None,
            "data": 0 if kind is Kind.SHARD else len(self.channels) + len(self.patterns),
        }
        registry.queue_writer.put(message)
        registry.queue_writer.flush()
        registry.touched.clear()


def _too_late(call: Call, timeout: float, obstacle: str) -> Exception:
    """Return the error of a call that was not acknowledged in time."""
    why = f"; {obstacle}" if obstacle else ""
    if call.refusal is not None:
        return type(call.refusal)(f"{call.refusal}: this did not pass in time{why}")
    return TimeoutError(
        f"Failed to receive acknowledgement of subscription within {timeout} seconds{why}"
    )


def _on_each_node(
    registry: SubscriptionRegistry, subscriptions: list[Subscription]
) -> list[Subscription]:
    spread = [one.on(target) for one in subscriptions for target in registry.spread(one.target)]
    for one in subscriptions:
        one.drain()  # the handler is that of the subscriptions on the nodes
    if not spread:
        raise ConnectionError("the cluster has no primary to subscribe on")
    return spread


async def confirmed(tree: PubSubTree, call: Call) -> None:
    """Wait until each node has confirmed the end of its subscriptions, or is silent."""
    now = tree.system.loop.time
    begun = now()
    while True:
        done, _ = await asyncio.wait([call.future], timeout=_LOOK)
        if done:
            call.future.result()
            return
        reconciler = tree.reconciler
        if reconciler.waits_for_handlers:
            begun = now()  # reading is paused: silence proves nothing
            continue
        for subscriber in reconciler.holders(call.open):
            quiet = now() - max(begun, subscriber.connection.last_read)
            if quiet > _PATIENCE:
                log.warning(
                    "unsubscribe_not_acknowledged", node=subscriber.node, targets=len(call.open)
                )
                subscriber.connection.abort(
                    ConnectionError(f"{subscriber.node}: silent after an unsubscribe")
                )
