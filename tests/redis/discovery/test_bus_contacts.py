"""Who is out of touch with the cluster, by what nodes say of each other at different times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.discovery.bus_contacts import BusContacts
from actors.redis.topology.model import Health, Node, Role, Topology, build_topology

#: The nodes' clock is so many seconds ahead of ours.
AHEAD = 5000.0


def view(
    myself: str,
    heard: dict[str, float],
    *,
    suspects: Collection[str] = (),
    failed: Collection[str] = (),
    ahead: float = AHEAD,
) -> Topology:
    """Return the answer of ``myself``, which heard of each node at a time by our clock."""
    nodes = [Node(myself, "h", 1, Role.PRIMARY)]
    nodes += [
        Node(
            name,
            "h",
            2,
            Role.PRIMARY,
            health=Health.SUSPECTED
            if name in suspects
            else Health.FAILED
            if name in failed
            else Health.ONLINE,
            heard_at=int((at + ahead) * 1000),
        )
        for name, at in heard.items()
    ]
    owned = {node.id: [(n, n)] for n, node in enumerate(sorted(nodes, key=lambda node: node.id))}
    return build_topology(nodes, owned, myself=myself)


def asked(contacts: BusContacts, at: float, *views: Topology) -> None:
    for one in views:
        contacts.read(one, at)
    contacts.compare(views, at)


def well(myself: str, at: float, names: str = "abcd") -> Topology:
    """Return the answer at ``at`` of a node that heard of all others within the last second."""
    return view(myself, {n: at - 0.2 * i for i, n in enumerate(names) if n != myself})


def test_p10_a_replica_itself_says_whom_it_follows_and_until_when():
    def said_by(myself: str, primary: str) -> Topology:
        nodes = [
            Node("r", "h", 1, Role.REPLICA, primary_id=primary),
            Node("a", "h", 2, Role.PRIMARY),
            Node("b", "h", 3, Role.PRIMARY),
        ]
        return build_topology(nodes, {"a": [(0, 0)], "b": [(1, 1)]}, myself=myself)

    contacts = BusContacts()
    assert contacts.followed_at("r", "a") == -inf
    contacts.read(said_by("r", "a"), 1.0)
    contacts.read(said_by("b", "a"), 2.0)
    assert contacts.followed_at("r", "a") == 1.0
    contacts.read(said_by("r", "b"), 3.0)
    assert (contacts.followed_at("r", "a"), contacts.followed_at("r", "b")) == (1.0, 3.0)
    contacts.keep({"a", "b"}, 4.0)
    assert contacts.followed_at("r", "a") == -inf


def test_nodes_that_hear_of_each_other_are_in_touch():
    contacts = BusContacts()
    for at in range(20):
        asked(contacts, at, well("abcd"[at % 4], at))
        assert not contacts.cut_off
        assert not any(map(contacts.deaf, "abcd"))
        assert not any(map(contacts.doubtful, "abcd"))
    assert contacts.heard_at("a") <= 16
    assert contacts.known_at("a") == 19
    assert (contacts.heard_at("x"), contacts.known_at("x")) == (-inf, -inf)


def test_a_node_that_hears_of_nobody_any_more_is_cut_off_since_it_heard_last():
    contacts, stopped = BusContacts(), 5.3
    for at in range(5):
        asked(contacts, at, well("a", at))
    silence = view("a", {"b": stopped, "c": stopped - 0.3, "d": stopped - 0.5})
    for at in (6, 7, 8):
        asked(contacts, at, silence)
        assert not contacts.deaf("a")
    asked(contacts, 9.6, silence)
    assert contacts.doubtful("a")
    assert contacts.deaf("a")
    # Alone it proves nothing: the others may be dead.
    assert not contacts.cut_off
    asked(contacts, 10, silence, well("b", 10))
    assert contacts.cut_off.keys() == {"a"}
    assert stopped - 2.5 < contacts.heard_at("a") <= stopped
    heard = contacts.heard_at("a")
    # It stays so, and so does the time, until the node hears of the others again.
    asked(contacts, 20, silence, well("c", 20))
    assert contacts.heard_at("a") == heard
    asked(contacts, 21, well("a", 21))
    assert not contacts.cut_off


def test_a_node_that_suspects_most_of_the_others_is_cut_off_if_one_of_them_answers():
    contacts = BusContacts()
    for at in range(3):
        asked(contacts, at, well("a", at), well("b", at))
    lonely = view("a", dict.fromkeys("bcd", 2.1), suspects="bcd")
    asked(contacts, 4, lonely)
    assert not contacts.cut_off
    asked(contacts, 5, lonely, well("b", 5))
    assert contacts.cut_off.keys() == {"a"}
    assert contacts.heard_at("a") <= 2.1


def test_a_node_that_hears_of_a_minority_only_is_judged_by_the_others():
    contacts = BusContacts()
    for at in range(3):
        asked(contacts, at, well("a", at))
    # b is on the same side of the cut: the node hears of it all the time.
    for at in range(3, 9):
        asked(contacts, at, view("a", {"b": at, "c": 2.0, "d": 2.0}))
    asked(contacts, 9, view("a", {"b": 9, "c": 2.0, "d": 2.0}, suspects="cd"), well("c", 9))
    assert contacts.cut_off.keys() == {"a"}
    assert contacts.heard_at("a") <= 2.0


def test_the_last_one_alive_is_not_cut_off():
    contacts = BusContacts()
    asked(contacts, 0, well("a", 0, "ab"))
    for at in range(1, 20):
        asked(contacts, at, view("a", {"b": 0.1}, suspects="b" if at > 5 else ""))
    assert not contacts.cut_off
    # Of dead nodes nobody hears.
    for at in range(20, 30):
        asked(contacts, at, view("a", {"b": 0.1}, failed="b"))
    assert not contacts.cut_off


def test_a_node_that_was_stopped_has_time_to_hear_of_the_others():
    contacts = BusContacts()
    for at in range(3):
        asked(contacts, at, well("a", at))
    # It stood still for ten seconds, and is asked before its first ping.
    asked(contacts, 13, view("a", {"b": 1.8, "c": 1.6, "d": 1.4}), well("b", 13))
    assert contacts.doubtful("a")
    asked(contacts, 14, well("a", 14), well("b", 14))
    assert not contacts.cut_off
    assert not contacts.doubtful("a")


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0.1, 1.5), min_size=6, max_size=20))
def test_whatever_the_nodes_clock_says_the_time_is_not_later_than_the_truth(ahead, pauses):
    contacts, at, heard = BusContacts(), 0.0, dict.fromkeys("bcd", 0.0)
    for pause in pauses:
        at += pause
        heard |= {"b": at - 0.9 * pause % 1, "c": at - 0.4, "d": at - 0.8}
        asked(contacts, at, view("a", heard, ahead=ahead))
    for _ in range(6):
        at += 1.0
        asked(contacts, at, view("a", heard, ahead=ahead), well("b", at))
    most = sorted(heard.values())[1]
    assert contacts.cut_off.keys() == {"a"}
    assert most - 2.0 <= contacts.heard_at("a") <= most


# -- forgotten nodes -------------------------------------------------------------------------------


def test_a_forgotten_node_was_known_when_no_other_one_lacked_it():
    contacts = BusContacts()
    asked(contacts, 0, well("b", 0), well("c", 0))
    asked(contacts, 1, well("a", 1))
    assert contacts.known_at("a") == 0  # what it says itself proves nothing
    asked(contacts, 3, well("b", 3))
    assert contacts.known_at("a") == 3
    asked(contacts, 5, well("a", 5), well("b", 5, "bcd"), well("c", 5))
    assert contacts.known_at("a") == 3
    asked(contacts, 6, well("a", 6), well("b", 6, "bcd"), well("c", 6, "bcd"))
    assert contacts.forgotten(6) == {"a"}
    # While it runs, the others learn of it for moments.
    asked(contacts, 8, well("b", 8))
    assert contacts.known_at("a") == 3
    asked(contacts, 12, well("c", 12, "bcd"))
    assert contacts.forgotten(17) == {"a"}
    contacts.keep("bcd", 17)
    assert contacts.known_at("a") == 3
    # It was met again: all know it for long enough.
    assert contacts.forgotten(23) == set()
    asked(contacts, 23, well("b", 23))
    assert contacts.known_at("a") == 23


def test_a_node_that_joins_is_not_taken_for_a_forgotten_one():
    contacts = BusContacts()
    asked(contacts, 0, well("b", 0, "bc"), well("c", 0, "bc"))
    asked(contacts, 1, well("b", 1, "abc"), well("c", 1, "bc"))
    assert not contacts.forgotten(1)
    asked(contacts, 2, well("b", 2, "abc"), well("c", 2, "abc"))
    assert contacts.known_at("a") == 2


def test_a_node_that_others_suspect_is_not_known_to_be_well():
    contacts = BusContacts()
    asked(contacts, 0, well("b", 0))
    asked(contacts, 5, view("b", dict.fromkeys("acd", 4.9), suspects="a"))
    assert contacts.known_at("a") == 0
    unlinked = view("b", dict.fromkeys("acd", 4.9))
    nodes = [replace(n, link_up=n.id != "a") for n in unlinked.nodes.values()]
    asked(contacts, 6, build_topology(nodes, {"b": [(0, 9)]}, myself="b"))
    assert contacts.known_at("a") == 0
    contacts.keep("bcd", 100)
    assert contacts.known_at("a") == -inf


@pytest.mark.parametrize("myself", [None, "a"])
def test_an_answer_that_tells_no_times_tells_nothing(myself):
    contacts = BusContacts()
    silent = build_topology([Node("a", "h", 1, Role.PRIMARY)], {"a": [(0, 9)]}, myself=myself)
    for at in range(9):
        asked(contacts, at, silent)
    assert not contacts.cut_off
    assert not contacts.deaf(myself)
