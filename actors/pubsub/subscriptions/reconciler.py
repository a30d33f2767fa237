"""The reconciler: carries out the table's commands, and tells the table what connections report.

It is called, not told: an acknowledgement, a revocation or a lost connection changes routes within
the very callback that reports it, so that no message slips between a fact and its consequence.
Whatever takes time, connecting, asking the cluster, waiting, is the manager's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from actors.pubsub.connection.backpressure import Backpressure
from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.confirmations import Confirmations
from actors.pubsub.subscriptions.gap_reports import GapReports
from actors.pubsub.subscriptions.handovers import Handovers
from actors.pubsub.subscriptions.pending_calls import Call, PendingCalls, named
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.pubsub.subscriptions.routes import FeedRoutes
from actors.pubsub.table.state import (
    Command,
    GapEnded,
    Handover,
    NodeId,
    SetSource,
    Subscribe,
    Unsubscribe,
)
from actors.pubsub.table.table import Table
from actors.redis.exceptions import RedisError

__all__ = ["Placement", "Reconciler"]

#: Commands of which what is to be sent is sent in one write.
_SENT_TOGETHER = 1000

#: Targets for one command: subscribe or not, the node, the kind, the group, the target that is
#: to be alone.
Batches = dict[tuple[bool, NodeId, Kind, int, Target | None], list[Target]]


class Reconciler:
    """The synchronous heart of one pub/sub object."""

    def __init__(
        self, registry: SubscriptionRegistry, placement: Placement, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.registry = registry
        self.table = Table()
        self.subscribers: dict[NodeId, Subscriber] = {}
        #: Targets that a node refused for good: asked again by the manager, now and then, each
        #: by a command of its own, so that one that may not be had costs the others nothing.
        self.refused: set[Target] = set()
        self._denied: set[Target] = set()  # those of which the log says so
        self._placement = placement
        self._loop = loop
        self._subscribing = PendingCalls()
        self._unsubscribing = PendingCalls()
        self._pauses = Backpressure(self.subscribers, loop)
        self._reports = GapReports(registry, loop)
        self._confirmations = Confirmations(registry, self.table, placement)
        self._handovers = Handovers(loop, self._end_handovers)
        self.routes = FeedRoutes(
            registry, self.table, self.subscribers, placement, loop.time, self._came_too_late
        )
        registry.pause = self._pauses.add
        for target, subscription in list(registry.subscriptions.items()):
            if subscription.draining:  # its connections ended with the last manager
                registry.drop(target)
            else:
                self._execute(self.table.want(target, placement.places(target)))

    def inherit(self, former: Reconciler) -> None:
        """Take over from a crashed manager's reconciler: open gaps, refusals, who waits."""
        for target, row in former.table.rows.items():
            if row.gap_since is not None:
                self.table.open_gap(target, row.gap_since, row.gap_reason)
        for call in former._subscribing.all():
            call.succeed = self._swap
        self.refused = former.refused & self.table.rows.keys()
        self._denied = former._denied & self.refused
        self._subscribing, self._unsubscribing = former._subscribing, former._unsubscribing
        for target in self._unsubscribing.targets():
            if target not in self.table.rows:
                self._unsubscribing.done(target)

    # -- the user's calls --------------------------------------------------------------------------

    def subscribe(self, subscriptions: list[Subscription], call: Call) -> None:
        """Desire these targets; ``call`` is done when they are live, or queued (P1).

        A target that is desired already keeps its consumer until then, and if the call fails.
        """
        call.succeed = self._swap
        commands: list[Command] = []
        now = self._loop.time()
        counts: dict[NodeId | None, int] = {}
        places = self._placement.places_of([one.target for one in subscriptions])
        for subscription, where in zip(subscriptions, places, strict=True):
            target = subscription.target
            known = self.registry.subscriptions.get(target)
            if known is None or known.draining:
                call.fresh[target] = subscription
                self.registry.put(subscription)
            else:
                call.swaps[target] = subscription
            self._forgive(target)
            self._unsubscribing.done(target)  # overtaken: it is desired again
            row = self.table.rows.get(target)
            if row is not None and row.wanted and row.is_live(row.source):
                # All of a call are of one kind, and none is live by this loop.
                if row.source not in counts:
                    counts[row.source] = self._confirmations.count(row.source, target)
                self._confirmations.surface(target, True, counts[row.source])
                call.done(target)
                continue
            commands += self.table.want(target, where)
            if self._placement.hopeless(target):
                # Nothing is connected that could take it: the wish stands, and the time until it
                # comes true is a gap like any other.
                self.table.open_gap(target, now, "not connected when it was subscribed")
                call.done(target)
            else:
                self._subscribing.add(target, call)
        self._execute(commands)
        flush(self.registry.touched)

    def unsubscribe(self, targets: Iterable[Target], call: Call) -> None:
        """Desire these targets no longer; ``call`` is done when no node has them."""
        commands: list[Command] = []
        for target in targets:
            known = self.registry.drop(target)
            self._forgive(target)
            row = self.table.rows.get(target)
            if row is None:
                self._confirmations.surface(target, False, self._confirmations.total(target))
                call.done(target)
                continue
            if known:
                self._subscribing.done(target)
            was_live = bool(row.nodes)
            self._unsubscribing.add(target, call)
            commands += self.table.unwant(target)
            if target not in self.table.rows:
                if not was_live:
                    self._confirmations.surface(target, False, self._confirmations.total(target))
                self._unsubscribing.done(target)
        self._execute(commands)
        flush(self.registry.touched)

    def drain(self, targets: Iterable[Target], call: Call) -> None:
        """Desire these targets no longer, and take what comes until no node has them."""
        commands: list[Command] = []
        for target in targets:
            subscription = self.registry.subscriptions.get(target)
            if subscription is not None:
                subscription.draining = True
            self._forgive(target)
            self._subscribing.done(target)
            self._unsubscribing.add(target, call)
            commands += self.table.unwant(target, drain=True)
            if target not in self.table.rows:
                self._ended(target, self._confirmations.total(target))
        self._execute(commands)
        flush(self.registry.touched)

    def _ended(self, target: Target, count: int) -> None:
        """No node has ``target`` any more, as was wished."""
        self.registry.drop(target)
        self._confirmations.surface(target, False, count)
        self._unsubscribing.done(target)

    def _swap(self, call: Call) -> None:
        """``call`` succeeds: what it replaces is replaced now."""
        for target, subscription in call.swaps.items():
            if target in self.registry.subscriptions:
                self.registry.put(subscription)
                self.routes.update(target)
            else:
                subscription.drain()  # unsubscribed meanwhile
        call.swaps.clear()

    def give_up(self, call: Call) -> None:
        """A ``subscribe`` call ended without success: forget what it alone asked for (K8)."""
        self._subscribing.forget(call)
        commands: list[Command] = []
        for subscription in call.swaps.values():
            subscription.drain()
        call.swaps.clear()
        for target, subscription in call.fresh.items():
            if self.registry.subscriptions.get(target) is not subscription:
                continue  # another call's by now
            if heir := next((c for c in self._subscribing.of(target) if target in c.swaps), None):
                # Another call waits for it, too: from now on it is that one's.
                heir.fresh[target] = heir.swaps.pop(target)
                self.registry.put(heir.fresh[target])
                continue
            self.registry.drop(target)
            self._forgive(target)
            commands += self.table.unwant(target)
        self._execute(commands)

    # -- what subscribers report -------------------------------------------------------------------

    def on_connected(self, subscriber: Subscriber) -> None:
        """A node has a new connection."""
        if subscriber.node in self.subscribers:
            self.on_disconnected(self.subscribers[subscriber.node], "replaced by a new connection")
        self.subscribers[subscriber.node] = subscriber
        if self._pauses:
            subscriber.connection.pause_reading()
        self._execute(self.table.node_up(subscriber.node))
        if self._placement.found(subscriber.node):
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
        if self.subscribers.get(subscriber.node) is not subscriber:
            return
        del self.subscribers[subscriber.node]
        last = subscriber.connection.proof
        heard = last if proven_at is None else min(proven_at, last)
        proof = self._placement.complete(subscriber.node, heard)
        self._execute(self.table.node_down(subscriber.node, proof, reason))
        self.routes.node_lost(subscriber.node)
        for target in self._unsubscribing.targets():
            if target not in self.table.rows:
                self._ended(target, self._confirmations.total(target))
        if self._placement.lost(subscriber.node):
            self.replace()
        self.queue_hopeless(reason)
        flush(self.registry.touched)

    def queue_hopeless(self, reason: str) -> None:
        """Let calls go that wait for what cannot be had now: their wishes stand."""
        if not self._subscribing:
            return
        now = self._loop.time()
        for target in self._subscribing.targets():
            if self._placement.hopeless(target):
                self.table.open_gap(target, now, reason)
                self._subscribing.done(target)

    def on_confirmed(
        self, subscriber: Subscriber, target: Target, subscribed: bool, count: int
    ) -> None:
        """The node acknowledged a command."""
        row = self.table.rows.get(target)
        stray = row is None or (
            subscriber.node not in row.nodes and not row.is_tried(subscriber.node)
        )
        if subscribed and stray:
            # It was asked twice, and took the second one only, which nobody waits for any more.
            subscriber.unsubscribe(target.kind, [target.name])
            subscriber.send()
            return
        if row is None or (subscribed and row.is_live(subscriber.node)):
            return  # the latter: one of many tries, after another one was taken
        if not subscribed:
            self._execute(self.table.removed(subscriber.node, target))
            if target not in self.table.rows:
                self._ended(target, count)
            elif row.draining:
                self.routes.update_merged(target)
            return
        was_live = row.source is not None
        commands = self.table.confirmed(subscriber.node, target, subscriber.connection.last_read)
        self._execute(commands)
        if was_live:
            if not any(type(command) in (SetSource, Handover) for command in commands):
                self.routes.update_merged(target)
            self._placement.accepted(subscriber.node, target)
        if not was_live and row.source == subscriber.node:
            if self.refused or self._denied:
                self._forgive(target)
            self._confirmations.surface(target, True, count)
            if self._subscribing:
                self._subscribing.done(target)

    def on_revoked(self, subscriber: Subscriber, target: Target, count: int) -> None:
        """The node ended a subscription by itself (P5)."""
        row = self.table.rows.get(target)
        if row is None or subscriber.node not in row.nodes:
            return
        self.registry.revocations += 1
        # First where it belongs now, so that it is not asked for again where it no longer does.
        promoted = self._placement.revoked(subscriber.node, target)
        places = self._placement.places(target)
        heard = subscriber.connection.proof  # it had not said so then
        proof = self._placement.complete(subscriber.node, heard, target)
        giver = self._placement.giver(subscriber.node, target)
        missed = giver is not None and not row.was_live(giver, proof)
        self._execute(
            [
                *self.table.place(target, places),
                *self.table.revoked(
                    subscriber.node,
                    target,
                    proof,
                    promoted=promoted,
                    heard=max(heard, self._placement.replica_until(subscriber.node)),
                    missed_until=subscriber.connection.last_read if missed else None,
                ),
            ]
        )
        self.routes.revoked(target, subscriber.node)
        if target not in self.table.rows:
            self._ended(target, count)

    def on_refused(self, subscriber: Subscriber, targets: list[Target], error: RedisError) -> None:
        """The node answered a subscription with an error (P11)."""
        commands: list[Command] = []
        for target in targets:
            commands += self.table.refused(subscriber.node, target)
        self._execute(commands)
        if self._placement.redirected(subscriber.node, targets, error):
            return
        error = named(error, targets)
        unwaited = [target for target in targets if not self._subscribing.fail(target, error)]
        for target in targets:
            if target in self.table.rows:
                self.refused.add(target)
            else:
                self.registry.drop(target)
                self._unsubscribing.done(target)
        if len(targets) > 1:
            # It may be the fault of one of them: from now on each is asked alone.
            self.retry(unwaited)
        elif unwaited and targets[0] in self.refused and targets[0] not in self._denied:
            self._denied.add(targets[0])
            self._reports.denial(targets[0], subscriber.node, error)

    def _forgive(self, target: Target) -> None:
        self.refused.discard(target)
        self._denied.discard(target)

    def on_batch_done(self, subscriber: Subscriber) -> None:
        """All that was read has been handled."""
        self._reports.batch_done()

    # -- what the manager reports ------------------------------------------------------------------

    def replace(self, targets: Iterable[Target] | None = None) -> None:
        """Look again where targets belong: the topology changed."""
        some = list(self.table.rows if targets is None else targets)
        self._execute(self.table.place_all(some, self._placement.places_of(some)))

    def retry(self, targets: Iterable[Target] | None = None) -> None:
        """Ask again the nodes that refused ``targets``, or any but those refused for good."""
        if targets is None:
            targets = self.table.rows.keys() - self.refused
        self._execute(self.table.retry(targets))

    def handover_done(self, handover: Handover) -> None:
        """End a hand-over: the new source is alone."""
        self._execute(self._end_of(handover))
        flush(self.registry.touched)

    def _end_of(self, handover: Handover) -> list[Command]:
        row = self.table.rows.get(handover.target)
        if row is None or row.source != handover.new:
            return []
        return self.table.handover_done(handover.target, handover.old)

    def finish_handovers(self, seconds: Callable[[Handover], float | None]) -> None:
        """End the hand-overs for which ``seconds`` says when; None: they go on."""
        for target, row in list(self.table.rows.items()):
            if row.leaving is None or row.source is None:
                continue
            handover = Handover(target, row.leaving, row.source)
            left = seconds(handover)
            if left is not None:
                self._handovers.hasten(handover, left)

    def misplaced(self, node: NodeId, targets: Iterable[Target], proof: float, why: str) -> None:
        """``node`` silently stopped to receive ``targets``: look for another place."""
        commands: list[Command] = []
        proof = self._placement.complete(node, proof)
        for target in targets:
            commands += self.table.misplaced(node, target, proof, why)
        self._execute(commands)

    def doubt(self, node: NodeId, proof: float, reason: str) -> None:
        """``node`` may receive nothing since ``proof``, though its connection is there."""
        self.table.doubt(node, self._placement.complete(node, proof), reason)

    def missed(self, targets: Iterable[Target], since: float, until: float, reason: str) -> None:
        """What was accepted of ``targets`` between these times may have come to nobody."""
        self._execute(self.table.missed(targets, since, until, reason))
        flush(self.registry.touched)

    def trust(self, node: NodeId, *, nothing_lost: bool) -> None:
        """``node`` is sure to receive what it should; ``nothing_lost``: it always did."""
        commands = self.table.trust(node, self._loop.time(), nothing_lost=nothing_lost)
        self._execute(commands)
        flush(self.registry.touched)

    def retrust(self) -> None:
        """The placement trusts another node than before, or no longer."""
        self.routes.update_all()
        flush(self.registry.touched)

    def expire(self) -> bool:
        """Let go what merges held for too long; return whether there are any."""
        merging = self.routes.expire()
        flush(self.registry.touched)
        return merging

    def homeless(self) -> list[Target]:
        """Return the desired targets without a live source."""
        return [t for t, row in self.table.rows.items() if row.wanted and row.source is None]

    def holders(self, targets: Iterable[Target]) -> list[Subscriber]:
        """Return the connections on which any of ``targets`` is something."""
        rows, subscribers = self.table.rows, self.subscribers
        nodes = {node for target in targets if target in rows for node in rows[target].nodes}
        return [subscribers[node] for node in nodes if node in subscribers]

    def close(self) -> None:
        """Let everything go: calls that wait, pauses."""
        self.registry.pause = lambda _: None
        self._reports.close()
        self._pauses.cancel()

    # -- commands ----------------------------------------------------------------------------------

    def _execute(self, commands: list[Command]) -> None:
        batches: Batches = {}
        for number, command in enumerate(commands):
            target = command.target
            if batches and not number % _SENT_TOGETHER:
                # The server is at work on these while the next ones are made ready.
                self._send(batches)
                batches = {}
            # No match statement: this runs for each of thousands of acknowledgements.
            if isinstance(command, SetSource):
                self.routes.update(target)
            elif isinstance(command, GapEnded):
                self._reports.gap(command)
            elif isinstance(command, Subscribe):
                alone = target if target in self.refused else None
                key = (True, command.node, target.kind, self._placement.group(target), alone)
                batches.setdefault(key, []).append(target)
            elif isinstance(command, Unsubscribe):
                key = (False, command.node, target.kind, self._placement.group(target), None)
                batches.setdefault(key, []).append(target)
                # What it delivers counts no longer, and if it is asked again, then from then on.
                self.routes.update_merged(target)
            else:
                self.routes.update(target)
                seconds = self._placement.linger(command)
                self._handovers.put(command, seconds)
        if batches:
            self._send(batches)

    def _send(self, batches: Batches) -> None:
        for (subscribe, node, kind, _, _), targets in batches.items():
            subscriber = self.subscribers.get(node)
            if subscriber is None:
                continue
            names = [target.name for target in targets]
            if subscribe:
                subscriber.subscribe(kind, names, asking=self._placement.asking(node, targets[0]))
            else:
                subscriber.unsubscribe(kind, names)
        # In the order of the places: the first one is the likeliest to be right.
        for node in dict.fromkeys(node for _, node, _, _, _ in batches):
            if node in self.subscribers:
                self.subscribers[node].send()

    def _end_handovers(self, handovers: list[Handover]) -> None:
        self._execute([command for one in handovers for command in self._end_of(one)])
        flush(self.registry.touched)

    def _came_too_late(self, target: Target, since: float, until: float) -> None:
        reason = "messages came too late to be in order"
        self._reports.gap(GapEnded(target, since, until, reason))

    # -- back-pressure -----------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether nothing is read because a consumer has to catch up."""
        return bool(self._pauses)

    @property
    def waits_for_handlers(self) -> bool:
        """Whether that is a handler, which will catch up whatever its user does."""
        return any(mailbox is not self.registry.message_queue.mailbox for mailbox in self._pauses)
