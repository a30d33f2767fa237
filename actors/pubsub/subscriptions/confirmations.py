"""Acknowledgements as messages: what the reference API has, with its running counts."""

from __future__ import annotations

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.registry import Book
from actors.pubsub.table.state import NodeId
from actors.pubsub.table.table import Table

__all__ = ["Acks"]

_TYPES = {
    (Kind.CHANNEL, True): "subscribe",
    (Kind.CHANNEL, False): "unsubscribe",
    (Kind.PATTERN, True): "psubscribe",
    (Kind.PATTERN, False): "punsubscribe",
    (Kind.SHARD, True): "ssubscribe",
    (Kind.SHARD, False): "sunsubscribe",
}


class Acks:
    """Makes them, unless they are ignored.

    Args:
        book: whose iterator gets them.
        table: what is counted.
        placement: where targets belong.
    """

    def __init__(self, book: Book, table: Table, placement: Placement) -> None:
        self._book = book
        self._table = table
        self._placement = placement

    def surface(self, target: Target, subscribed: bool, count: int) -> None:
        """Put one into the iterator's queue."""
        book = self._book
        if book.ignore_subscribe_messages:
            book.inbox.owe_nones(1)
            return
        label = book.label(target.name)
        book.inbox_inlet.put(
            {
                "type": _TYPES[target.kind, subscribed],
                "pattern": label if target.kind is Kind.PATTERN else None,
                "channel": label,
                "data": count,
            }
        )

    def count(self, node: NodeId | None, target: Target) -> int:
        """Return how many targets are live on ``node``, shard channels or all others."""
        return sum(
            row.is_live(node) and (t.kind is Kind.SHARD) == (target.kind is Kind.SHARD)
            for t, row in self._table.rows.items()
        )

    def total(self, target: Target) -> int:
        """Return how many are live where ``target`` belongs."""
        node = next(iter(self._placement.places(target)), None)
        return self.count(node, target)
