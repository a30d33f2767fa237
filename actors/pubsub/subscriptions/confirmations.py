"""Acknowledgements as messages: what the reference API has, with its running counts."""

from __future__ import annotations

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId
from actors.pubsub.table.table import Table

__all__ = ["Confirmations"]

_TYPES = {
    (Kind.CHANNEL, True): "subscribe",
    (Kind.CHANNEL, False): "unsubscribe",
    (Kind.PATTERN, True): "psubscribe",
    (Kind.PATTERN, False): "punsubscribe",
    (Kind.SHARD, True): "ssubscribe",
    (Kind.SHARD, False): "sunsubscribe",
}


class Confirmations:
    """Makes them, unless they are ignored.

    Args:
        registry: whose iterator gets them.
        table: what is counted.
        placement: where targets belong.
    """

    def __init__(self, registry: SubscriptionRegistry, table: Table, placement: Placement) -> None:
        self._book = registry
        self._table = table
        self._placement = placement

    def surface(self, target: Target, subscribed: bool, count: int) -> None:
        """Put one into the iterator's queue."""
        registry = self._book
        if registry.ignore_subscribe_messages:
            registry.message_queue.pending_nones.add(1)
            return
        label = registry.label(target.name)
        registry.queue_writer.put(
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
