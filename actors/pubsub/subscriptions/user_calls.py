"""The user's calls: subscribe, unsubscribe, drain, and what becomes of a call that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.confirmations import Confirmations
from actors.pubsub.subscriptions.obstacles import Obstacles
from actors.pubsub.subscriptions.pending_calls import Call, PendingCalls
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.refusals import Refusals
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.subscriptions.routes import FeedRoutes
from actors.pubsub.subscriptions.sender import Sender
from actors.pubsub.table.state import Command, NodeId
from actors.pubsub.table.table import Table


class UserCalls:
    """Changes what is wanted (P1), and finishes calls when servers have confirmed.

    Attributes:
        subscribing: the ``subscribe`` calls that wait for a confirmation, by target.
        unsubscribing: the ``unsubscribe`` and ``drain`` calls that wait, by target.
        obstacles: why targets are not live yet.

    Args:
        registry: what is wanted, and who consumes it.
        table: what there is.
        sender: carries out what follows.
        placement: where targets belong.
        refusals: forgiven where the user asks for a target again.
        loop: the event loop.
    """

    def __init__(
        self,
        registry: SubscriptionRegistry,
        table: Table,
        sender: Sender,
        placement: Placement,
        refusals: Refusals,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.subscribing = PendingCalls()
        self.unsubscribing = PendingCalls()
        self.obstacles = Obstacles(placement, registry.names.own)
        self._registry = registry
        self._table = table
        self._sender = sender
        self._placement = placement
        self._refusals = refusals
        self._loop = loop
        self._confirmations = Confirmations(registry, table, placement)
        # The subscribe calls, in order, that neither settle() nor give_up() has ended.
        self._unsettled: dict[Call, None] = {}

    @property
    def _routes(self) -> FeedRoutes:
        return self._sender.routes

    def inherit(self, former: UserCalls) -> None:
        """Take over the calls that waited at a crashed manager."""
        self.subscribing, self.unsubscribing = former.subscribing, former.unsubscribing
        self._unsettled = former._unsettled
        for target in self.unsubscribing.targets():
            if target not in self._table.rows:
                self.unsubscribing.done(target)

    # -- calls -------------------------------------------------------------------------------------

    def subscribe(self, subscriptions: list[Subscription], call: Call) -> None:
        """Want these targets; ``call`` is done when they are live, or nothing can be connected.

        A target that is wanted already keeps its consumer until :meth:`settle`. The caller ends the
        call by that, or by :meth:`give_up`.
        """
        self._unsettled[call] = None
        commands: list[Command] = []
        counts: dict[NodeId | None, int] = {}
        places = self._placement.places_of([one.target for one in subscriptions])
        for subscription, where in zip(subscriptions, places, strict=True):
            target = subscription.target
            known = self._registry.subscriptions.get(target)
            if known is None or known.draining:
                call.fresh[target] = subscription
                self._registry.put(subscription)
            else:
                call.swaps[target] = subscription
            self._refusals.forgive(target)
            self.unsubscribing.done(target)  # overtaken: the target is wanted again
            row = self._table.rows.get(target)
            if row is not None and row.wanted and row.is_live(row.source):
                # All targets of a call are of one kind, and none becomes live in this loop.
                if row.source not in counts:
                    counts[row.source] = self._confirmations.count(row.source, target)
                self._confirmations.surface(target, True, counts[row.source])
                call.done(target)
                continue
            commands += self._table.want(target, where)
            if self._placement.hopeless(target):
                # No node that could take it is connected: the target stays wanted, and the time
                # until it is live is a gap like any other.
                self._table.open_gap(
                    target, self._loop.time(), "not connected when it was subscribed"
                )
                call.done(target)
            else:
                self.subscribing.add(target, call)
        self._sender.execute(commands)
        flush(self._registry.touched)

    def unsubscribe(self, targets: Sequence[Target], call: Call) -> None:
        """Want these targets no longer; ``call`` is done when no node has them."""
        self._overtake(targets)
        commands: list[Command] = []
        for target in targets:
            known = self._registry.drop(target)
            self._refusals.forgive(target)
            row = self._table.rows.get(target)
            if row is None:
                self._confirmations.surface(target, False, self._confirmations.total(target))
                call.done(target)
                continue
            if known:
                self.subscribing.done(target)
            was_live = bool(row.nodes)
            self.unsubscribing.add(target, call)
            commands += self._table.unwant(target)
            if target not in self._table.rows:
                if not was_live:
                    self._confirmations.surface(target, False, self._confirmations.total(target))
                self._forget_name(target)
                self.unsubscribing.done(target)
        self._sender.execute(commands)
        flush(self._registry.touched)

    def drain(self, targets: Sequence[Target], call: Call) -> None:
        """Want these targets no longer, and deliver what comes until no node has them."""
        self._overtake(targets)
        commands: list[Command] = []
        for target in targets:
            self._registry.begin_drain(target)
            self._refusals.forgive(target)
            self.subscribing.done(target)
            self.unsubscribing.add(target, call)
            commands += self._table.unwant(target, drain=True)
            if target not in self._table.rows:
                self.ended(target)
        self._sender.execute(commands)
        flush(self._registry.touched)

    def settle(self, call: Call) -> None:
        """End a ``subscribe`` call that succeeded: its subscriptions replace earlier ones.

        The caller does so itself, in the step in which it takes the call's success. Until then the
        call may be cancelled, and then it leaves nothing of itself.
        """
        self._unsettled.pop(call, None)
        registry = self._registry
        for target, subscription in call.swaps.items():
            registry.put(subscription)
            self._routes.update(target)
        for target, subscription in (*call.fresh.items(), *call.swaps.items()):
            if registry.subscriptions.get(target) is subscription and not subscription.draining:
                registry.show(subscription)
        flush(registry.touched)

    def give_up(self, call: Call) -> None:
        """Forget what a failed or cancelled ``subscribe`` call alone asked for."""
        self._unsettled.pop(call, None)
        self.subscribing.forget(call)
        commands: list[Command] = []
        for target in call.open:
            self.obstacles.forget(target)
        for subscription in call.swaps.values():
            subscription.drain()
        call.swaps.clear()
        for target, subscription in call.fresh.items():
            if self._registry.subscriptions.get(target) is not subscription:
                continue  # another call's by now
            if heir := next((other for other in self._unsettled if target in other.swaps), None):
                # Another call asked for the target, too, which is that call's from now on.
                heir.fresh[target] = heir.swaps.pop(target)
                self._registry.put(heir.fresh[target])
                self._routes.update(target)
                continue
            self._registry.drop(target)
            self._refusals.forgive(target)
            commands += self._table.unwant(target)
            self._forget_name(target)
        self._sender.execute(commands)
        flush(self._registry.touched)

    def _forget_name(self, target: Target) -> None:
        """Forget for which channel ``target`` is subscribed to, once no node has it any more."""
        registry, rows = self._registry, self._table.rows
        if not any(one in rows or one in registry.subscriptions for one in registry.spread(target)):
            registry.names.forget(target)

    def _overtake(self, targets: Sequence[Target]) -> None:
        """``targets`` end: what ``subscribe`` calls before this asked for them is void."""
        ending = set(targets) if self._unsettled else ()
        for call in self._unsettled:
            for target in call.swaps.keys() & ending:
                call.swaps.pop(target).drain()

    # -- what finishes them ------------------------------------------------------------------------

    def confirmed(self, target: Target, count: int) -> None:
        """Finish the calls that wait for ``target``: it is live."""
        if self._refusals:
            self._refusals.forgive(target)
        self._confirmations.surface(target, True, count)
        if self.subscribing:
            self.obstacles.forget(target)
            self.subscribing.done(target)

    def ended(self, target: Target, count: int | None = None) -> None:
        """Finish the calls that wait for the end of ``target``: no node has it any more."""
        self._registry.drop(target)
        total = self._confirmations.total(target) if count is None else count
        self._confirmations.surface(target, False, total)
        self._forget_name(target)
        self.unsubscribing.done(target)
        if not self._registry.subscriptions:
            self._registry.message_queue.wake_all()  # iteration ends: nothing is subscribed

    def queue_hopeless(self, reason: str) -> None:
        """Finish the calls that wait for unreachable nodes: their targets stay wanted."""
        if not self.subscribing:
            return
        now = self._loop.time()
        for target in self.subscribing.targets():
            if self._placement.hopeless(target):
                self._table.open_gap(target, now, reason)
                self.subscribing.done(target)

    def obstacle(self, call: Call) -> str:
        """Return in words why a target of ``call`` is not live yet; empty: nobody knows."""
        table = self._table
        for target in call.open:
            if obstacle := self.obstacles.of(target, table.rows.get(target), table.up):
                return obstacle
        return ""
