"""A pool's topology in the terms of the reference API."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actors.redis.exceptions import ClusterRoutingError
from actors.redis.topology.model import Node, Topology


class LayoutNode(NamedTuple):
    """A node, and the address where clients reach it."""

    node_id: str
    host: str
    port: int
    is_primary: bool


class ClusterLayout:
    """Look-ups in the latest topology of a pool."""

    def __init__(self, topology: Callable[[], Topology]) -> None:
        self._topology = topology

    def node_for_slot(self, slot: int, primary: bool = True) -> LayoutNode:
        """Return the primary of ``slot``, or a replica of it where ``primary`` is false.

        Raises:
            ClusterRoutingError: no node is known to serve it, or it has no replica.
            RuntimeError: the topology was not loaded yet.
        """
        shard = self._topology().shard_for(slot)
        if shard is not None and primary and shard.primary is not None:
            return _of(shard.primary)
        if shard is not None and not primary and shard.replicas:
            return _of(min(shard.replicas, key=lambda node: node.failing))
        raise ClusterRoutingError(
            f"no {'primary' if primary else 'replica'} is known for slot {slot}"
        )

    @property
    def nodes(self) -> list[LayoutNode]:
        """All nodes."""
        return [_of(node) for node in self._topology().nodes.values()]

    @property
    def primaries(self) -> list[LayoutNode]:
        """The primaries that serve slots."""
        return [_of(node) for node in self._topology().primaries]

    @property
    def replicas(self) -> list[LayoutNode]:
        """The replicas."""
        return [node for node in self.nodes if not node.is_primary]


def _of(node: Node) -> LayoutNode:
    return LayoutNode(node.id, node.host, node.port, node.is_primary)
