"""Values: members, settings, views per node, and the messages of the control channel."""

from __future__ import annotations

import math

import pytest

from actors.redis.slots import key_slot
from actors.worker.fleet.calls import control_channel, presence_channel, record_keys
from actors.worker.fleet.members import FleetSettings, Gone, Member
from actors.worker.fleet.messages import (
    Commit,
    FleetFormatError,
    Prepare,
    Reply,
    Verdict,
    decode_message,
    decode_reply,
)
from actors.worker.fleet.views import NodeViews, View
from supervisor import SpecError

A, B = Member("a", "1"), Member("b", "2")


@pytest.mark.parametrize(
    ("id", "incarnation", "problem"),
    [
        ("", "1", "id must be"),
        ("a/b", "1", "id must be"),
        ("a b", "1", "id must be"),
        ('a"', "1", "id must be"),
        ("a\n", "1", "id must be"),
        ("x" * 129, "1", "id must be"),
        ("a", "", "incarnation must be"),
        ("a", "é", "incarnation must be"),
    ],
)
def test_members_that_the_script_could_not_carry_are_refused(id, incarnation, problem):
    with pytest.raises(SpecError, match=problem):
        Member(id, incarnation)


def test_a_member_is_written_and_read():
    member = Member("shop-7f9c.example:8080@eu", "Z-1")
    assert Member.parse(str(member)) == member


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ttl": 0}, "ttl must be"),
        ({"ttl": math.inf}, "ttl must be"),
        ({"ttl": math.nan}, "ttl must be"),
        ({"prepare_within": -1}, "prepare_within must be"),
        ({"look_every": 0}, "look_every must be"),
        ({"drift": 0.5}, "drift must be"),
        ({"drift": -0.1}, "drift must be"),
    ],
)
def test_settings_without_a_meaning_are_refused(options, problem):
    with pytest.raises(SpecError, match=problem):
        FleetSettings(**options)


def test_f2_messages_of_the_control_channel():
    view = b'{"number":7,"members":["a/1","b/2"],"gone":[{"member":"a/0","handled":5}]}'
    told = View(7, (A, B), (Gone(Member("a", "0"), 5),))
    assert decode_message(b'{"type":"prepare","view":%s}' % view) == Prepare(told)
    assert decode_message(b'{"type":"commit","view":%s}' % view) == Commit(told)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"hello",
        b"{}",
        b'{"type":"commit"}',
        b'{"type":"hello","view":{"number":7,"members":[],"gone":[]}}',
        b'{"type":"commit","view":{"number":"7","members":[],"gone":[]}}',
        b'{"type":"commit","view":{"number":7,"members":{},"gone":[]}}',
        b'{"type":"commit","view":{"number":7,"members":["a"],"gone":[]}}',
        b'{"type":"commit","view":{"number":7,"members":[],"gone":[],"later":1}}',
    ],
)
def test_what_the_script_did_not_publish_is_told(payload):
    with pytest.raises(FleetFormatError, match="no message of a fleet"):
        decode_message(payload)


def test_f1_a_cluster_keeps_the_record_in_one_slot():
    slots = {key_slot(key.encode()) for key in record_keys("shop")}
    assert slots == {key_slot(b"shop")}
    names = {control_channel("shop"), presence_channel("shop", A), presence_channel("shop", B)}
    assert len(names | set(record_keys("shop"))) == 5


def test_replies():
    reply = '{"verdict":"taken","now":3,"committed":1,"announced":2,"by":"9"}'
    assert decode_reply(reply) == Reply(Verdict.TAKEN, 3, 1, 2, "9")
    for payload in ("OK", '{"verdict":"perhaps","now":3,"committed":1,"announced":2}'):
        with pytest.raises(FleetFormatError, match="no reply of a fleet"):
            decode_reply(payload)


def test_f2_a_node_has_no_view_in_force_until_it_commits_one():
    views = NodeViews()
    assert not views
    views.connected("n1")
    assert views
    assert views.at("n1") is None
    views.committed("n1", View(5, (A,)))
    assert views.at("n1") == View(5, (A,))
    views.connected("n1")
    assert views.at("n1") is None
    assert views.last("n1") == View(5, (A,))


def test_f2_the_last_view_of_a_lost_node_is_forgotten_when_another_node_commits():
    views = NodeViews()
    for node in ("n1", "n2"):
        views.connected(node)
        views.committed(node, View(5, (A,)))
    views.disconnected("n2")
    assert len(list(views.remembered())) == 2
    views.committed("n1", View(6, (B,)))
    assert list(views.remembered()) == [View(6, (B,))]
    assert views.settled_without(A)
