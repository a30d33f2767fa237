"""Which views are of one cluster: those that know the same nodes, whatever their addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.topology.identity import by_cluster, same_cluster, votes
from actors.redis.topology.model import Node, Role, Topology, build_topology
from actors.redis.topology.update import disown, without_members


def seeing(names: str, *, slots: bool = True, host: str = "h") -> Topology:
    """Return a view of the nodes ``names``, asked of the first one, which serves the slots."""
    nodes = [Node(name, host, 7000 + n, Role.PRIMARY) for n, name in enumerate(names)]
    return build_topology(nodes, {names[0]: [(0, 9)]} if slots else {}, myself=names[0])


@pytest.mark.parametrize(
    ("known", "seen", "same"),
    [
        ("abc", "abc", True),
        ("abc", "bca", True),
        ("abc", "xyz", False),
        ("abcdef", "abcdxy", True),  # a third was replaced
        ("abc", "abcuvwxyz", True),  # it grew to three times the size
        ("abcdefghi", "abc", True),  # it shrank to a third
        ("a", "abc", True),
        ("abc", "a", True),  # it forgot the others, and is no other cluster for that
        ("abc", "axyz", False),  # reset, with its id kept, and joined another cluster
        ("abcdef", "axyz", False),
        ("abcdef", "x", False),  # reset, with a new id
        ("ab", "ax", True),  # undecidable: the other half was replaced, or this one has left
        ("abc", "axy", False),
    ],
)
def test_at_least_half_of_the_nodes_are_the_same(known, seen, same):
    assert same_cluster(seeing(known), seeing(seen)) is same
    assert same_cluster(seeing(seen), seeing(known)) is same
    # Addresses do not count: another cluster may have been given them.
    assert same_cluster(seeing(known), seeing(seen, host="elsewhere")) is same


def test_the_cluster_with_the_most_voters_comes_first():
    mine = [seeing("abc"), seeing("bca"), seeing("cab")]
    other = [seeing("xyz"), seeing("yzx")]
    assert by_cluster([*other, *mine]) == [mine, other]
    assert by_cluster([mine[0], other[0], mine[1], other[1]])[0] == mine[:2]
    assert by_cluster([]) == []


def test_a_node_without_a_cluster_has_no_vote():
    fresh = [seeing("u", slots=False), seeing("v", slots=False)]
    assert [votes([view]) for view in fresh] == [0, 0]
    assert by_cluster([*fresh, seeing("abc")])[0] == [seeing("abc")]


def test_views_that_have_nothing_in_common_are_of_one_cluster_by_a_third():
    # Half of the nodes were replaced, and again: the second view is of the same cluster as either.
    first, second, third = seeing("abcd"), seeing("cdef"), seeing("efgh")
    assert not same_cluster(first, third)
    assert len(by_cluster([first, third, second])) == 1


ids = st.sets(st.sampled_from("abcdefgh"), min_size=1).map(lambda names: "".join(sorted(names)))


@given(ids, ids)
def test_a_cluster_is_itself_and_shares_nothing_with_strangers(names, others):
    assert same_cluster(seeing(names), seeing(names))
    assert not same_cluster(seeing(names), seeing(others.upper()))
    assert same_cluster(seeing(names), seeing(others)) == same_cluster(
        seeing(others), seeing(names)
    )


@given(st.lists(ids, max_size=8))
def test_grouping_loses_no_view_and_keeps_clusters_apart(many):
    views = [seeing(names) for names in many]
    groups = by_cluster(views)
    assert sorted(map(id, views)) == sorted(id(view) for group in groups for view in group)
    for group in groups:
        for other in groups:
            if other is not group:
                assert not any(same_cluster(one, two) for one in group for two in other)


@given(ids, st.integers(0, 7))
def test_replacing_one_node_at_a_time_is_the_same_cluster_all_the_way(names, at):
    if len(names) > 1:
        at %= len(names)
        assert same_cluster(seeing(names), seeing(names[:at] + "X" + names[at + 1 :]))


# -- what becomes of the nodes ---------------------------------------------------------------------


def test_a_node_whose_address_is_somebody_elses_has_failed_and_has_no_address():
    before = seeing("abc")
    after = disown(before, {("h", 7001)})
    assert after.failing == {"b"}
    assert not after.nodes["b"].addressable
    assert after.at(("h", 7001)) is None
    assert after.at(("h", 7002)) == before.nodes["c"]
    assert disown(after, {("h", 7001)}) is after
    assert disown(before, ()) is before


def test_a_forgotten_node_is_no_member_unless_it_serves_slots():
    before = seeing("abc")
    assert without_members(before, {"b", "z"}).nodes.keys() == {"a", "c"}
    assert without_members(before, {"a"}) is before
    after = without_members(before, {"a", "c"})
    assert after.nodes.keys() == {"a", "b"}
    assert (after.myself, after.primaries) == ("a", before.primaries)
