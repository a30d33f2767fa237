"""What a pub/sub object was asked for: the desired targets and their consumers.

It outlives every connection and every restart of the manager; only the user's calls change it (P1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actors.pubsub.delivery.mailbox_writer import HandlerWriter, MailboxWriter
from actors.pubsub.delivery.message_queue import MessageQueue, QueueWriter
from actors.pubsub.delivery.notices import GapNotice
from actors.pubsub.delivery.progress import Progress
from actors.pubsub.delivery.shed_count import ShedCount
from actors.pubsub.handlers.function_actor import DrainWorkers
from actors.pubsub.model.names import WireNames, encode_name
from actors.pubsub.model.types import Gap, GapCallback, Kind, NodeTarget, Target
from actors.runtime.cell import Cell
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.ref import ActorRef
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.connection.gate import Gate
    from actors.pubsub.recovery.histories import Histories
    from actors.pubsub.recovery.intake import Intake

log = get_logger("mailslot.pubsub")

# Gaps of one target that wait for their consumer, one by one.
_MOST_GAPS = 16


class Consumer:
    """A handler's actor, and the subscriptions that feed it.

    Attributes:
        handler: the actor.
        writer: the way into its mailbox.
        concurrent: whether the actor gives its messages to several workers.
        users: how many subscriptions feed it.
    """

    __slots__ = ("concurrent", "handler", "users", "writer")

    def __init__(self, handler: ActorRef[Any], writer: MailboxWriter, *, concurrent: bool) -> None:
        self.handler = handler
        self.writer = writer
        self.concurrent = concurrent
        self.users = 0

    def leave(self) -> None:
        """Feed it no more; after the last one it finishes what it has, and ends."""
        self.users -= 1
        if self.users:
            return
        if self.concurrent:
            self.writer.mailbox.put_last(DrainWorkers())
            self.writer.mailbox.resume()  # a drain handles what waits
        else:
            self.handler.request_stop(drain=True)


class Subscription:
    """A desired target and who consumes it.

    Attributes:
        label: the target's name as it appears in messages.
        writer: the way to the consumer.
        callback: the user's handler; None: the iterator consumes it.
        consumer: the handler's actor, which other subscriptions may feed, too.
        on_gap: hears of this target's gaps.
        intake: what messages pass on their way to ``writer``, where the consumer asked for
            recovery; None: nothing.
        draining: it ends, and what comes until then is handled.
    """

    __slots__ = (
        "_left",
        "_untold",
        "callback",
        "consumer",
        "draining",
        "intake",
        "label",
        "on_gap",
        "target",
        "writer",
    )

    def __init__(self, target: Target, label: Any, writer: MailboxWriter) -> None:
        self.target = target
        self.label = label
        self.writer = writer
        self.callback: Any = None
        self.consumer: Consumer | None = None
        self._left = False
        self.draining = False
        self.on_gap: GapCallback | None = None
        self.intake: Intake | None = None
        self._untold: Sequence[GapNotice] = ()

    def on(self, target: Target) -> Subscription:
        """Return the subscription of another target that has the same name and consumer."""
        other = Subscription(target, self.label, self.writer)
        other.callback, other.on_gap, other.consumer = self.callback, self.on_gap, self.consumer
        other.intake = self.intake
        if self.consumer is not None:
            self.consumer.users += 1
        return other

    def report(self, gap: Gap, on_gap: GapCallback | None) -> None:
        """Tell the consumer of ``gap`` before its next message.

        A consumer that is not there to hear of them has a few gaps waiting; then the last one
        grows, so that a connection that comes and goes all night fills no memory.
        """
        if self._untold:
            self._untold = [notice for notice in self._untold if not notice.reported]
        if len(self._untold) < _MOST_GAPS:
            notice = GapNotice(gap, on_gap if self.on_gap is None else self.on_gap)
            self._untold = [*self._untold, notice]
            self.writer.put_gap(notice)
        else:
            self._untold[-1].extend(gap)

    @property
    def handler(self) -> ActorRef[Any] | None:
        """The handler's actor."""
        return None if self.consumer is None else self.consumer.handler

    def feed(self, consumer: Consumer) -> None:
        """Have ``consumer`` take the messages."""
        consumer.users += 1
        self.consumer = consumer
        self.writer = consumer.writer

    def drain(self) -> None:
        """Have the handler finish what it has, and end with the last of its subscriptions."""
        if self.consumer is not None and not self._left:
            self._left = True
            self.consumer.leave()


