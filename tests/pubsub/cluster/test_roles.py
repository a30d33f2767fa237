"""What a change of roles means: who is promoted, which replica may miss messages for a while."""

from __future__ import annotations

import pytest

from actors.pubsub.cluster.placement_rules import NodeHealth, shard_places
from actors.pubsub.cluster.shard_roles import RELAYED, Revocations, Roles, promoted
from actors.pubsub.model.types import Kind, Target
from actors.redis.topology.model import Node, Role, Topology, build_topology
from actors.redis.topology.slots import SLOTS

X, Y = Target(Kind.SHARD, b"x"), Target(Kind.SHARD, b"y")


def shard(primary: str, *replicas: str, others: tuple[str, ...] = ()) -> Topology:
    nodes = [Node(primary, "h", 1, Role.PRIMARY)]
    nodes += [Node(one, "h", 2, Role.REPLICA, primary_id=primary) for one in replicas]
    nodes += [Node(one, "h", 3, Role.REPLICA, primary_id="elsewhere") for one in others]
    return build_topology(nodes, {primary: [(0, SLOTS - 1)]})


@pytest.mark.parametrize(
    ("old", "new", "unsure"),
    [
        (shard("a", "b"), shard("a", "b"), set()),
        (shard("a", "b"), shard("b", "a"), {"a"}),
        (shard("a", "b", "c"), shard("b", "a", "c"), {"a", "c"}),
        (shard("a", "b"), shard("b"), set()),
        (shard("a", "b"), shard("a", "b", "c"), {"c"}),
        (shard("a", "b", others=("c",)), shard("a", "b", "c"), {"c"}),
    ],
    ids=["as it was", "handed over", "three nodes", "killed", "added", "re-parented"],
)
def test_replicas_of_a_new_primary_may_miss_messages(old, new, unsure):
    roles = Roles()
    roles.note(old, new, 5.0)
    assert roles.unsure.keys() == unsure
    assert not roles.expire(5.0 + RELAYED / 2)
    assert roles.expire(5.0 + RELAYED) is bool(unsure)
    assert not roles.unsure


def test_who_was_promoted_and_whom_it_follows():
    assert promoted(shard("a", "b"), shard("a", "b")) == {}
    assert promoted(shard("a", "b", "c"), shard("b", "a", "c")) == {"b": "a"}
    assert promoted(shard("a", "b"), shard("b")) == {"b": "a"}
    assert promoted(shard("a"), shard("b")) == {}


def test_a_node_that_takes_a_target_away_changed_its_role_last():
    roles = Roles()
    roles.note(shard("a", "b"), shard("b", "a"), 5.0)
    # Handed over and back within the time, which no topology shows.
    roles.taken("b", ["a", "b"], 5.5)
    assert roles.unsure.keys() == {"b"}
    assert not roles.expire(5.0 + RELAYED)
    assert roles.expire(5.5 + RELAYED)


@pytest.mark.parametrize(
    ("health", "places"),
    [
        (NodeHealth(replicas_first=True), ("b",)),
        (NodeHealth(replicas_first=True, unsure={"b"}), ("c",)),
        (NodeHealth(replicas_first=True, unsure={"b", "c"}), ("a",)),
        (NodeHealth(replicas_first=True, unsure={"b", "c"}, silent={"a"}), ("b", "c", "a")),
        (NodeHealth(unsure={"b"}), ("a",)),
        # Taken away, nobody saw why: from the primary; from a replica.
        (NodeHealth(unsettled={0}, unsure={"a"}), ("b", "c", "a")),
        (NodeHealth(unsettled={0}, unsure={"b"}, replicas_first=True), ("a", "c", "b")),
        (NodeHealth(unsettled={0}, unsure={"b"}), ("c", "a", "b")),
    ],
)
def test_the_promoted_node_is_listened_to_until_replicas_are_sure(health, places):
    assert shard_places(shard("a", "b", "c"), 0, health) == places


def test_a_replica_that_was_away_is_trusted_after_a_while_or_as_a_primary():
    roles = Roles()
    roles.back("a", 5.0)
    roles.back("b", 5.0)
    assert roles.unsure.keys() == {"a", "b"}
    assert roles.trusted(shard("c", "a", "b"), 5.0) == []
    assert roles.trusted(shard("a", "b"), 5.0) == ["a"]
    assert roles.expire(5.0 + RELAYED)
    assert roles.trusted(shard("a", "b"), 5.0 + RELAYED) == ["b"]
    assert roles.trusted(shard("a", "b"), 5.0 + RELAYED) == []


def test_a_primary_that_was_restarted_is_trusted_once_the_others_are_linked_to_it():
    roles = Roles()
    roles.back("a", 5.0, restarted=True)
    assert roles.any_returning
    assert roles.trusted(shard("a", "b"), 5.2) == []
    assert roles.returning("a")
    assert roles.trusted(shard("a", "b"), 5.5) == ["a"]
    assert not roles.any_returning


@pytest.mark.parametrize(
    ("facts", "promoted"),
    [
        # node, whether the topology shows it as a replica
        ([("a", False)], [False]),
        ([("b", True)], [True]),
        ([("a", False), ("b", True)], [False, True]),
        # Demoted and promoted again: no topology showed it as a replica, or one did.
        ([("a", False), ("a", False)], [False, True]),
        ([("a", False), ("a", True)], [False, True]),
    ],
)
def test_who_took_over(facts, promoted):
    revocations = Revocations()
    found = [revocations.promoted(node, X, replica=replica, now=1.0) for node, replica in facts]
    assert found == promoted


def test_each_target_is_demoted_once():
    revocations = Revocations()
    assert not revocations.promoted("a", X, replica=False, now=1.0)
    assert not revocations.promoted("a", Y, replica=False, now=1.1), "another target of the shard"
    assert not revocations.promoted("b", X, replica=False, now=1.1), "another node"
    assert revocations.promoted("a", Y, replica=False, now=1.2)


def test_a_demotion_of_long_ago_says_nothing_of_the_next_one():
    revocations = Revocations()
    assert not revocations.promoted("a", X, replica=False, now=1.0)
    revocations.expire(0.5)
    assert revocations.promoted("a", X, replica=False, now=2.0)
    revocations.expire(10.0)
    assert not revocations.promoted("a", X, replica=False, now=11.0)
