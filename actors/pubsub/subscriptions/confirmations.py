"""Confirmations as messages of the iterator, with running counts as coredis has them."""

from __future__ import annotations

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId
from actors.pubsub.table.table import Table

_TYPES = {
    (Kind.CHANNEL, True): "subscribe",
    (Kind.CHANNEL, False): "unsubscribe",
    (Kind.PATTERN, True): "psubscribe",
    (Kind.PATTERN, False): "punsubscribe",
    (Kind.SHARD, True): "ssubscribe",
    (Kind.SHARD, False): "sunsubscribe",
}


class Confirmations:
    """Puts confirmations into the iterator's queue, unless the user ignores them.

    Args:
        registry: has the queue.
        table: says how many targets are live.
        placement: says where targets belong.
    """

    def __init__(self, registry: SubscriptionRegistry, table: Table, placement: Placement) -> None:
        self._registry = registry
        self._table = table
        self._placement = placement

    def surface(self, target: Target, subscribed: bool, count: int) -> None:
        """Put the confirmation for ``target`` into the iterator's queue."""
        registry = self._registry
        if registry.ignore_subscribe_messages:
            registry.message_queue.pending_nones.add(1)
            return
        label = registry.own_label(target)
        registry.queue_writer.put(
            {
                "type": _TYPES[target.kind, subscribed],
                "pattern": label if target.kind is Kind.PATTERN else None,
                "channel": label,
                "data": count,
            }
        )

    def count(self, node: NodeId | None, target: Target) -> int:
        """Return how many shard channels are live on ``node``, or how many other targets."""
        return sum(
            row.is_live(node) and (t.kind is Kind.SHARD) == (target.kind is Kind.SHARD)
            for t, row in self._table.rows.items()
        )

    def total(self, target: Target) -> int:
        """Return how many targets are live on the node where ``target`` belongs."""
        node = next(iter(self._placement.places(target)), None)
        return self.count(node, target)
