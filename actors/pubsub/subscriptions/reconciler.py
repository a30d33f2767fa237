"""The reconciler: tells the table what connections report, and has what follows carried out.

It is called, not told: a confirmation, a revocation or a lost connection changes routes within the
very callback that reports it, so that no message slips between a fact and its consequence. What
takes time, connecting, asking the cluster, waiting, is the manager's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from actors.pubsub.connection.backpressure import Backpressure
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.pending_calls import named
from actors.pubsub.subscriptions.placement import Placement, PlacementEvents
from actors.pubsub.subscriptions.refusals import Refusals
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.subscriptions.sender import Sender
from actors.pubsub.subscriptions.user_calls import UserCalls
from actors.pubsub.table.state import Command, Handover, NodeId, SetSource
from actors.pubsub.table.table import Table
from actors.redis.error_meaning import will_pass
from actors.redis.exceptions import RedisError


class Reconciler:
    """The synchronous heart of one pub/sub object.

    Attributes:
        registry: what is wanted, and who consumes it.
        table: what is wanted against what there is.
        subscribers: the connections, by node.
        refusals: targets that a node refused for good.
        sender: carries out the table's commands.
        calls: the user's calls.
        clock: merges and hand-overs wait by this clock. The role says when the loop comes by next;
            while that is overdue, the clock stands still.
        retry_soon: called when a server refused targets for the moment: :meth:`refused_for_now`.
    """

    def __init__(
        self,
        registry: SubscriptionRegistry,
        placement: Placement,
        events: PlacementEvents,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.registry = registry
        self.table = Table()
        self.subscribers: dict[NodeId, Subscriber] = {}
        self.refusals = Refusals()
        self.retry_soon: Callable[[], None] = lambda: None
        self._placement = placement
        self._events = events
        self._loop = loop
        # The targets without a source, and the table's version that says so.
        self._homeless: tuple[int, list[Target]] = (-1, [])
        self._paused = Backpressure(self.subscribers, loop)
        self.clock = ListeningClock(loop.time)
        self.sender = Sender(
            registry, self.table, self.subscribers, placement, self.refusals, loop, self.clock
        )
        self.calls = UserCalls(registry, self.table, self.sender, placement, self.refusals, loop)
        registry.pause = self._paused.add
        for target, subscription in list(registry.subscriptions.items()):
            if subscription.draining:  # its connections ended with the last manager
                registry.drop(target)
            else:
                self.sender.execute(self.table.want(target, placement.places(target)))

    def inherit(self, former: Reconciler) -> None:
        """Take over from a crashed manager's reconciler: open gaps, refusals, calls that wait."""
        for target, row in former.table.rows.items():
            if row.gap_since is not None:
                self.table.open_gap(target, row.gap_since, row.gap_reason)
        self.refusals.inherit(former.refusals, set(self.table.rows))
        self.calls.inherit(former.calls)

    # -- what connections report -------------------------------------------------------------------

    def on_connected(self, subscriber: Subscriber) -> None:
        """A node has a new connection."""
        if subscriber.node in self.subscribers:
            former = self.subscribers[subscriber.node]
            self.on_disconnected(former, "replaced by a new connection")
        self.subscribers[subscriber.node] = subscriber
        if self._paused:
            subscriber.connection.pause_reading()
        self.sender.execute(self.table.node_up(subscriber.node))
        if self._events.found(subscriber.node):
            self.replace()
        flush(self.registry.touched)

    def on_disconnected(
        self, subscriber: Subscriber, reason: str, *, proven_at: float | None = None
    ) -> None:
        """A node's connection ended.

        Args:
            subscriber: the connection's.
            reason: why it ended.
            proven_at: the last proof of life, where what the connection read proves nothing.
        """
        if subscriber.side is not None:
            subscriber.side.closed()
        if self.subscribers.get(subscriber.node) is not subscriber:
            return
        del self.subscribers[subscriber.node]
        self.registry.received += subscriber.received
        last = subscriber.connection.proof
        heard = last if proven_at is None else min(proven_at, last)
        proof = self._placement.complete(subscriber.node, heard)
        self.sender.execute(self.table.node_down(subscriber.node, proof, reason))
        self.sender.routes.node_lost(subscriber.node)
        for target in self.calls.unsubscribing.targets():
            if target not in self.table.rows:
                self.calls.ended(target)
        if self._events.lost(subscriber.node):
            self.replace()
        self.calls.queue_hopeless(reason)
        flush(self.registry.touched)

    def on_confirmed(
        self, subscriber: Subscriber, target: Target, subscribed: bool, count: int
    ) -> None:
        """The node confirmed a command for ``target``; ``count``: its subscriptions since then."""
        row = self.table.rows.get(target)
        if row is None:
            return
        if not subscribed:
            self.sender.execute(self.table.removed(subscriber.node, target))
            if target not in self.table.rows:
                self.calls.ended(target, count)
            elif row.draining:
                self.sender.routes.update_merged(target)
            return
        was_live = row.source is not None
        commands = self.table.confirmed(subscriber.node, target, subscriber.connection.last_read)
        self.sender.execute(commands)
        if was_live:
            if not any(type(command) in (SetSource, Handover) for command in commands):
                self.sender.routes.update_merged(target)
        elif row.source == subscriber.node:
            self.calls.confirmed(target, count)

    def on_revoked(self, subscriber: Subscriber, target: Target, count: int) -> None:
        """The node ended the subscription of ``target`` by itself (P5)."""
        row = self.table.rows.get(target)
        if row is None or subscriber.node not in row.nodes:
            return
        self.registry.revocations += 1
        # First where the target belongs now, so that it is asked for there and nowhere else.
        revocation = self._events.revoked(subscriber.node, target)
        heard = subscriber.connection.proof  # the subscription had not ended then
        self.sender.execute(
            [
                *self.table.place(target, self._placement.places(target)),
                *self.table.revoked(
                    subscriber.node,
                    target,
                    self._placement.complete(subscriber.node, heard),
                    promoted=revocation.promoted,
                    heard=heard,
                    missed_until=subscriber.connection.last_read if revocation.missed else None,
                ),
            ]
        )
        self.sender.routes.revoked(target, subscriber.node)
        if target not in self.table.rows:
            self.calls.ended(target, count)

    def on_refused(self, subscriber: Subscriber, targets: list[Target], error: RedisError) -> None:
        """The node answered a subscription with an error (P11)."""
        commands: list[Command] = []
        for target in targets:
            commands += self.table.refused(subscriber.node, target)
        self.sender.execute(commands)
        passes = will_pass(error)
        if passes:
            self.calls.subscribing.delay(targets, error)
        redirected = self._events.redirected(subscriber.node, targets, error)
        if redirected or passes:
            waited = [target for target in targets if target in self.calls.subscribing]
            self.calls.obstacles.note(subscriber.node, waited, error)
        if redirected:
            return
        if passes:
            self.sender.reports.delay(targets, subscriber.node, error)
            self.retry_soon()
            return
        error = named(error, targets, self.registry.names.own)
        unwaited = [target for target in targets if not self.calls.subscribing.fail(target, error)]
        for target in targets:
            if target in self.table.rows:
                self.refusals.add(target)
            else:
                self.registry.drop(target)
                self.calls.unsubscribing.done(target)
        if len(targets) > 1:
            # The fault of one of them, maybe: from now on each is asked for alone.
            self.retry(unwaited)
        elif unwaited and self.refusals.is_news(targets[0]):
            self.sender.reports.denial(targets[0], subscriber.node, error)

    def on_batch_done(self, subscriber: Subscriber) -> None:
        """All that was read has been handled."""
        self.sender.reports.batch_done()

    # -- what the manager and its role report ------------------------------------------------------

    def replace(self, targets: Iterable[Target] | None = None) -> None:
        """Look again where targets belong: the topology or the health of nodes has changed."""
        some = list(self.table.rows if targets is None else targets)
        self.sender.execute(self.table.place_all(some, self._placement.places_of(some)))

    def retry(self, targets: Iterable[Target]) -> None:
        """Ask again the nodes that refused ``targets``."""
        self.sender.execute(self.table.retry(targets))

    def finish_handovers(self, seconds: Callable[[Handover], float | None]) -> None:
        """End the handovers for which ``seconds`` says when; None: they go on."""
        for target, row in list(self.table.rows.items()):
            if row.leaving is None or row.source is None:
                continue
            handover = Handover(target, row.leaving, row.source)
            left = seconds(handover)
            if left is not None:
                self.sender.handovers.hasten(handover, left)

    def misplaced(self, node: NodeId, targets: Iterable[Target], proof: float, why: str) -> None:
        """``node`` receives ``targets`` no longer, without having said so."""
        commands: list[Command] = []
        proof = self._placement.complete(node, proof)
        for target in targets:
            commands += self.table.misplaced(node, target, proof, why)
        self.sender.execute(commands)

    def doubt(self, node: NodeId, proof: float, reason: str) -> None:
        """``node`` may have received nothing since ``proof``, though its connection is there."""
        self.table.doubt(node, self._placement.complete(node, proof), reason)

    def started(self, node: NodeId, linked_at: float) -> None:
        """``node`` was just started: others may not reach it before ``linked_at``."""
        self.table.started(node, linked_at)

    def trust(self, node: NodeId, *, nothing_lost: bool) -> None:
        """``node`` surely receives what it should; ``nothing_lost``: it did so all the time."""
        commands = self.table.trust(node, self._loop.time(), nothing_lost=nothing_lost)
        self.sender.execute(commands)
        flush(self.registry.touched)

    def missed(self, targets: Iterable[Target], since: float, until: float, reason: str) -> None:
        """What was accepted of ``targets`` between these times may have reached nobody."""
        self.sender.execute(self.table.missed(targets, since, until, reason))
        flush(self.registry.touched)

    def gate_changed(self, targets: Iterable[Target]) -> None:
        """The gate lets other messages of ``targets`` pass than before."""
        for target in targets:
            if target in self.table.rows:
                self.sender.routes.update(target)
        flush(self.registry.touched)

    def unhandled(self, targets: Iterable[Target], since: float, reason: str) -> None:
        """What was accepted of ``targets`` since then was not handled, until they are live."""
        for target in targets:
            if self.is_served(target):
                self.missed([target], since, self._loop.time(), reason)
            else:
                self.table.open_gap(target, since, reason)

    def update_routes(self) -> None:
        """The placement trusts another node than before, or no longer."""
        self.sender.routes.update_all()
        flush(self.registry.touched)

    def expire(self) -> bool:
        """Let go what merges have held for too long; return whether there are any merges."""
        merging = self.sender.routes.expire()
        flush(self.registry.touched)
        return merging

    def close(self) -> None:
        """Report what has not been reported, and read on everywhere."""
        self.registry.pause = lambda _: None
        self.sender.reports.close()
        self._paused.cancel()

    # -- questions ---------------------------------------------------------------------------------

    def homeless(self) -> Sequence[Target]:
        """Return the wanted targets without a live source."""
        if self._homeless[0] != self.table.version:
            rows = self.table.rows.items()
            homeless = [target for target, row in rows if row.wanted and row.source is None]
            self._homeless = self.table.version, homeless
        return self._homeless[1]

    def refused_for_now(self) -> list[Target]:
        """Return the targets that a node has refused, and none for good."""
        return [t for t, row in self.table.rows.items() if row.blocked and t not in self.refusals]

    def is_served(self, target: Target) -> bool:
        """Return whether a node feeds ``target``."""
        row = self.table.rows.get(target)
        return row is not None and row.source is not None

    def holders(self, targets: Iterable[Target]) -> list[Subscriber]:
        """Return the connections on which one of ``targets`` is not absent."""
        rows, subscribers = self.table.rows, self.subscribers
        nodes = {node for target in targets if target in rows for node in rows[target].nodes}
        return [subscribers[node] for node in nodes if node in subscribers]

    @property
    def paused(self) -> bool:
        """Whether nothing is read because a consumer has to catch up."""
        return bool(self._paused)

    @property
    def waits_for_handlers(self) -> bool:
        """Whether that consumer is a handler, which catches up whatever its user does."""
        own = self.registry.message_queue.mailbox
        return any(mailbox is not own for mailbox in self._paused)
