"""Look-ups in a topology, and one topology out of several nodes' views."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.redis.topology.merge_views import choose, in_touch, merge
from actors.redis.topology.model import Health, Node, Role, Topology, build_topology
from actors.redis.topology.slots import SLOTS
from tests.clusters.lending import expand_ranges, uncovered
from tests.redis.topology.captured import SERVERS, A, B, C, D, E, F, topology

on_servers = pytest.mark.parametrize("server", SERVERS)


def primary(node_id: str, epoch: int, *, port: int = 1, **changes) -> Node:
    return Node(node_id, node_id[0], port, Role.PRIMARY, config_epoch=epoch, **changes)


def replica(node_id: str, of: str, epoch: int, **changes) -> Node:
    return Node(node_id, node_id[0], 1, Role.REPLICA, of, config_epoch=epoch, **changes)


# -- look-ups --------------------------------------------------------------------------------------

owners = st.lists(st.sampled_from([None, A, B, C]), min_size=1, max_size=12)


@given(owners, st.sets(st.integers(1, SLOTS - 1), min_size=11, max_size=11))
@settings(max_examples=50)
def test_every_slot_is_looked_up_where_it_is(runs, cuts):
    bounds = [0, *sorted(cuts)[: len(runs) - 1], SLOTS]
    owned: dict[str, list[tuple[int, int]]] = {}
    expected: dict[int, str | None] = {}
    for owner, (start, after) in zip(runs, itertools.pairwise(bounds), strict=True):
        expected |= dict.fromkeys(range(start, after), owner)
        if owner is not None:
            owned.setdefault(owner, []).append((start, after - 1))
    view = build_topology([primary(A, 1), primary(B, 2), primary(C, 3)], owned)
    probes = [s for b in bounds for s in (b - 1, b, b + 1) if 0 <= s < SLOTS]
    found = {slot: view.primary_for(slot) for slot in probes}
    assert {slot: p.id if p else None for slot, p in found.items()} == {
        s: expected[s] for s in probes
    }
    assert set(expand_ranges(uncovered(view))) == {
        slot for slot, owner in expected.items() if owner is None
    }


@on_servers
def test_look_ups_by_id_and_address(server):
    view = topology(server, "nodes")
    assert view.at(("127.0.0.1", 17104)) == view.nodes[D]
    assert view.at(("127.0.0.1", 1)) is None
    assert view.shard_of(D) == view.shard_for(0)
    assert view.shard_of("nobody") is None
    assert [node.id for node in view.primaries] == [A, B, C]


@on_servers
def test_the_fingerprint_follows_the_layout_and_not_the_health(server):
    healthy, failed = topology(server, "nodes"), topology(server, "nodes-failed")
    assert healthy.fingerprint == failed.fingerprint == topology(server, "shards").fingerprint
    assert healthy.fingerprint != topology(server, "nodes-promoted").fingerprint
    assert healthy == topology(server, "nodes") != failed


# -- several views ---------------------------------------------------------------------------------


@on_servers
def test_a_node_that_is_cut_off_is_not_believed(server):
    # a, alone on its side, believes that all others are gone; d stands for a node that sees them.
    cut_off, good = topology(server, "nodes-minority"), topology(server, "nodes-promoted")
    assert not in_touch(cut_off)
    assert in_touch(good)
    assert choose([cut_off, good]) is good
    assert merge([cut_off, good]) == good
    assert choose([cut_off]) is cut_off


@on_servers
def test_a_node_born_again_is_not_believed(server):
    lone, good = topology(server, "nodes-reborn"), topology(server, "nodes")
    assert choose([lone, good]) is good
    assert uncovered(merge([lone, good])) == ()


@on_servers
def test_yesterdays_view_loses_to_the_higher_epoch(server):
    old, new = topology(server, "nodes"), topology(server, "nodes-restarted")
    for views in itertools.permutations([old, topology(server, "nodes-replica"), new]):
        merged = merge(views)
        assert merged.primary_for(16000) == merged.nodes[F]
        assert merged.nodes[C].role is Role.REPLICA
        assert merged.nodes[E].primary_id == B
        assert merged.myself is None
        assert uncovered(merged) == ()


def test_one_alarm_is_enough():
    nodes = [primary(A, 1), primary(B, 2), primary(C, 3), replica(D, A, 1)]
    owned = {A: [(0, 9)], B: [(10, 19)], C: [(20, 29)]}
    calm = build_topology(nodes, owned, myself=B)
    alarmed = build_topology([primary(A, 1, health=Health.SUSPECTED), *nodes[1:]], owned, myself=D)
    assert merge([calm, alarmed]).nodes[A].health is Health.SUSPECTED


def test_the_target_of_a_move_is_believed_over_those_who_have_not_heard():
    def view(myself: str, epoch_b: int, b_has_5: bool):
        nodes = [primary(A, 1), primary(B, epoch_b), primary(C, 3)]
        a, b = ([(0, 4)], [(5, 19)]) if b_has_5 else ([(0, 5)], [(6, 19)])
        return build_topology(nodes, {A: a, B: b, C: [(20, 29)]}, myself=myself)

    for views in itertools.permutations([view(A, 2, False), view(C, 2, False), view(B, 4, True)]):
        assert merge(views).primary_for(5) == merge(views).nodes[B]


def test_a_claim_for_a_node_that_denies_it_counts_last():
    # C has B's new epoch, but not yet A's word that slot 5 came back to A.
    def view(myself: str, a: list[tuple[int, int]], b: list[tuple[int, int]]):
        nodes = [primary(A, 8 if myself == A else 1), primary(B, 9), primary(C, 3)]
        return build_topology(nodes, {A: a, B: b, C: [(20, 29)]}, myself=myself)

    behind = view(C, [(0, 4)], [(5, 19)])
    views = [behind, view(A, [(0, 5)], [(6, 19)]), view(B, [(0, 5)], [(6, 19)])]
    assert merge(views).primary_for(5) == merge(views).nodes[A]


def test_a_reparented_replica_is_right_about_itself():
    nodes = [primary(A, 1), primary(B, 2)]
    owned = {A: [(0, 9)], B: [(10, 19)]}
    stale = [build_topology([*nodes, replica(D, B, 2)], owned, myself=i) for i in (A, B)]
    own = build_topology([*nodes, replica(D, A, 1)], owned, myself=D)
    assert merge([*stale, own]).nodes[D].primary_id == A


@on_servers
def test_moves_are_known_from_both_ends(server):
    merged = merge([topology(server, "nodes-migrating"), topology(server, "nodes-importing")])
    assert dict(merged.migrating) == {10: B, 11: B}
    assert dict(merged.importing) == {10: A, 11: A}


# -- who is a member, and where it is --------------------------------------------------------------


def test_a_node_that_most_of_the_others_do_not_know_is_no_member():
    owned = {"a": [(0, 9)], "b": [(10, 19)], "c": [(20, 29)]}
    members = [primary(name, 1) for name in "abc"]
    forgotten = primary("f", 1)
    views = [build_topology(members, owned, myself=name) for name in "abc"]
    own = build_topology([*members, forgotten], owned, myself="f")
    assert merge([own, *views]).nodes.keys() == set("abc")
    assert merge([own, views[0]]).nodes.keys() == set("abc")
    # One that has met half of them already is one.
    met = build_topology([*members, forgotten], owned, myself="a")
    assert merge([own, met, views[1]]).nodes.keys() == set("abcf")
    assert merge([own]).nodes.keys() == set("abcf")
    # Nodes that have forgotten each other: one of them has to be believed.
    apart = [build_topology([primary(name, 1)], {name: [(0, 9)]}, myself=name) for name in "ab"]
    assert len(merge(apart).nodes) == 1


def test_a_slot_of_a_node_that_most_do_not_know_has_the_owner_that_the_others_name():
    def seen(asked: str, *more: Node, **owned: list[tuple[int, int]]) -> Topology:
        return build_topology([*(primary(name, 1) for name in "abc"), *more], owned, myself=asked)

    lying = seen("a", primary("x", 9), x=[(0, 9)])
    merged = merge([lying, seen("b", a=[(0, 9)]), seen("c", a=[(0, 9)])])
    assert merged.nodes.keys() == set("abc")
    assert merged.primary_for(5) == merged.nodes["a"]
    alone = merge([lying, seen("b", b=[(20, 29)]), seen("c", b=[(20, 29)])])
    assert alone.nodes.keys() == set("abc")
    assert alone.primary_for(5) is None


def test_the_others_say_where_a_node_is():
    def seen(asked: str, **ports: int) -> Topology:
        nodes = [primary(name, 1, port=ports.get(name, 1)) for name in "abc"]
        return build_topology(nodes, {"a": [(0, 9)]}, myself=asked)

    stale = seen("a", a=7)
    moved = [seen("b", a=8), seen("c", a=8)]
    assert merge([stale, *moved]).nodes["a"].port == 8
    assert merge([stale, moved[0]]).nodes["a"].port == 8
    assert merge([*moved, stale]).nodes["a"].port == 8
    # Where they do not agree yet, the most, and then what the node says itself.
    assert merge([stale, seen("b", a=7), *moved, seen("d", a=8)]).nodes["a"].port == 8
    assert merge([stale, seen("b", a=7), seen("c", a=8)]).nodes["a"].port == 7
    assert merge([stale]).nodes["a"].port == 7
    assert merge([stale, seen("b", a=0)]).nodes["a"].port == 7


def test_without_any_view():
    with pytest.raises(ValueError, match="no views"):
        choose([])
    with pytest.raises(ValueError, match="no views"):
        merge([])
