"""What a pub/sub object shows to operators and to the worker: targets, counters."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.pubsub.lifecycle.tree import PubSubTree
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import ConnectionError  # noqa: A004


class PubSubStats(msgspec.Struct, frozen=True):
    """The counters of a pub/sub object.

    Attributes:
        received: messages received, those of connections that have ended included.
        waiting: messages in the iterator's queue.
        shed: messages dropped because the iterator's queue or the mailbox of a handler was full;
            the handler may have ended since.
        gaps: gaps reported.
        reconnects: connections replaced.
        revocations: subscriptions that a server ended by itself.
        recovering: channels that recover.
        behind: those of them that read what they have missed, or wait to.
        behind_seconds: for how long one of them has been behind, at the most.
        recovered: missed messages that were delivered out of a history.
        resumed: those of them that came between a position that was kept and the end of the history
            when the consumer began; some of them may have been handled before.
        lost: messages that a history did not have any more.
        unknown: gaps of which nobody knows how many messages are lost for good, where the consumer
            asked for recovery.
        history_reads: commands that asked for a history.
        held: messages that wait for what comes before them.
        repeats: messages dropped because they had been delivered.
        discarded: messages dropped because no history has them.
        recovery_seconds: how long at least one channel was behind.
    """

    received: int
    waiting: int
    shed: int
    gaps: int
    reconnects: int
    revocations: int
    recovering: int = 0
    behind: int = 0
    behind_seconds: float = 0.0
    recovered: int = 0
    resumed: int = 0
    lost: int = 0
    unknown: int = 0
    history_reads: int = 0
    held: int = 0
    repeats: int = 0
    discarded: int = 0
    recovery_seconds: float = 0.0


def stats(tree: PubSubTree) -> PubSubStats:
    """Return the counters."""
    registry = tree.registry
    mailbox = registry.message_queue.mailbox
    subscribers = tree.reconciler.subscribers.values()
    return PubSubStats(
        received=registry.received + sum(one.received for one in subscribers),
        waiting=len(mailbox.queue) - registry.queue_writer.notices(),
        shed=registry.shed.total(),
        gaps=registry.gaps,
        reconnects=registry.reconnects,
        revocations=registry.revocations,
        **({} if registry.histories is None else registry.histories.stats()),
    )


def handler_path(tree: PubSubTree, kind: Kind, name: Any) -> str:
    """Return the path of the handler of a channel or pattern; empty: it has none."""
    registry = tree.registry
    target = registry.names.wire(Target(kind, registry.encode(name)))
    for one in registry.spread(target):
        subscription = registry.subscriptions.get(one)
        if subscription is not None and subscription.handler is not None:
            return subscription.handler.path
    return ""


def sources(tree: PubSubTree) -> dict[str, list[Target]]:
    """Return the live targets, by the node whose messages are delivered."""
    found: dict[str, list[Target]] = {}
    for target, row in tree.reconciler.table.rows.items():
        if row.source is not None and row.is_live(row.source):
            own = tree.registry.names.own(target)
            found.setdefault(row.source, []).append(own)
    return found


def unconfirmed(tree: PubSubTree) -> list[Target]:
    """Return the desired targets that are live on no node, or on one that does not answer."""
    subscriptions = tree.registry.subscriptions
    own = tree.registry.names.own
    if tree.latest_reconciler is None:
        return list(map(own, subscriptions))
    rows, subscribers = tree.reconciler.table.rows, tree.reconciler.subscribers.items()
    silent = {node for node, subscriber in subscribers if subscriber.silent}
    return [
        own(target)
        for target, subscription in subscriptions.items()
        if not subscription.draining
        and (
            target not in rows
            or not rows[target].is_live(rows[target].source)
            or rows[target].source in silent
        )
    ]


def missing_since(tree: PubSubTree) -> float | None:
    """Return when the oldest gap began that is open, by the clock of the event loop, or None."""
    if tree.latest_reconciler is None:
        return None
    rows = tree.reconciler.table.rows.values()
    open_gaps = (row.gap_since for row in rows if row.wanted and row.gap_since is not None)
    return min(open_gaps, default=None)


def refusing(tree: PubSubTree) -> dict[str, str]:
    """Return what each node said that refuses new connections."""
    return {node: refusal.error for node, refusal in tree.refusing.nodes.items()}


def restart_reader(tree: PubSubTree, node: str, proven_at: float | None) -> None:
    """Replace the connection to ``node``, if there is one."""
    reconciler = tree.reconciler
    subscriber = reconciler.subscribers.get(node)
    if subscriber is not None:
        reason = f"{node}: replaced: it does not deliver"
        reconciler.on_disconnected(subscriber, reason, proven_at=proven_at)
        subscriber.connection.abort(ConnectionError(reason))