class SubscriptionRegistry:
    """The desired subscriptions of one pub/sub object, and its counters.

    Attributes:
        touched: the writers that the batch in hand touched; see ``writer``.
        pause: called with a mailbox whose consumer must catch up before anything more is read.
        shown: what users see of the subscriptions: for each kind the label and the handler (None:
            the iterator) of each target that a call of theirs has subscribed to.
        nodes: the nodes on each of which every name is subscribed, with their addresses; None:
            each name is one target, wherever it is live.
        shed: the messages dropped at the bounds of the iterator's queue and of handlers' mailboxes.
        received: messages received on the connections that have ended.
        gaps: gaps reported so far.
        reconnects: connections that had to be replaced so far.
        revocations: subscriptions that a server took away by itself so far.
        names: which channels are subscribed to for recovering ones.
        histories: what the recovering channels share; None: there has been none.
        progress: what the consumers that resume have handled, by the name that messages show.
        not_recovered: called with a target and a gap that its history could not fill.
        gate: whose messages pass, where several processes own the names; None: all messages pass.
    """

    def __init__(
        self,
        message_queue: MessageQueue,
        *,
        encoding: str,
        decode: bool,
        ignore_subscribe_messages: bool,
        shown: Mapping[Kind, dict[Any, Any]] | None = None,
    ) -> None:
        self.subscriptions: dict[Target, Subscription] = {}
        self.touched: list[MailboxWriter] = []
        self.pause: Callable[[Mailbox], None] = lambda _: None
        self.message_queue = message_queue
        self.shown = {kind: {} for kind in Kind} if shown is None else shown
        self.nodes: Mapping[str, str] | None = None
        self.shed = ShedCount(message_queue.mailbox)
        self.ignore_subscribe_messages = ignore_subscribe_messages
        # Bound once: all writers have the same one.
        self._pause: Callable[[Mailbox], None] = self._pause_for
        self.queue_writer = QueueWriter(message_queue, self.touched, "the iterator", self._pause)
        self.on_gap: GapCallback | None = None
        self.encoding = encoding
        self.decode = decode
        self.received = 0
        self.gaps = 0
        self.reconnects = 0
        self.revocations = 0
        self.names = WireNames()
        self.histories: Histories[Intake] | None = None
        self.progress: Mapping[Any, Progress] = {}
        self.not_recovered: Callable[[Target, Gap], None] = lambda _target, _gap: None
        self.gate: Gate | None = None

    def _pause_for(self, mailbox: Mailbox) -> None:
        self.pause(mailbox)

    def writer(self, handler: Cell) -> HandlerWriter:
        """Return a writer for the mailbox of a handler's actor."""
        self.shed.follow(handler.mailbox)
        return HandlerWriter(handler, self.touched, self._pause, self.message_queue.pending_nones)

    def put(self, subscription: Subscription) -> None:
        """Make ``subscription`` the one of its target; a handler that it replaces drains."""
        target, intake = subscription.target, subscription.intake
        former = self.subscriptions.get(target)
        if intake is not None and former is not None and former.intake is not None:
            intake.succeed(former.intake)
        self.drop(target)
        self.subscriptions[target] = subscription
        if intake is not None:
            self.names.add(target.kind, self.encode(subscription.label), target.name)
            intake.attach(subscription.writer)

    def drop(self, target: Target) -> bool:
        """Forget ``target``'s subscription; its handler finishes what it has. False: none."""
        subscription = self.subscriptions.pop(target, None)
        if subscription is None:
            return False
        self._hide(subscription)
        if subscription.intake is not None:
            subscription.intake.detach(draining=subscription.draining)
        subscription.drain()
        return True

    def begin_drain(self, target: Target) -> None:
        """Have ``target``'s subscription end; what comes until then is handled."""
        subscription = self.subscriptions.get(target)
        if subscription is not None:
            self._hide(subscription)
            subscription.draining = True

    def show(self, subscription: Subscription) -> None:
        """Have users see ``subscription``: the call that asked for it has succeeded."""
        self.shown[subscription.target.kind][subscription.label] = subscription.callback

    def _hide(self, subscription: Subscription) -> None:
        target = subscription.target
        others = (self.subscriptions.get(one) for one in self.spread(target))
        if not any(one and one is not subscription and not one.draining for one in others):
            self.shown[target.kind].pop(subscription.label, None)

    def spread(self, target: Target) -> list[Target]:
        """Return what is subscribed to for ``target``: itself, or a target on each node."""
        if self.nodes is None:
            return [target]
        return [NodeTarget(target.kind, target.name, node) for node in self.nodes]

    def passes(self, node: str, target: Target) -> bool:
        """Return whether the messages of ``target`` that ``node`` publishes are this process's."""
        return self.gate is None or self.gate.keeper.passes(node, self.names.own(target))

    def discard(self, targets: Iterable[Target]) -> int:
        """Take the messages that wait for handlers of ``targets`` out of their mailboxes.

        Returns:
            how many there were.
        """
        count = 0
        for target in targets:
            subscription = self.subscriptions.get(target)
            if subscription is not None and subscription.handler is not None:
                queue = subscription.writer.mailbox.queue
                news = [one for one in queue if type(one) is not dict]
                count += len(queue) - len(news)
                queue.clear()
                queue.extend(news)
        return count

    def abandon(self) -> None:
        """Take what handlers will not come to any more out of their mailboxes, and say how much."""
        messages = handlers = 0
        for subscription in self.subscriptions.values():
            if subscription.handler is None:
                continue
            mailbox = subscription.writer.mailbox
            left = mailbox.clear()
            mailbox.queue.extend(news for news in left if type(news) is not dict)
            if count := len(left) - len(mailbox.queue):
                messages += count
                handlers += 1
        if messages:
            log.warning(
                "messages_not_handled",
                messages=messages,
                handlers=handlers,
                cure="await pubsub.drain() before its context is left",
            )

    def encode(self, name: Any) -> bytes:
        """Return a name as the server knows it."""
        return encode_name(name, self.encoding)

    def label(self, name: bytes) -> str | bytes:
        """Return a name as it appears in messages."""
        if self.decode:
            try:
                return name.decode(self.encoding)
            except UnicodeDecodeError:
                return name
        return name

    def own_label(self, target: Target) -> str | bytes:
        """Return the name of ``target`` as users know it."""
        return self.label(self.names.own(target).name)

    def targets(self, *kinds: Kind) -> list[Target]:
        """Return the desired targets of these kinds."""
        return [target for target in self.subscriptions if target.kind in kinds]
