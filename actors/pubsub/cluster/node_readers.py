"""Which nodes of a cluster have a reader: those that channels belong on, standbys, and a witness.

Where every node in use says no to new connections, one node more is kept connected as a *witness*:
as long as a node accepts the credentials, the others may do so again.
"""

from __future__ import annotations

from math import inf
from operator import attrgetter
from typing import Any

from actors.pubsub.cluster.placement_rules import primaries_with_slots, standbys
from actors.pubsub.cluster.shard_state import ShardState
from actors.pubsub.lifecycle.manager import ReaderKeeper
from actors.pubsub.table.state import NodeId
from actors.pubsub.table.table import Table
from actors.redis.cluster.cluster_pool import ClusterConnectionPool

_places_of_row, _nodes_of_row = attrgetter("places"), attrgetter("nodes")

#: Seconds after which a reader that nothing belongs on is ended.
_UNUSED = 5.0
#: Seconds between two looks at which readers are needed, for each channel: one costs a tenth.
_PER_ROW = 0.000_003
#: Seconds between two attempts to connect to a node that a target has no other place than: at
#: first, and at most. They double after every so many attempts.
_HASTEN, _LONGEST_HASTEN, _HASTENED_ALIKE = 0.25, 4.0, 24


class NodeReaders:
    """Has readers made, and ends those that are not needed any more.

    Args:
        keeper: makes and has the readers.
        state: what is known of the nodes.
        pool: says how many connections there may be.
        place: the message by which :meth:`place` is asked for.
    """

    def __init__(
        self, keeper: ReaderKeeper, state: ShardState, pool: ClusterConnectionPool, place: Any
    ) -> None:
        self._keeper = keeper
        self._state = state
        self._pool = pool
        self._place = place
        # The nodes in use, and the table and its version that say so.
        self._used: tuple[Table | None, int, frozenset[NodeId]] = (None, 0, frozenset())
        self._idle_since: dict[NodeId, float] = {}
        self._placing, self._placed_at = False, -inf
        self._hastened_at = -inf
        # How often each node's reader was hastened since its connection was last of use.
        self._hastened: dict[NodeId, int] = {}

    def place_soon(self) -> None:
        """Have :meth:`place` called soon: at once, but with many channels not all the time."""
        if self._placing:
            return
        self._placing = True
        rows = len(self._keeper.tree.registry.subscriptions)
        left = self._placed_at + _PER_ROW * rows - self._state.now()
        if left > 0:
            self._keeper.after(left, self._place)
        else:
            self._keeper.tell(self._place)

    def place(self) -> None:
        """Have a reader for each node in use, and for none that left the cluster.

        A node whose address is unknown, or somebody else's by now, has left it, too.
        """
        self._placing, self._placed_at = False, self._state.now()
        nodes, readers = self._state.topology.nodes.values(), self._keeper.readers
        known = {node.id: node for node in nodes if node.addressable}
        used = self.used()
        for node in [*used, *self._spare(used)]:
            there = known.get(node)
            if there is not None and node not in readers:
                self._keeper.keep_reader(node, f"{there.host}:{there.port} {there.id[:8]}")
        for node in [node for node in readers if node not in known]:
            readers[node].request_stop()

    def let_go_unused(self, now: float) -> None:
        """End the readers that were not needed for a while."""
        readers = self._keeper.readers
        if len(readers) == len(self._idle_since) == 0:
            return
        needed = self.used() | self._spare(self.used())
        for node in list(readers):
            if node in needed:
                self._idle_since.pop(node, None)
            elif now - self._idle_since.setdefault(node, now) > _UNUSED:
                self._idle_since.pop(node, None)
                readers[node].request_stop()

    def hasten(self, nodes: set[NodeId], now: float) -> bool:
        """Have the readers of ``nodes`` that wait for a restart connect now, if it is time again.

        Returns:
            whether it was time.
        """
        if now - self._hastened_at < _HASTEN:
            return False
        self._hastened_at = now
        tree, readers = self._keeper.tree, self._keeper.readers
        for node in [node for node in self._hastened if self._is_useful(node)]:
            del self._hastened[node]
        for node in nodes & readers.keys() - self._keeper.reconciler.subscribers.keys():
            count = self._hastened[node] = self._hastened.get(node, 0) + 1
            # Looks come once in _HASTEN: of so many, one is used.
            every = min(2 ** (count // _HASTENED_ALIKE), int(_LONGEST_HASTEN / _HASTEN))
            if count % every == 0 and node not in tree.refusing.nodes:
                tree.hasten_reader(readers[node])
        return True

    def _is_useful(self, node: NodeId) -> bool:
        readers = self._keeper.readers
        return node not in readers or self._keeper.tree.is_useful(readers[node])

    def ended(self, node: NodeId) -> None:
        """Take that the reader of ``node`` ended."""
        self._idle_since.pop(node, None)

    def used(self) -> frozenset[NodeId]:
        """Return the nodes that channels belong on, or are still subscribed on."""
        table = self._keeper.reconciler.table
        if self._used[0] is not table or self._used[1] != table.version:
            rows = table.rows.values()
            # There may be tens of thousands of rows: no line of Python for each of them.
            used = frozenset().union(*set(map(_places_of_row, rows)), *map(_nodes_of_row, rows))
            self._used = table, table.version, used
        return self._used[2]

    def _spare(self, used: frozenset[NodeId]) -> set[NodeId]:
        """Return the nodes to keep connected beside those in use."""
        pool, state, refusing = self._pool, self._state, self._keeper.tree.refusing
        most = None if pool.max_connections_per_node else pool.max_connections // 2
        spare = standbys(state.topology, used, state.down.since, most)
        if self._keeper.tree.registry.gate is not None:
            spare |= primaries_with_slots(state.topology)  # wherever a name may be owned soon
        if used and refusing.nodes and refusing.all_refuse(used):
            accepting = (
                node.id
                for node in state.topology.nodes.values()
                if node.addressable and not refusing.all_refuse((node.id,))
            )
            spare.update(sorted(accepting, key=lambda node: (node in state.down.since, node))[:1])
        return spare
