"""What the manager of shard channels knows: until when a node has delivered all, lost slots."""

from __future__ import annotations

import pytest

from actors.pubsub.cluster.placement_rules import shard_places
from actors.pubsub.cluster.shard_placement import ShardPlacement
from actors.pubsub.cluster.shard_state import ShardState
from actors.pubsub.cluster.transitions import BUS_LAG
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.table.state import Handover
from actors.redis.topology.model import Node, Role, Topology, build_topology

#: How long nodes of one shard count as such after they were shown so.
REMEMBERED = 10.0


def topology(
    primary: str = "a",
    replica: str = "b",
    *,
    owner: str = "",
    migrating: dict[int, str] | None = None,
) -> Topology:
    """Slots 0 to 9 are of ``owner``, else of ``primary``, and 10 to 19 of ``c``."""
    nodes = [
        Node(primary, "127.0.0.1", 7000, Role.PRIMARY),
        Node(replica, "127.0.0.1", 7001, Role.REPLICA, primary_id=primary),
        Node("c", "127.0.0.1", 7002, Role.PRIMARY),
        Node("d", "127.0.0.1", 7003, Role.REPLICA, primary_id="c"),
    ]
    owned: dict[str, list[tuple[int, int]]] = {primary: [], "c": []}
    owned[owner or primary].append((0, 9))
    owned["c"].append((10, 19))
    return build_topology(nodes, owned, migrating=migrating or {})


class Known(ShardState):
    """What is known, on a clock in hand."""

    def __init__(self, known: Topology | None = None, *, replicas_first: bool = False) -> None:
        self.time = 100.0
        super().__init__(known or topology(), lambda: self.time, replicas_first=replicas_first)


@pytest.mark.parametrize(
    ("node", "down", "complete"),
    [
        ("a", {}, 50.0 - BUS_LAG),
        ("b", {}, 50.0 - BUS_LAG),
        ("b", {"a": 50.0 - 2 * BUS_LAG}, 50.0),
        ("b", {"a": 50.0 - BUS_LAG / 2}, 50.0 - BUS_LAG),
        ("b", {"a": 51.0}, 50.0 - BUS_LAG),
        ("b", {"c": 40.0}, 50.0 - BUS_LAG),
        ("a", {"b": 40.0}, 50.0 - BUS_LAG),
        ("stranger", {}, 50.0 - BUS_LAG),
    ],
    ids=[
        "a primary: its replica may accept messages",
        "a replica",
        "its primary is dead for longer than the bus takes",
        "its primary died just now",
        "its primary died later",
        "another primary is dead",
        "a primary whose replica is dead",
        "a stranger",
    ],
)
def test_p10_until_when_a_node_has_delivered_all_that_its_shard_accepted(node, down, complete):
    known = Known()
    known.down.since.update(down)
    assert known.complete(node, 50.0) == pytest.approx(complete)


@pytest.mark.parametrize(
    ("known", "node", "slot", "lost"),
    [
        (topology(), "a", 5, False),
        (topology(), "b", 5, False),
        (topology(migrating={5: "c"}), "b", 5, True),
        (topology(migrating={5: "c"}), "b", 6, False),
        (topology(migrating={5: "c"}), "a", 5, False),
        (topology(migrating={5: "c"}), "d", 5, False),
        (topology(owner="c"), "b", 5, True),
        (topology(owner="c"), "d", 5, False),
        (topology(), "b", 500, False),
        (topology(), "stranger", 5, False),
    ],
    ids=[
        "a primary",
        "its replica",
        "a slot on its way off the replica's shard",
        "another slot",
        "the primary says itself what it accepted",
        "a replica of the shard that gets the slot",
        "a slot that has moved",
        "a replica of its new shard",
        "nobody's slot",
        "a stranger",
    ],
)
def test_p10_a_slot_that_leaves_a_replicas_shard(known, node, slot, lost):
    assert Known(known).lost_slot(node, slot) is lost


def test_p10_a_slot_that_the_promoted_replica_has_did_not_leave_the_shard():
    """In the middle of a failover nodes may show the former primary as one of no shard."""
    known = Known()
    nodes = [
        Node("b", "127.0.0.1", 7001, Role.PRIMARY),
        Node("c", "127.0.0.1", 7002, Role.PRIMARY),
        Node("a", "127.0.0.1", 7000, Role.REPLICA, primary_id="c"),
    ]
    known.take(build_topology(nodes, {"b": [(0, 9)], "c": [(10, 19)]}), 99.0)
    assert not known.lost_slot("a", 5), "the two were of one shard just now"
    known.time += REMEMBERED + 1.0
    assert known.lost_slot("a", 5)


def test_what_is_known_decides_where_channels_belong():
    known = Known()
    assert shard_places(known.topology, 5, known.health()) == ("a",)
    known.down.lost("a")
    assert shard_places(known.topology, 5, known.health()) == ("a", "b")
    known.down.forget("a")
    known.unsettled.note(5, 100.0)
    assert shard_places(known.topology, 5, known.health()) == ("b", "a")
    known.take(topology("b", "a"), 101.0)
    assert not known.unsettled.slots, "the look after it shows the new primary"
    assert shard_places(known.topology, 5, known.health()) == ("b",)
    known.take(topology("b", "a", migrating={5: "c"}), 102.0)
    assert shard_places(known.topology, 5, known.health()) == ("b", "c")


def test_a_replica_of_a_new_primary_is_not_preferred_for_a_while():
    known = Known(replicas_first=True)
    assert shard_places(known.topology, 5, known.health()) == ("b",)
    known.take(topology("b", "a"), 100.0)
    assert shard_places(known.topology, 5, known.health()) == ("b",)
    known.time += 2.0
    known.roles.expire(known.time)
    assert shard_places(known.topology, 5, known.health()) == ("a",)


def test_a_replica_that_came_back_is_not_trusted_until_it_surely_receives():
    known = Known()
    assert known.trusted("b")
    known.roles.back("b", known.time)
    assert not known.trusted("b")
    known.roles.expire(known.time + 2.0)
    assert known.roles.trusted(known.topology, known.time) == ["b"]
    assert known.trusted("b")


def test_nodes_that_left_the_cluster_are_forgotten():
    known = Known()
    known.down.since.update(a=1.0, gone=1.0)
    known.forget_others()
    assert known.down.since == {"a": 1.0}


def test_p6_a_slot_is_imported_while_it_moves_and_for_a_while_after_it_arrived():
    known = Known(topology(migrating={5: "c"}))
    assert known.imports("c", 5)
    assert not known.imports("a", 5)
    assert not known.imports("c", 6)
    known.take(topology(owner="c"), 100.0)
    assert not known.imports("c", 5), "nobody said that it has just arrived"
    known.moved(5, "c")
    assert known.imports("c", 5)
    known.time += REMEMBERED - 0.1
    known.expire()
    assert known.imports("c", 5)
    known.moved(5, "a")
    assert not known.imports("c", 5)
    known.time += REMEMBERED + 0.1
    known.expire()
    assert not known.imports("a", 5)


@pytest.mark.parametrize(("silent", "lingers"), [(False, True), (True, False)])
def test_p7_a_node_that_came_back_feeds_until_the_handover_is_over_but_a_silent_one_does_not(
    silent, lingers
):
    known = Known()
    known.roles.back("b", known.time, restarted=True)
    if silent:
        known.cut_off = frozenset("b")
    placement = ShardPlacement(known, lambda: 1, lambda: None)
    target = Target(Kind.SHARD, b"a")
    assert bool(placement.linger(Handover(target, "b", "a"))) is lingers
