"""Whether one node's view confirms what is known, and what it adds: the moves it knows of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.topology.confirm import carry_over, confirm
from actors.redis.topology.merge_views import merge
from actors.redis.topology.model import Health, Node, Role, Topology, build_topology
from actors.redis.topology.update import tidy

NODES = [
    Node("a", "h", 1, Role.PRIMARY),
    Node("b", "h", 2, Role.PRIMARY),
    Node("c", "h", 3, Role.PRIMARY),
    Node("d", "h", 4, Role.REPLICA, primary_id="a"),
]
OWNED = {"a": [(0, 99)], "b": [(100, 199)], "c": [(200, 299)]}


def seen_by(
    node: str | None,
    *,
    nodes: list[Node] = NODES,
    owned: dict[str, list[tuple[int, int]]] = OWNED,
    migrating: dict[int, str] | None = None,
    importing: dict[int, str] | None = None,
) -> Topology:
    """Return the view of ``node``."""
    return build_topology(
        nodes, owned, myself=node, migrating=migrating or {}, importing=importing or {}
    )


def changed(node: str, **changes: object) -> list[Node]:
    return [replace(one, **changes) if one.id == node else one for one in NODES]  # type: ignore[arg-type]


KNOWN = tidy(merge([seen_by(node.id) for node in NODES]))


@pytest.mark.parametrize("node", ["a", "b", "c", "d"])
def test_a_node_that_says_the_same_confirms_what_is_known(node):
    assert confirm(KNOWN, seen_by(node)) is KNOWN


def test_what_differs_from_node_to_node_and_all_the_time_is_no_news():
    nodes = changed("d", replication_offset=77, flags=frozenset({"slave"}))
    nodes = [replace(one, config_epoch=9) if one.id == "b" else one for one in nodes]
    nodes = [replace(one, link_up=False) if one.id == "d" else one for one in nodes]
    assert confirm(KNOWN, seen_by("a", nodes=nodes)) is KNOWN


@pytest.mark.parametrize(
    "view",
    [
        seen_by("a", nodes=changed("d", role=Role.PRIMARY, primary_id=None)),
        seen_by("a", nodes=changed("d", primary_id="b")),
        seen_by("a", nodes=changed("b", health=Health.SUSPECTED)),
        seen_by("a", nodes=changed("b", health=Health.FAILED)),
        seen_by("a", nodes=changed("b", port=22)),
        seen_by("b", nodes=changed("a", port=22)),
        seen_by("a", nodes=changed("d", port=0)),
        seen_by("a", nodes=NODES[:3]),
        seen_by("a", nodes=[*NODES, Node("e", "h", 5, Role.REPLICA, primary_id="a")]),
        seen_by("a", owned={"a": [(0, 98)], "b": [(99, 199)], "c": [(200, 299)]}),
        seen_by("a", owned={"a": [(0, 98)], "b": [(100, 199)], "c": [(200, 299)]}),
        seen_by("a", nodes=[NODES[0], *(replace(n, link_up=False) for n in NODES[1:3]), NODES[3]]),
    ],
    ids=[
        "promoted",
        "re-parented",
        "suspected",
        "failed",
        "another address",
        "another address of the owner",
        "no address",
        "a node has left",
        "a node was added",
        "a slot moved",
        "a slot is nobody's",
        "the node sees no majority",
    ],
)
def test_a_node_that_says_something_else_does_not_confirm(view):
    assert confirm(KNOWN, view) is None


def test_what_a_node_says_of_its_own_address_is_no_news():
    assert confirm(KNOWN, seen_by("b", nodes=changed("b", host="old", port=22))) is KNOWN


def test_only_the_two_ends_of_a_move_tell_of_it():
    at_source = confirm(KNOWN, seen_by("a", migrating={5: "b"}))
    assert at_source is not None
    assert at_source.migrating == {5: "b"}
    at_target = confirm(KNOWN, seen_by("b", importing={5: "a"}))
    assert at_target is not None
    assert at_target.migrating == {5: "b"}
    assert at_target.importing == {5: "a"}
    assert (at_source.shards, at_target.shards) == (KNOWN.shards, KNOWN.shards)
    assert KNOWN.migrating == {}


def test_a_node_that_does_not_take_part_says_nothing_of_a_move():
    moving = confirm(KNOWN, seen_by("a", migrating={5: "b"}))
    assert moving is not None
    assert confirm(moving, seen_by("c")) is moving
    assert confirm(moving, seen_by("d")) is moving


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_move_is_over_when_one_of_its_ends_says_so(node):
    moving = confirm(KNOWN, seen_by("a", migrating={5: "b", 6: "c"}))
    assert moving is not None
    after = confirm(moving, seen_by(node))
    assert after is not None
    assert after.migrating == ({} if node == "a" else {6: "c"})


def test_the_target_that_imports_no_more_ends_what_it_told_itself():
    importing = confirm(KNOWN, seen_by("b", importing={5: "a"}))
    assert importing is not None
    after = confirm(importing, seen_by("b"))
    assert after is not None
    assert (after.migrating, after.importing) == ({}, {})


def test_a_source_that_does_not_know_of_the_move_does_not_contradict_the_target():
    importing = confirm(KNOWN, seen_by("b", importing={5: "a"}))
    assert importing is not None
    assert confirm(importing, seen_by("a")) is importing
    merged = merge([seen_by("a"), seen_by("c")])
    assert carry_over(importing, merged, {"a", "c"}).migrating == {5: "b"}
    assert carry_over(importing, merged, {"a", "b"}).migrating == {}
    # Replicas of Valkey repeat what their primary says: the move is not to them.
    assert confirm(KNOWN, seen_by("d", importing={5: "b"}, migrating={6: "c"})) is KNOWN


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.dictionaries(st.integers(0, 299), st.sampled_from("abc"), max_size=4),
        ),
        max_size=8,
    )
)
def test_after_all_ends_were_asked_the_moves_known_are_those_that_are(history):
    """Moves come and go; one node after another is asked, and each time nothing else changes."""
    known, moves = KNOWN, {}
    for asked, wanted in history:
        moves = {
            slot: to
            for slot, to in wanted.items()
            if (owner := KNOWN.primary_for(slot)) is not None and owner.id != to
        }
        known = ask(known, asked, moves)
    for node in "abcd":
        known = ask(known, node, moves)
    assert known.migrating == moves
    assert known.shards == KNOWN.shards


def ask(known: Topology, node: str, moves: dict[int, str]) -> Topology:
    def owner(slot: int) -> str | None:
        primary = KNOWN.primary_for(slot)
        return None if primary is None else primary.id

    view = seen_by(
        node,
        migrating={slot: to for slot, to in moves.items() if owner(slot) == node},
        importing={slot: str(owner(slot)) for slot, to in moves.items() if to == node},
    )
    found = confirm(known, view)
    assert found is not None
    return found


def test_a_merged_view_keeps_the_moves_of_nodes_that_were_not_asked():
    known = replace(KNOWN, migrating={5: "b", 105: "c", 205: "a"})
    merged = tidy(merge([seen_by("b"), seen_by("c")]))
    found = carry_over(known, merged, {"b", "c"})
    assert found.migrating == {5: "b"}
    assert carry_over(known, merged, {"a", "b", "c"}) is merged
    assert carry_over(KNOWN, merged, {"b"}) is merged


def test_a_move_is_not_kept_where_the_slot_has_another_owner_or_its_target_has_left():
    known = replace(KNOWN, migrating={5: "b", 6: "gone"})
    moved = seen_by(
        "c", owned={"a": [(0, 4), (6, 99)], "b": [(5, 5), (100, 199)], "c": [(200, 299)]}
    )
    assert carry_over(known, tidy(moved), {"c"}).migrating == {}


def test_what_the_merged_views_say_themselves_wins():
    known = replace(KNOWN, migrating={5: "b", 6: "b"})
    merged = replace(KNOWN, migrating={5: "c"})
    assert carry_over(known, merged, set()).migrating == {5: "c", 6: "b"}
