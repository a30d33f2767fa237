"""Nodes without a connection, and which of them may have been restarted meanwhile (P10)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actors.pubsub.table.state import NodeId


class DownNodes:
    """The nodes whose connection was lost or could not be made.

    A node may have been restarted while it was down if a node of its shard, the node itself or
    another one, refused connections or was restarted in that time.

    Attributes:
        since: each of them, with the time when it was lost.

    Args:
        now: returns the time in seconds.
        shard_of: returns the nodes of a node's shard, the node itself included.
    """

    def __init__(
        self, now: Callable[[], float], shard_of: Callable[[NodeId], Collection[NodeId]]
    ) -> None:
        self.since: dict[NodeId, float] = {}
        self._now = now
        self._shard_of = shard_of
        self._restarting: set[NodeId] = set()
        # The id of each node's connection at the server.
        self._client_ids: dict[NodeId, int] = {}

    def lost(self, node: NodeId) -> None:
        """Note that the connection to ``node`` ended."""
        self.since.setdefault(node, self._now())
        if self._restarting.intersection(self._shard_of(node)):
            self._restarting.add(node)

    def unreachable(self, node: NodeId) -> None:
        """Note that ``node`` could not be connected to."""
        self.since.setdefault(node, self._now())
        self._restarts(node)

    def found(self, node: NodeId, client_id: int | None) -> tuple[bool, bool]:
        """Note that ``node`` is connected.

        Returns whether the node was down, and whether it may have been restarted meanwhile.

        Args:
            node: the node.
            client_id: the connection's id at the server. A server numbers its connections from 1
                on: an id that is no larger than the one before is of a server that was restarted.
        """
        before = self._client_ids.pop(node, None)
        if client_id is not None:
            self._client_ids[node] = client_id
            if before is not None and client_id <= before:
                self._restarts(node)
        # The only node of a shard delivers all that its shard accepts.
        restarted = node in self._restarting and len(self._shard_of(node)) > 1
        return self.forget(node), restarted

    def _restarts(self, node: NodeId) -> None:
        """Note that ``node`` may have been restarted, and the nodes of its shard that are down."""
        self._restarting.add(node)
        self._restarting.update(peer for peer in self._shard_of(node) if peer in self.since)

    def forget(self, node: NodeId) -> bool:
        """Forget that ``node`` was down; return whether it was."""
        self._restarting.discard(node)
        return self.since.pop(node, None) is not None

    def keep(self, nodes: Collection[NodeId]) -> None:
        """Forget all nodes but ``nodes``."""
        for node in [*self.since, *self._restarting, *self._client_ids]:
            if node not in nodes:
                self.forget(node)
                self._client_ids.pop(node, None)
