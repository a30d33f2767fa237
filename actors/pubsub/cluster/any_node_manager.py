"""The role of a manager of plain channels and patterns in a cluster: one node serves them all.

The cluster bus carries every PUBLISH to every node, so any node will do. The reader picks a node
each time it connects. A node that the cluster calls failing, or that left the cluster, is given up
at once.
"""

from __future__ import annotations

from typing import Any

from actors.pubsub.cluster.node_picker import NodePicker
from actors.pubsub.cluster.topology_watch import TopologyChecked, TopologyRequests
from actors.pubsub.cluster.transitions import BUS_LAG
from actors.pubsub.lifecycle.manager import ReaderKeeper
from actors.pubsub.subscriptions.single_placement import SERVER, SinglePlacement
from actors.pubsub.table.state import NodeId
from actors.redis.exceptions import ConnectionError  # noqa: A004


class AnyNodeRole:
    """Keeps all targets on one node of a cluster.

    Args:
        picker: knows which node that is.
        requests: reports looks at the topology.
    """

    def __init__(self, picker: NodePicker, requests: TopologyRequests) -> None:
        self.placement = self.events = SinglePlacement(BUS_LAG)
        self._picker = picker
        self._requests = requests
        self._keeper: ReaderKeeper
        # When the cluster was last asked and called a node well, by node.
        self._well_at: dict[str, float] = {}

    def start(self, keeper: ReaderKeeper) -> None:
        """Take reports."""
        self._keeper = keeper
        self._requests.report = keeper.tell
        self._requests.used = lambda: (
            () if self._picker.current is None else (self._picker.current,)
        )

    def stop(self) -> None:
        """Take no more reports."""
        self._requests.report = lambda _: None

    def place_readers(self) -> None:
        """Have the one reader."""
        self._keeper.keep_reader(SERVER, "connection")

    def server_of(self, node: NodeId) -> NodeId:
        """Return the node of the cluster that the one reader connected to last."""
        return self._picker.current or node

    def could_serve(self) -> list[NodeId]:
        """Return all nodes of the cluster: the reader goes on to the next one."""
        nodes = self._picker.pool.topology.nodes.values()
        return [node.id for node in nodes if node.addressable]

    def reader_ended(self, node: NodeId) -> None:
        """Nothing depends on it."""

    def targets_changed(self) -> None:
        """Any targets are served by the one reader."""

    def reconcile(self) -> None:
        """Let go what merges have held for too long."""
        self._keeper.reconciler.expire()

    def receive(self, message: Any) -> None:
        """Take a report of the topology watch."""
        if isinstance(message, TopologyChecked):
            self._topology_checked(message)

    def _topology_checked(self, checked: TopologyChecked) -> None:
        nodes = checked.topology.nodes
        former, self._well_at = self._well_at, {}
        for known in nodes.values():
            well_at = former.get(known.id) if known.failing else checked.asked_at
            if well_at is not None:
                self._well_at[known.id] = well_at
        reconciler, current = self._keeper.reconciler, self._picker.current or ""
        subscriber, node = reconciler.subscribers.get(SERVER), nodes.get(current)
        if subscriber is not None and (node is None or node.failing):
            why = "it left the cluster" if node is None else "the cluster calls it failing"
            error = ConnectionError(f"{subscriber.connection.location}: {why}")
            # It may have answered ever since and heard nothing from the others.
            reconciler.on_disconnected(
                subscriber, f"connection lost: {error}", proven_at=former.get(current)
            )
            subscriber.connection.abort(error)
