"""What a pub/sub object shows of itself to whoever runs it: nodes, targets, counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from actors.pubsub.model.types import Target
from actors.redis.exceptions import ConnectionError  # noqa: A004

if TYPE_CHECKING:
    from actors.pubsub.delivery.message_queue import MessageQueue
    from actors.pubsub.lifecycle.session import Session
    from actors.pubsub.subscriptions.registry import SubscriptionRegistry

__all__ = ["Insight", "PubSubStats"]


class PubSubStats(msgspec.Struct, frozen=True):
    """What a pub/sub object has been through.

    Attributes:
        received: messages that came on the connections in use now.
        waiting: messages in the iterator's queue.
        shed: messages dropped because the iterator's queue was full.
        gaps: gaps reported.
        reconnects: connections replaced.
        revocations: subscriptions that a server took away by itself.
    """

    received: int
    waiting: int
    shed: int
    gaps: int
    reconnects: int
    revocations: int


class Insight:
    """The part of a pub/sub object that operators and the worker look at."""

    _session: Session
    _book: SubscriptionRegistry
    _inbox: MessageQueue

    @property
    def name(self) -> str:
        """What it is called in the tree; empty before it was entered."""
        tree = self._session.tree
        return "" if tree is None else tree.name

    def nodes(self) -> list[str]:
        """Return the nodes that it listens on now."""
        return list(self._session.require_open().reconciler.subscribers)

    def sources(self) -> dict[str, list[Target]]:
        """Return the targets that are live, by the node whose messages of them are used."""
        found: dict[str, list[Target]] = {}
        for target, row in self._session.require_open().reconciler.table.rows.items():
            if row.source is not None and row.is_live(row.source):
                found.setdefault(row.source, []).append(target)
        return found

    def unconfirmed(self) -> list[Target]:
        """Return the targets that are desired and live on no node.

        Raises:
            ConnectionError: the pubsub was not entered.
        """
        tree = self._session.tree or self._session.require_open()
        if tree.former_reconciler is None:
            return list(self._book.subscriptions)
        rows = tree.reconciler.table.rows
        return [
            target
            for target, subscription in self._book.subscriptions.items()
            if not subscription.draining
            and (target not in rows or not rows[target].is_live(rows[target].source))
        ]

    def restart_reader(self, node: str, *, proven_at: float | None = None) -> None:
        """Replace the connection to ``node``: its path does not deliver although it answers.

        Args:
            node: one of :meth:`nodes`; nothing happens when it is none any more.
            proven_at: the loop's time of the last proof that messages came through, where that is
                known: the gap begins there, and not with the last byte, which proves less.
        """
        reconciler = self._session.require_open().reconciler
        subscriber = reconciler.subscribers.get(node)
        if subscriber is not None:
            reason = f"{node}: replaced: it does not deliver"
            reconciler.on_disconnected(subscriber, reason, proven_at=proven_at)
            subscriber.connection.abort(ConnectionError(reason))

    def handlers_only(self) -> None:
        """Promise that nobody calls ``get_message``: no mailbox then holds notices for it."""
        self._inbox.pending_nones.refuse()

    async def close(self) -> None:
        """End all subscriptions at once, before the context is left; what waits is not handled."""
        await self._session.close()

    def stats(self) -> PubSubStats:
        """Return what it has been through."""
        tree = self._session.require_open()
        mailbox, registry = self._inbox.mailbox, self._book
        return PubSubStats(
            received=sum(
                subscriber.received for subscriber in tree.reconciler.subscribers.values()
            ),
            waiting=len(mailbox.queue) - registry.inbox_inlet.notices(),
            shed=mailbox.shed,
            gaps=registry.gaps,
            reconnects=registry.reconnects,
            revocations=registry.revocations,
        )
