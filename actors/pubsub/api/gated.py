"""A pub/sub object whose names several processes own together: what a worker's fleet asks of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.subscription_calls import confirmed
from actors.pubsub.connection.gate import Gate
from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.lifecycle.manager import Drain, Subscribe, Unhandled
from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import Gap, Kind, Target
from actors.pubsub.subscriptions.pending_calls import Call
from actors.pubsub.subscriptions.registry import Subscription
from actors.redis.exceptions import ConnectionError  # noqa: A004


class Takeover(msgspec.Struct, frozen=True):
    """Another process had a name, and this one has it next.

    Attributes:
        since: what came after this time (Unix seconds) the other process may not have handled;
            None: it handles all that came before the hand-over.
        reason: why, in words.
    """

    since: float | None
    reason: str


class GatedPubSub:
    """Subscribes to names and leaves them as their owners change.

    Every method but :meth:`want` takes effect within the call. Names that are not subscribed are
    left out.

    Args:
        pubsub: the pub/sub object, not entered yet.
        gate: stands at its connections.
    """

    def __init__(self, pubsub: BasePubSub[Any], gate: Gate) -> None:
        self.pubsub = pubsub
        self._gate = gate
        # What was wanted last, by target: the manager may not have come to it yet.
        self._wanted: dict[Target, Subscription] = {}
        pubsub._gate = gate

    @property
    def _tree(self) -> PubSubTree:
        return self.pubsub._session.require_open()

    async def want(
        self,
        kind: Kind,
        handlers: Mapping[Any, Any],
        takeover_of: Callable[[bytes], Takeover | None],
    ) -> Call:
        """Want names; return the call, which is done when servers have answered for each of them.

        They stay wanted whatever servers answer.

        Args:
            kind: their kind.
            handlers: by name.
            takeover_of: says for a name whether another process had it before.
        """
        calls, session, tree = self.pubsub._calls, self.pubsub._session, self._tree
        subscriptions = await calls.prepare(kind, (), handlers)
        own = tree.registry.names.own
        unhandled: dict[Takeover, list[Target]] = {}
        for one in subscriptions:
            takeover = takeover_of(own(one.target).name)
            if takeover is not None:
                if one.intake is not None:
                    one.intake.take_over(takeover.since)
                if takeover.since is not None:
                    unhandled.setdefault(takeover, []).append(one.target)
        self._wanted.update((one.target, one) for one in subscriptions)
        call = session.track(Call([one.target for one in subscriptions], tree.system.loop))

        def settle(_: object) -> None:
            if session.is_open:
                tree.reconciler.calls.settle(call)

        call.future.add_done_callback(settle)
        tree.manager.tell(Subscribe(subscriptions, call))
        for takeover, targets in unhandled.items():
            assert takeover.since is not None
            self._tell_unhandled(targets, takeover.since, takeover.reason)
        return call

    def release(self, names: Iterable[bytes]) -> Awaitable[None]:
        """Want names no longer; return what waits until their handlers have handled what they have.

        Handlers that other names feed, too, are not waited for.
        """
        tree = self._tree
        found = self._subscriptions(names)
        for one in found:
            self._wanted.pop(one.target, None)
        call = self.pubsub._session.track(Call([one.target for one in found], tree.system.loop))
        if found:
            tree.manager.tell(Drain([one.target for one in found], call))
        return self._released(tree, call, found)

    async def _released(self, tree: PubSubTree, call: Call, found: list[Subscription]) -> None:
        try:
            if found:
                await confirmed(tree, call)
        except ConnectionError:
            return  # the pub/sub object ended meanwhile, and with it all handlers
        for consumer in {one.consumer for one in found if one.consumer is not None}:
            if not consumer.users:
                await consumer.handler.stopped()

    def take_over(self, name: bytes, takeover: Takeover) -> None:
        """Take that another process had ``name``, which is subscribed already, until now."""
        for one in self._subscriptions([name]):
            if one.intake is not None:
                one.intake.take_over(takeover.since)
            if takeover.since is not None:
                self._tell_unhandled([one.target], takeover.since, takeover.reason)

    def missed(self, names: Iterable[bytes], since: float, reason: str) -> None:
        """Take that what came of ``names`` after ``since`` (Unix seconds) was dropped until now.

        Where a gap is open, that one tells it.
        """
        found = self._subscriptions(names)
        if found:
            self._tell_unhandled([one.target for one in found], since, reason)

    def tell_gap(self, name: bytes, since: float, until: float, reason: str) -> None:
        """Tell the handlers of ``name`` a gap that nothing is recovered of (Unix seconds)."""
        for one in self._subscriptions([name]):
            gap = Gap(one.target.kind, one.label, since, until, reason)
            self._tree.registry.not_recovered(one.target, gap)

    def _tell_unhandled(self, targets: list[Target], since: float, reason: str) -> None:
        loop_time = self._tree.system.loop.time() - (time.time() - since)
        self._tree.manager.tell(Unhandled(targets, loop_time, reason))

    def give_up(self, names: Iterable[bytes]) -> None:
        """Take that another process has ``names`` from now on: what is not received is its own."""
        for one in self._subscriptions(names):
            if one.intake is not None:
                one.intake.give_up()
        if self.pubsub._session.is_open:
            flush(self._tree.registry.touched)

    def gate_changed(self, names: Iterable[bytes]) -> None:
        """The gate lets other messages of ``names`` pass than before."""
        found = self._subscriptions(names)
        if found:
            self._tree.reconciler.gate_changed([one.target for one in found])

    def are_live(self, names: Collection[bytes]) -> bool:
        """Return whether each of ``names`` is live on a node."""
        if not self.pubsub._session.is_open:
            return False
        own = self._tree.registry.names.own
        found = {own(one.target).name for one in self._subscriptions(names)}
        unconfirmed = {target.name for target in self.pubsub.unconfirmed()}
        return found.issuperset(names) and unconfirmed.isdisjoint(names)

    def are_behind(self, names: Iterable[bytes]) -> bool:
        """Return whether a history of ``names`` is being read, or has to be."""
        found = self._subscriptions(names)
        histories = self._tree.registry.histories if found else None
        return histories is not None and any(one.intake in histories.behind for one in found)

    def discard(self, names: Iterable[bytes]) -> int:
        """Drop the messages that wait for handlers; return how many there were."""
        tree = self.pubsub._session.tree
        if tree is None:
            return 0
        return tree.registry.discard(one.target for one in self._subscriptions(names))

    def drop_recovered(self, names: Iterable[bytes]) -> None:
        """Take that another process reads from histories what waits for handlers of ``names``."""
        found = [one for one in self._subscriptions(names) if one.intake is not None]
        if found:
            self._drop(found)

    def stop(self, names: Iterable[bytes], reason: str) -> None:
        """Own nothing any more: end the subscriptions of ``names`` and all connections, at once."""
        self._gate.close(reason)
        found = self._subscriptions(names)
        self._wanted.clear()
        if not found:
            return
        self._drop(found)
        tree = self._tree
        reconciler = tree.reconciler
        for subscriber in list(reconciler.subscribers.values()):
            reconciler.on_disconnected(subscriber, reason)
        targets = [one.target for one in found]
        reconciler.calls.unsubscribe(targets, Call((), tree.system.loop))

    def _drop(self, found: list[Subscription]) -> None:
        """Drop what waits for handlers, and write their positions no longer."""
        for one in found:
            if one.intake is not None:
                one.intake.stop_keeping()
        self._tree.registry.discard(one.target for one in found)

    def _subscriptions(self, names: Iterable[bytes]) -> list[Subscription]:
        tree = self.pubsub._session.tree
        if tree is None or not self.pubsub._session.is_open:
            return []
        registry = tree.registry
        kinds = (Kind.SHARD,) if self.pubsub._channel_kind is Kind.SHARD else _PLAIN
        targets = (
            target
            for name in names
            for kind in kinds
            for target in registry.spread(registry.names.wire(Target(kind, name)))
        )
        known = registry.subscriptions
        found = (known.get(target) or self._wanted.get(target) for target in targets)
        return [one for one in found if one is not None and not one.draining]


_PLAIN = (Kind.CHANNEL, Kind.PATTERN)
