"""Slots whose owner is being found out, and primaries that may be dead (P5, P10)."""

from __future__ import annotations

import pytest

from actors.pubsub.cluster.transitions import (
    BUS_LAG,
    UNSETTLED,
    LostPrimaries,
    UnsettledSlots,
)
from actors.pubsub.model.types import Kind, Target
from actors.redis.topology.model import Node, Role, Topology, build_topology

X = Target(Kind.SHARD, b"x")


def topology(primary: str = "a", replica: str = "b") -> Topology:
    """Slots 0 to 9 are of ``a`` and its replica, or the other way round; 10 to 19 are of ``c``."""
    nodes = [
        Node(primary, "127.0.0.1", 7000, Role.PRIMARY),
        Node(replica, "127.0.0.1", 7001, Role.REPLICA, primary_id=primary),
        Node("c", "127.0.0.1", 7002, Role.PRIMARY),
    ]
    return build_topology(nodes, {primary: [(0, 9)], "c": [(10, 19)]})


@pytest.mark.parametrize(
    ("slot", "heard_from", "settled_at"),
    [
        (5, "a", 0.5),
        (5, "b", UNSETTLED),
        (5, "", UNSETTLED),
        (10, "c", 0.5),
        (30, "c", UNSETTLED),
    ],
)
def test_p5_a_slot_is_settled_the_sooner_where_it_is_heard_at_home(slot, heard_from, settled_at):
    unsettled = UnsettledSlots()
    unsettled.note(slot, 0.0)
    sources = [(slot, heard_from), (7, "c")]
    assert not unsettled.expire(settled_at - 0.1, sources, topology())
    assert unsettled.slots == {slot}
    assert unsettled.expire(settled_at + 0.1, sources, topology())
    assert not unsettled


def test_p5_of_several_channels_in_a_slot_all_must_be_at_home():
    unsettled = UnsettledSlots()
    unsettled.note(5, 0.0)
    assert not unsettled.expire(1.0, [(5, "a"), (5, "c")], topology())


def test_p5_a_look_after_it_was_taken_says_where_a_slot_is_if_roles_changed():
    unsettled = UnsettledSlots()
    for slot in (5, 10):
        unsettled.note(slot, 1.0)
    unsettled.roles_known(topology("b", "a"), {"a"}, 0.9)
    assert unsettled.slots == {5, 10}, "it was asked for before"
    unsettled.roles_known(topology("b", "a"), {"a"}, 1.1)
    assert unsettled.slots == {10}


class Table:
    """Notes what is asked of it: what is live on which nodes."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], float]] = []

    def live_since(self, nodes: list[str], since: float) -> list[Target]:
        self.asked.append((nodes, since))
        return [X]


def test_p10_the_last_words_of_a_dead_primary_are_told_once_when_a_replica_is_promoted():
    words, table = LostPrimaries(), Table()
    words.note("a", 5.0, topology(), table.live_since)
    assert table.asked == [(["b"], 5.0 - BUS_LAG)]
    assert words.take({"c": "d"}) == []
    assert words.take({"b": "a"}) == [([X], 5.0 - BUS_LAG, 5.0)]
    assert words.take({"b": "a"}) == []


def test_p10_a_replica_a_stranger_and_one_that_lives_have_no_last_words():
    words, table = LostPrimaries(), Table()
    for node in ("b", "stranger"):
        words.note(node, 5.0, topology(), table.live_since)
    assert table.asked == []
    words.note("a", 5.0, topology(), table.live_since)
    words.lives("a")
    words.note("c", 5.0, topology(), table.live_since)
    words.keep({"a", "b"})
    assert words.take({"b": "a", "d": "c"}) == []
