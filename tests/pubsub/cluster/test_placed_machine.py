"""The subscription table with its places out of a cluster that changes, in any order (P5 to P8).

Adds to the machine of ``test_table_machine`` what makes places: a topology of two shards, a primary
with a replica and a primary without, and what we see of their nodes ourselves. Promotions, slots
that move, nodes that die, fall silent or are suspected, come between everything else; each time
``shard_places`` says where the targets should be now.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from actors.pubsub.cluster.placement_rules import NodeHealth, shard_places
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeStatus
from actors.redis.topology.model import Health, Node, Role, Topology, build_topology
from actors.redis.topology.slots import key_slot
from tests.pubsub.table.test_table_machine import NODES, TARGETS, TableMachine

SLOTS = {target: key_slot(target.name) for target in TARGETS}
PAIR, LONE = ("a", "b"), "c"

nodes = st.sampled_from(NODES)
targets = st.sampled_from(TARGETS)


class PlacedMachine(TableMachine):
    def __init__(self) -> None:
        super().__init__()
        self.primary = PAIR[0]
        #: In which shard each slot is: that of the pair, or the other one; None: nobody knows.
        self.in_pair: dict[Target, bool | None] = dict.fromkeys(TARGETS, True)
        self.in_pair[TARGETS[1]] = False
        #: Nodes that take no connection.
        self.dead: set[str] = set()
        self.failing: set[str] = set()
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.unsettled: set[Target] = set()
        self.moving: dict[Target, str] = {}
        self.replicas_first = False
        #: Where each target should be, wanted or not.
        self.places: dict[Target, tuple[str, ...]] = dict.fromkeys(TARGETS, ())
        self.look()

    # -- the cluster, and what we see of it --------------------------------------------------------

    def topology(self) -> Topology:
        replica = next(node for node in PAIR if node != self.primary)
        owned: dict[str, list[tuple[int, int]]] = {self.primary: [], LONE: []}
        for target, in_pair in self.in_pair.items():
            if in_pair is not None:
                slot = SLOTS[target]
                owned[self.primary if in_pair else LONE].append((slot, slot))
        roles = {self.primary: None, replica: self.primary, LONE: None}
        return build_topology(
            [
                Node(
                    node,
                    "127.0.0.1",
                    port,
                    Role.PRIMARY if of is None else Role.REPLICA,
                    primary_id=of,
                    health=Health.FAILED if node in self.failing else Health.ONLINE,
                )
                for port, (node, of) in enumerate(roles.items(), 7000)
            ],
            {node: sorted(slots) for node, slots in owned.items()},
        )

    def health(self) -> NodeHealth:
        return NodeHealth(
            down=frozenset(self.down),
            silent=frozenset(self.silent),
            unsettled=frozenset(SLOTS[target] for target in self.unsettled),
            moving={SLOTS[target]: node for target, node in self.moving.items()},
            replicas_first=self.replicas_first,
        )

    def look(self) -> None:
        """Something changed: place all targets anew, those without an owner as they were."""
        topology, health = self.topology(), self.health()
        for target in TARGETS:
            places = shard_places(topology, SLOTS[target], health) or self.places[target]
            self.places[target] = places
            super().place(target, places)

    def shard_of(self, target: Target) -> tuple[str, ...]:
        in_pair = self.in_pair[target]
        return () if in_pair is None else PAIR if in_pair else (LONE,)

    # -- instead of places out of thin air ---------------------------------------------------------

    @rule(of=targets)
    def want(self, of: Target) -> None:
        super().want(of, self.places[of])

    place = None  # type: ignore[assignment]

    @rule(node=nodes)
    def node_up(self, node: str) -> None:
        if node not in self.dead:
            super().node_up(node)
            self.down.discard(node)
            self.look()

    @rule(node=nodes)
    def node_down(self, node: str) -> None:
        super().node_down(node)
        self.down.add(node)
        self.silent.discard(node)
        self.look()

    # -- what happens to the cluster ---------------------------------------------------------------

    @rule(node=nodes)
    def dies(self, node: str) -> None:
        self.dead.add(node)
        self.node_down(node)

    @rule(node=nodes)
    def comes_back(self, node: str) -> None:
        self.dead.discard(node)

    @rule()
    def promotion(self) -> None:
        """The replica takes over; as on Valkey, every subscription of the shard is revoked."""
        self.primary = next(node for node in PAIR if node != self.primary)
        for node in PAIR:
            if node in self.up:
                for target in sorted(self.up[node].subscribed):
                    self.up[node].revoke(target)

    @rule(of=targets)
    def slot_moves(self, of: Target) -> None:
        """The other shard has the slot now, and the one that had it ends its subscriptions."""
        for node in self.shard_of(of):
            if node in self.up and of in self.up[node].subscribed:
                self.up[node].revoke(of)
        self.in_pair[of] = not self.in_pair[of]

    @rule(of=targets)
    def slot_is_lost(self, of: Target) -> None:
        self.in_pair[of] = None

    @rule()
    def topology_change(self) -> None:
        """We look: until then, the places are those of the last look."""
        self.look()

    @rule(node=nodes)
    def suspected(self, node: str) -> None:
        self.failing ^= {node}
        self.look()

    @rule(node=nodes)
    def silence(self, node: str) -> None:
        if node in self.up:
            self.silent ^= {node}
            self.look()

    @rule(of=targets)
    def slot_taken(self, of: Target) -> None:
        self.unsettled ^= {of}
        self.look()

    @rule(of=targets)
    def about_to_move(self, of: Target) -> None:
        if self.moving.pop(of, None) is None:
            self.moving[of] = LONE if self.in_pair[of] else self.primary
        self.look()

    @rule()
    def prefer_others(self) -> None:
        self.replicas_first = not self.replicas_first
        self.look()

    # -- the end of it all -------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """All nodes that can be reached are: what has a living node in its shard is live there."""
        # These pass by themselves: what is silent speaks or is lost, what was taken is found.
        self.silent.clear()
        self.unsettled.clear()
        self.look()
        for _ in range(len(NODES) + 1):
            for node in sorted({node for places in self.places.values() for node in places}):
                if node in self.dead:
                    self.node_down(node)
                elif node not in self.up:
                    self.node_up(node)
        super().settle()
        for target in self.wanted:
            living = [node for node in self.shard_of(target) if node not in self.dead]
            row = self.table.rows[target]
            if living:
                assert row.source in living, "its shard is there, and it is not live on it"
                assert row.nodes[row.source] is NodeStatus.LIVE

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def where_messages_come_from_has_company_when_it_is_sick(self) -> None:
        """P6: whoever may take over is asked before it does."""
        topology, health = self.topology(), self.health()
        for target in self.wanted:
            shard = self.shard_of(target)
            if self.places[target] != shard_places(topology, SLOTS[target], health):
                continue  # the cluster changed, and nobody has looked yet
            assert set(self.places[target]) & set(shard), "no node of its shard is asked"
            if len(shard) == 1:
                continue
            replica = next(node for node in PAIR if node != self.primary)
            first, other = self.primary, replica
            if self.replicas_first:
                first, other = other, first
            sick = self.failing | self.silent | self.down
            if first in sick and other not in sick:
                row = self.table.rows[target]
                assert other in self.places[target]
                assert other in row.nodes or other in row.blocked or other not in self.up


TestPlacedMachine = PlacedMachine.TestCase
TestPlacedMachine.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, print_blob=True
)
