"""All places at once are what each slot's would be alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.pubsub.cluster.placement_rules import NodeHealth, shard_places
from actors.pubsub.cluster.slot_assignment import SlotAssignments, TargetSlots, all_places
from actors.pubsub.model.types import Kind, Target
from actors.redis.topology.model import Node, Role, build_topology
from actors.redis.topology.slots import SLOTS, key_slot

PRIMARIES = ("a", "b", "c")
REPLICAS = {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}
NODES = [Node(name, "h", port, Role.PRIMARY) for port, name in enumerate(PRIMARIES, 1)] + [
    Node(name, "h", port, Role.REPLICA, primary_id=of)
    for port, (name, of) in enumerate(REPLICAS.items(), 11)
]
IDS = st.frozensets(st.sampled_from([*PRIMARIES, *REPLICAS]))
SLOT = st.integers(0, SLOTS - 1)

topologies = st.lists(SLOT, min_size=4, max_size=8, unique=True).map(
    lambda edges: build_topology(
        NODES,
        {
            owner: [(start, end - 1)]
            for owner, start, end in zip(
                PRIMARIES, sorted(edges)[:3], sorted(edges)[1:4], strict=True
            )
        },
    )
)
sights = st.builds(
    NodeHealth,
    down=IDS,
    silent=IDS,
    unsettled=st.frozensets(SLOT, max_size=4),
    moving=st.dictionaries(SLOT, st.sampled_from(PRIMARIES), max_size=4),
    replicas_first=st.booleans(),
    unsure=IDS,
)


@settings(deadline=None, max_examples=60)
@given(topologies, sights, st.lists(SLOT, max_size=50))
def test_all_places_are_those_of_each_slot(topology, health, some):
    before: list[tuple[str, ...]] = [("before",)] * SLOTS
    found = all_places(topology, health, before)
    edges = [slot for shard in topology.shards for run in shard.slots for slot in run]
    for slot in {*some, *edges, *health.unsettled, *health.moving}:
        assert found[slot] == (shard_places(topology, slot, health) or ("before",))


def test_p6_a_slot_on_its_way_is_live_at_its_target_too_after_its_owner():
    topology = build_topology(NODES, {"a": [(0, SLOTS - 1)], "b": []})
    assert shard_places(topology, 7, NodeHealth(moving={7: "b"})) == ("a", "b")
    assert shard_places(topology, 8, NodeHealth(moving={7: "b"})) == ("a",)
    assert shard_places(topology, 7, NodeHealth(moving={7: "stranger"})) == ("a",)


def test_one_slot_is_looked_at_again_without_the_others():
    topology = build_topology(NODES, {"a": [(0, SLOTS - 1)]})
    unsettled: set[int] = set()
    made = []
    places = SlotAssignments(
        lambda: (topology, NodeHealth(unsettled=unsettled)),
        lambda: made.append(1),
    )
    first = places.all()
    assert places.all() is first
    unsettled.add(7)
    places.drop(7)
    assert places.all()[7] == ("a2", "a3", "a1", "a")
    assert places.all()[8] == ("a",)
    places.clear()
    assert places.all()[7] == ("a2", "a3", "a1", "a")
    assert len(made) == 3


def test_many_slots_are_looked_at_again_with_all_others():
    topology = build_topology(NODES, {"a": [(0, SLOTS - 1)], "c": []})
    moving: dict[int, str] = {}
    asked = []

    def see():
        asked.append(len(moving))
        return topology, NodeHealth(moving=moving)

    places = SlotAssignments(see, lambda: None)
    assert places.all()[7] == ("a",)
    for slot in range(5000):
        moving[slot] = "c"
        places.drop(slot)
    found = places.all()
    assert found[0] == found[4999] == ("a", "c")
    assert found[5000] == ("a",)
    assert asked == [0, 5000]


def test_names_that_are_no_longer_used_are_forgotten():
    slots = TargetSlots(lambda: 1)
    for number in range(2000):
        name = b"%d" % number
        assert slots[Target(Kind.SHARD, name)] == key_slot(name)
    assert len(slots) <= 1003


def test_a_taken_slot_whose_primary_is_down_is_looked_for_at_a_silent_replica_too():
    topology = build_topology(NODES, {"b": [(0, SLOTS - 1)]})
    health = NodeHealth(down=frozenset("b"), silent=frozenset({"b1"}), unsettled=frozenset({7}))
    assert shard_places(topology, 7, health) == ("b", "b1")
