"""What a member owns, and from whom it has it: fact by fact."""

from __future__ import annotations

import pytest

from actors.pubsub.api.gated import Takeover
from actors.worker.fleet.decisions import Gained
from actors.worker.fleet.members import Gone, Member
from actors.worker.fleet.owners import owner
from actors.worker.membership.ownership import Ownership

NAMES = frozenset("ab")
DEAD = Gone(Member("dead", "1"), 5_000)
SILENT = Gone(Member("silent", "1"), 0)


def test_f2_names_are_handed_over_once_however_many_nodes_say_so():
    ownership = Ownership()
    handed = Takeover(None, "handed over")
    assert ownership.gained(Gained("n1", NAMES, ()), 9.0, 0.0) == dict.fromkeys(NAMES, handed)
    assert ownership.gained(Gained("n2", NAMES, ()), 9.0, 0.0) == {}
    assert ownership.takeover_of("a") == handed
    assert ownership.held(["n1", "n2"]) == NAMES
    assert ownership.lost("n1", ["a"]) == []
    assert ownership.held(["n1", "n2"]) == {"b"}
    assert ownership.lost("n2", ["a"]) == ["a"]
    assert ownership.takeover_of("a") is None
    assert ownership.all() == {"b"}


def test_f3_what_a_dead_member_has_not_handled_begins_where_it_said_last():
    ownership = Ownership()
    found = ownership.gained(Gained("n1", NAMES, (DEAD,)), 9.0, 3.0)
    assert {takeover.since for takeover in found.values()} == {5.0}
    assert found["a"].reason == "taken over from dead/1, which is gone"
    assert (
        ownership.gained(Gained("n1", frozenset("c"), (DEAD, SILENT)), 9.0, 3.0)["c"].since == 3.0
    )


def test_f1_where_nobody_owned_names_before_there_is_nothing_to_take_over():
    ownership = Ownership()
    assert ownership.gained(Gained("n1", NAMES, (), fresh=True), 9.0, 0.0) == {}
    assert ownership.takeover_of("a") is None


def test_f3_the_only_member_takes_over_from_itself_once_after_its_lease_was_over():
    ownership = Ownership()
    ownership.gained(Gained("n1", NAMES, (), fresh=True), 9.0, 0.0)
    ownership.stop(41.0)
    assert ownership.all() == set()
    found = ownership.gained(Gained("n1", NAMES, (), fresh=True), 9.0, 0.0)
    assert {takeover.since for takeover in found.values()} == {41.0}
    assert ownership.gained(Gained("n1", frozenset("c"), (), fresh=True), 9.0, 0.0) == {}


def test_f3_what_others_took_meanwhile_they_have_handled():
    ownership = Ownership()
    ownership.gained(Gained("n1", NAMES, (), fresh=True), 9.0, 0.0)
    ownership.stop(41.0)
    found = ownership.gained(Gained("n1", NAMES, ()), 9.0, 0.0)
    assert {takeover.since for takeover in found.values()} == {None}


@pytest.mark.parametrize(
    ("gone", "fresh", "since"),
    [((), True, 7.0), ((), False, 7.0), ((DEAD,), False, 5.0), ((SILENT,), False, 6.0)],
)
def test_f2_who_gains_names_after_a_reconnect_missed_what_came_meanwhile(gone, fresh, since):
    """A commit may have come in that time: nobody knows since when the names are this member's."""
    ownership = Ownership()
    found = ownership.gained(Gained("n1", NAMES, gone, fresh), 9.0, 6.0, 7.0)
    assert {takeover.since for takeover in found.values()} == {since}


def owned_with(*ids: str) -> list[str]:
    """Names that the first of ``ids`` would own if the second one were not there."""
    names = [f"name-{number}" for number in range(40)]
    return [n for n in names if owner(n, ids) == ids[1] and owner(n, (ids[0], *ids[2:])) == ids[0]]


def test_f3_what_a_member_handed_over_and_had_not_handled_when_it_died_is_told_once():
    ownership, others = Ownership(), ("dead", "me", "third")
    of_dead, of_third = owned_with(*others), owned_with("third", "me", "dead")
    assert of_dead
    assert of_third
    ownership.gained(Gained("n1", frozenset([*of_dead, *of_third]), ()), 9.0, 0.0)
    found = ownership.unhandled(DEAD, ["me", "third"], "me", 0.0)
    assert found == (5.0, dict.fromkeys(of_dead, 9.0))
    assert ownership.unhandled(DEAD, ["me", "third"], "me", 0.0) == (5.0, {})


def test_f3_what_a_member_had_handled_before_it_died_is_not_told():
    ownership = Ownership()
    ownership.gained(Gained("n1", NAMES, ()), 4.0, 0.0)
    assert ownership.unhandled(DEAD, ["me"], "me", 0.0) == (5.0, {})
    assert ownership.unhandled(SILENT, ["me"], "me", 3.0) == (3.0, dict.fromkeys(NAMES, 4.0))
    ownership.gained(Gained("n1", frozenset("c"), ()), 9.0, 0.0)
    ownership.lost("n1", ["c"])
    assert ownership.unhandled(DEAD, ["me"], "me", 0.0) == (5.0, {})


def test_f3_what_was_taken_over_from_a_dead_member_is_told_as_a_takeover_alone():
    ownership = Ownership()
    ownership.gained(Gained("n1", NAMES, (DEAD,)), 9.0, 0.0)
    ownership.gained(Gained("n1", frozenset("c"), (), fresh=True), 9.0, 0.0)
    assert ownership.unhandled(DEAD, ["me"], "me", 0.0) == (5.0, {})
