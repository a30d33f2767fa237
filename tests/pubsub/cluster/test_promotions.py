"""Whether a primary died when a replica took its place (R5)."""

from __future__ import annotations

from actors.pubsub.cluster.promotions import NewPrimaries
from actors.redis.topology.model import Health, Node, Role, Topology, build_topology
from actors.redis.topology.slots import SlotRange


def shard(primary: str, replica: str, *, failing: str = "") -> Topology:
    """Return a cluster of one shard, in which ``failing`` is called failing."""

    def health(name: str) -> Health:
        return Health.FAILED if name == failing else Health.ONLINE

    nodes = [
        Node(primary, "h", 1, Role.PRIMARY, health=health(primary)),
        Node(replica, "h", 2, Role.REPLICA, primary_id=primary, health=health(replica)),
    ]
    return build_topology(nodes, {primary: [(0, 9)]})


ALL = (SlotRange(0, 9),)


def test_r5_a_primary_that_others_call_failing_died():
    found = NewPrimaries(shard("a", "b"))
    promoted = found.take(shard("b", "a", failing="a"))
    assert (promoted.slots, promoted.died) == (ALL, ALL)


def test_r5_a_primary_that_is_well_handed_over():
    found = NewPrimaries(shard("a", "b"))
    promoted = found.take(shard("b", "a"))
    assert (promoted.slots, promoted.died) == (ALL, ())


def test_r5_a_primary_whose_connection_ended_before_another_one_was_seen_died():
    found = NewPrimaries(shard("a", "b"))
    found.take(shard("a", "b"), lost={"a"})
    assert found.take(shard("b", "a")).died == ALL


def test_r5_a_primary_that_gave_up_its_slots_and_was_restarted_then_handed_over():
    found = NewPrimaries(shard("a", "b"))
    for slot in range(10):
        found.resign("a", slot)
    found.take(shard("a", "b"), lost={"a"})  # nobody has said yet that there is another one
    assert found.take(shard("b", "a"), lost={"a"}).died == ()
    assert not found.resigned
    found.take(shard("b", "a"), lost={"b"})
    assert found.take(shard("a", "b", failing="b")).died == ALL, "that was another time"


def test_r5_a_primary_that_gave_up_one_slot_and_died_then_died():
    found = NewPrimaries(shard("a", "b"))
    found.resign("a", 3)
    assert found.take(shard("b", "a"), lost={"a"}).died == (SlotRange(0, 2), SlotRange(4, 9))


def test_r5_what_a_primary_ends_after_it_was_in_trouble_proves_nothing():
    found = NewPrimaries(shard("a", "b"))
    found.take(shard("a", "b"), lost={"a"})
    found.resign("a", 3)
    assert found.take(shard("b", "a"), lost={"a"}).died == ALL
