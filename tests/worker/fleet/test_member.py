"""The decisions of one member, fact by fact."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.worker.fleet.decisions import (
    Call,
    CountSubscribers,
    Ended,
    Fence,
    Gained,
    Left,
    Lost,
    ReportLive,
    StopDelivering,
    Subscribe,
    Unsubscribe,
    WaitForId,
)
from actors.worker.fleet.member import FleetMember, Phase
from actors.worker.fleet.members import FleetSettings, Gone, Member
from actors.worker.fleet.messages import Commit, Prepare, Reply, Verdict
from actors.worker.fleet.owners import owned
from actors.worker.fleet.views import View

ME, OTHER, THIRD = Member("a", "1"), Member("b", "1"), Member("c", "1")
NAMES = frozenset(f"name-{n}" for n in range(12))
ALONE, BOTH = View(10, (ME,)), View(20, (ME, OTHER))
MINE_OF_BOTH = owned(NAMES, BOTH.ids, "a")
THEIRS_OF_BOTH = owned(NAMES, BOTH.ids, "b")
assert MINE_OF_BOTH
assert THEIRS_OF_BOTH


def make(**options) -> FleetMember:
    return FleetMember(ME, NAMES, FleetSettings(**options))


def ok(committed=0, announced=None, verdict=Verdict.OK, by="") -> Reply:
    return Reply(verdict, 0, committed, committed if announced is None else announced, by)


def call(action, value="", sent=0.0) -> Call:
    return Call(action, value, sent)


def joined(view=ALONE, nodes=("n1",), **options) -> FleetMember:
    """Return a member whose lease was granted at 0, with ``view`` in force."""
    member = make(**options)
    for node in nodes:
        member.connected(node, 0.0)
    for node in nodes:
        member.told(node, Commit(view), 0.0)
    member.replied(call("join"), ok(view.number), 0.0)
    assert member.phase is Phase.JOINED
    return member


def of(kind, decisions):
    return [decision for decision in decisions if isinstance(decision, kind)]


def delivered(member, now=0.0, node="n1"):
    return {name for name in NAMES if member.delivers(name, node, now)}


# --- joining and the lease -----------------------------------------------------------------------


def test_f1_a_member_joins_when_the_control_channel_is_subscribed():
    member = make()
    assert member.tick(0.0) == []
    assert member.wake_at() == inf
    assert member.connected("n1", 1.0) == [call("join", sent=1.0)]
    assert member.phase is Phase.JOINING
    assert member.connected("n2", 1.1) == []
    member.replied(call("join", sent=1.0), ok(), 1.2)
    assert of(Call, member.connected("n3", 1.3)) == [call("look", sent=1.3)]


def test_f3_a_lease_is_renewed_every_quarter_of_its_time():
    member = joined()
    assert of(Call, member.tick(0.49)) == []
    assert of(Call, member.tick(0.5)) == [call("renew", sent=0.5)]
    assert of(Call, member.tick(1.0)) == []
    assert of(Call, member.unanswered(call("renew", sent=0.5), 1.0)) == []
    assert of(Call, member.tick(1.25)) == [call("renew", sent=1.25)]


def test_f3_a_lease_that_is_over_stops_the_delivery_without_any_fact():
    member = joined()
    assert delivered(member, 1.79) == NAMES
    assert delivered(member, 1.8) == set()


def test_f3_a_member_that_wakes_up_late_stops_before_anything_else():
    member = joined()
    decisions = member.told("n1", Commit(BOTH), 5.0)
    assert decisions[:3] == [StopDelivering(), Lost("n1", NAMES), Unsubscribe(NAMES)]
    assert member.phase is Phase.JOINING
    assert member.told("n1", Commit(ALONE), 5.1) == []
    assert delivered(member, 5.1) == set()
    calls = of(Call, member.connected("n1", 5.2))
    assert calls == [call("look", sent=5.2), call("join", sent=5.2)]
    member.replied(calls[1], ok(20), 5.25)
    assert delivered(member, 5.25) == set()
    member.told("n1", Commit(View(30, (ME,))), 5.3)
    assert delivered(member, 5.3) == NAMES


def test_f3_what_the_record_forgot_is_delivered_until_a_commit_takes_it():
    member = joined()
    member.tick(0.5)
    again = member.replied(call("renew", sent=0.5), ok(5, 8, Verdict.UNKNOWN), 0.6)
    assert of(Call, again) == [call("join", sent=0.6)]
    assert delivered(member, 0.6) == NAMES
    decisions = member.told("n1", Commit(View(5, (OTHER,))), 0.7)
    assert of(Lost, decisions) == [Lost("n1", NAMES)]
    assert delivered(member, 0.7) == set()


def test_f1_a_process_whose_id_is_taken_waits_and_looks_whether_the_other_one_lives():
    member = make()
    member.connected("n1", 0.0)
    taken = ok(10, verdict=Verdict.TAKEN, by="0")
    old = Member("a", "0")
    assert of(WaitForId, member.replied(call("join"), taken, 0.0)) == [WaitForId(old)]
    assert member.tick(0.25) == [call("join", sent=0.25)]
    assert of(WaitForId, member.replied(call("join", sent=0.25), taken, 0.25)) == []
    assert member.tick(0.3) == [CountSubscribers((old,))]
    assert member.counted({old: 0}, 0.3) == []
    assert member.tick(0.33) == []
    assert member.tick(0.4) == [CountSubscribers((old,))]
    assert member.counted({old: 0}, 0.34) == [call("suspect", "a/0", 0.34)]


def test_f3_a_member_that_no_node_talks_to_does_not_renew():
    member = joined()
    member.disconnected("n1", 0.1)
    assert of(Call, member.tick(0.5)) == []
    member.connected("n1", 0.6)
    assert of(Call, member.tick(0.8)) == [call("renew", sent=0.8)]
    member.disconnected("n1", 0.9)
    member.unanswered(call("renew", sent=0.8), 1.2)
    assert StopDelivering() in member.tick(1.8)


def test_f3_a_member_that_no_node_talks_to_does_not_join():
    member = make()
    member.connected("n1", 0.0)
    member.disconnected("n1", 0.1)
    member.unanswered(call("join"), 0.5)
    assert of(Call, member.tick(0.75)) == []
    assert member.wake_at() <= 1.0


# --- two phases ----------------------------------------------------------------------------------


def test_f2_who_gains_subscribes_first_says_so_and_delivers_from_the_commit_on():
    member = joined(View(10, (OTHER,)))
    decisions = member.told("n1", Prepare(BOTH), 0.1)
    assert decisions == [Subscribe(MINE_OF_BOTH), ReportLive(20)]
    assert delivered(member) == set()
    assert member.live(20, 0.2) == [call("prepared", "20", 0.2)]
    assert delivered(member) == set()
    assert member.told("n1", Commit(BOTH), 0.3) == [Gained("n1", MINE_OF_BOTH, ())]
    assert delivered(member) == MINE_OF_BOTH


def test_f2_who_loses_goes_on_to_the_commit_and_unsubscribes_then():
    member = joined()
    assert member.told("n1", Prepare(BOTH), 0.1) == [ReportLive(20)]
    assert delivered(member) == NAMES
    assert member.told("n1", Commit(BOTH), 0.3) == [
        Lost("n1", THEIRS_OF_BOTH),
        Unsubscribe(THEIRS_OF_BOTH),
    ]
    assert delivered(member) == MINE_OF_BOTH


def test_f2_only_the_newest_announced_view_is_answered():
    member = joined(View(10, (OTHER,)))
    member.told("n1", Prepare(BOTH), 0.1)
    member.told("n1", Prepare(View(30, (ME, OTHER, THIRD))), 0.1)
    assert member.live(20, 0.2) == []
    assert member.live(30, 0.2) == [call("prepared", "30", 0.2)]


def test_f2_prepared_is_said_again_until_the_record_has_it():
    member = joined(View(10, (OTHER,)))
    member.told("n1", Prepare(BOTH), 0.1)
    member.live(20, 0.2)
    member.unanswered(call("prepared", "20"), 0.4)
    assert of(Call, member.tick(0.5)) == [call("renew", sent=0.5)]
    again = member.replied(call("renew", sent=0.5), ok(10, 20), 0.6)
    assert of(Call, again) == [call("prepared", "20", 0.6)]
    member.replied(call("prepared", "20"), ok(10, 20), 0.7)
    member.tick(1.0)
    assert of(Call, member.replied(call("renew", sent=1.0), ok(10, 20), 1.0)) == []


def test_f2_each_node_switches_at_its_own_commit():
    member = joined(nodes=("n1", "n2"))
    member.told("n1", Commit(BOTH), 0.1)
    assert delivered(member, node="n1") == MINE_OF_BOTH
    assert delivered(member, node="n2") == NAMES
    assert of(Unsubscribe, member.told("n2", Commit(BOTH), 0.2)) == [Unsubscribe(THEIRS_OF_BOTH)]
    assert delivered(member, node="n2") == MINE_OF_BOTH


def test_f2_the_last_commit_counts_whatever_its_number():
    """A record that lost its newest data commits a lower number, to all subscribers alike."""
    member = joined(BOTH)
    member.told("n1", Commit(View(7, (OTHER,))), 0.1)
    assert delivered(member) == set()


def test_f2_the_same_commit_again_changes_nothing():
    member = joined(BOTH)
    assert member.told("n1", Commit(BOTH), 0.1) == []


def test_f2_a_member_of_the_same_id_is_not_the_same_member():
    member = joined(View(10, (Member("a", "0"),)))
    assert delivered(member) == set()


def test_f2_after_a_gap_nothing_is_delivered_until_the_view_is_read_anew():
    member = joined()
    assert of(Unsubscribe, member.disconnected("n1", 0.1)) == []
    assert delivered(member) == set()
    assert of(Call, member.connected("n1", 0.2)) == [call("look", sent=0.2)]
    assert delivered(member) == set()
    assert member.told("n1", Commit(ALONE), 0.3) == []
    assert delivered(member) == NAMES


def test_f2_a_commit_that_went_by_in_a_gap_takes_effect_when_it_is_read():
    member = joined()
    member.disconnected("n1", 0.1)
    member.connected("n1", 0.2)
    decisions = member.told("n1", Commit(BOTH), 0.3)
    assert decisions == [Lost("n1", THEIRS_OF_BOTH), Unsubscribe(THEIRS_OF_BOTH)]


@pytest.mark.parametrize(
    ("reply", "looks"), [(ok(10), False), (ok(20), True), (ok(10, 20), True), (ok(20, 30), True)]
)
def test_f2_what_two_replies_name_and_no_stream_brings_is_asked_for(reply, looks):
    member = joined()
    calls = []
    for sent in (0.5, 1.0):
        member.tick(sent)
        calls += of(Call, member.replied(call("renew", sent=sent), reply, sent))
    assert calls == ([call("look", sent=1.0)] if looks else [])


def test_f2_a_view_that_is_on_its_way_is_not_asked_for():
    member = joined()
    member.tick(0.5)
    member.replied(call("renew", sent=0.5), ok(20), 0.5)
    assert member.wake_at() <= 0.6
    member.told("n1", Commit(BOTH), 0.55)
    member.tick(0.6)
    assert of(Call, member.replied(call("renew", sent=0.6), ok(20), 0.6)) == []


# --- deaths --------------------------------------------------------------------------------------


def test_f3_who_gains_from_the_dead_fences_them_before_it_subscribes():
    member = joined(BOTH)
    gone = Gone(OTHER, 77)
    decisions = member.told("n1", Commit(View(30, (ME,), (gone,))), 0.1)
    assert decisions == [
        Fence((OTHER,)),
        Gained("n1", THEIRS_OF_BOTH, (gone,)),
        Subscribe(THEIRS_OF_BOTH),
    ]


def test_f3_a_member_that_may_not_kill_suspects_and_fences_nobody():
    member = joined(BOTH, may_kill=False)
    assert of(CountSubscribers, member.tick(0.4)) == []
    assert of(Fence, member.told("n1", Commit(View(30, (ME,), (Gone(OTHER, 0),))), 0.1)) == []


def test_f3_a_member_that_nobody_is_subscribed_for_is_suspected():
    member = joined(BOTH)
    assert of(CountSubscribers, member.tick(0.3)) == [CountSubscribers((OTHER,))]
    assert of(CountSubscribers, member.tick(0.4)) == []
    assert member.counted({OTHER: 0}, 0.4) == []
    assert of(CountSubscribers, member.tick(0.5)) == [CountSubscribers((OTHER,))]
    assert member.counted({OTHER: 0}, 0.5) == [call("suspect", "b/1", 0.5)]
    member.counted(None, 0.9)


def test_f3_a_member_that_was_taken_for_dead_asks_at_once():
    member = joined(BOTH)
    member.told("n1", Commit(View(30, (OTHER,), (Gone(ME, 0),))), 0.1)
    assert of(Call, member.tick(0.1)) == [call("renew", sent=0.1)]


# --- leaving -------------------------------------------------------------------------------------


def test_f2_a_member_leaves_with_the_commit_that_it_is_not_part_of():
    member = joined(BOTH)
    assert of(Call, member.leave(0.1)) == [call("leave", sent=0.1)]
    member.replied(call("leave", sent=0.1), ok(20, 30), 0.1)
    assert delivered(member) == MINE_OF_BOTH
    decisions = member.told("n1", Commit(View(30, (OTHER,))), 0.2)
    assert decisions == [Lost("n1", MINE_OF_BOTH), Unsubscribe(MINE_OF_BOTH), Left()]
    assert member.phase.value == "left"
    # It keeps its lease while it handles what it has, and gives it back then.
    assert of(Call, member.tick(0.7)) == [call("leave", sent=0.7)]
    member.replied(call("leave", sent=0.7), ok(30), 0.7)
    done = Call("leave", "done", 0.8)
    assert member.worked_off(0.8) == [done]
    assert member.unanswered(done, 1.0) == []
    again = Call("leave", "done", 1.3)
    assert member.tick(1.3) == [again]
    assert member.replied(again, ok(30, verdict=Verdict.LEFT), 1.4) == [Ended()]
    assert member.phase is Phase.ENDED
    assert member.wake_at() == inf
    assert member.tick(9.0) == member.leave(9.0) == member.connected("n1", 9.0) == []


def test_f2_a_member_that_is_done_at_once_says_so_after_the_call_under_way():
    member = joined(BOTH)
    member.leave(0.1)
    assert of(Left, member.told("n1", Commit(View(30, (OTHER,))), 0.2)) == [Left()]
    assert of(Call, member.worked_off(0.2)) == []
    decisions = member.replied(call("leave", sent=0.1), ok(20, 30), 0.3)
    assert of(Call, decisions) == [Call("leave", "done", 0.3)]


@pytest.mark.parametrize("verdict", [Verdict.LEFT, Verdict.UNKNOWN])
def test_f2_a_member_that_is_done_ends_whatever_became_of_the_record(verdict):
    member = joined(BOTH)
    member.leave(0.1)
    member.replied(call("leave", sent=0.1), ok(20, 30), 0.1)
    member.told("n1", Commit(View(30, (OTHER,))), 0.2)
    [done] = of(Call, member.worked_off(0.2))
    assert of(Ended, member.replied(done, ok(30, verdict=verdict), 0.3)) == [Ended()]


def test_f2_a_leaving_member_waits_for_the_commit_of_every_node():
    member = joined(BOTH, nodes=("n1", "n2"))
    member.leave(0.1)
    assert of(Left, member.told("n1", Commit(View(30, (OTHER,))), 0.2)) == []
    assert of(Left, member.told("n2", Commit(View(30, (OTHER,))), 0.3)) == [Left()]


def test_a_member_that_no_view_has_leaves_at_once():
    assert make().leave(0.0) == [Ended()]
    member = joined(View(10, (OTHER,)))
    member.leave(0.1)
    assert of(Left, member.replied(call("leave", sent=0.1), ok(10), 0.1)) == [Left()]


@pytest.mark.parametrize("reply", [ok(20, 30), ok(30)])
def test_f2_a_leaving_member_that_the_streams_have_not_let_go_has_not_left(reply):
    member = joined(BOTH)
    member.leave(0.1)
    assert of(Left, member.replied(call("leave", sent=0.1), reply, 0.2)) == []
    assert delivered(member, 0.2) == MINE_OF_BOTH


def test_a_member_that_leaves_while_it_joins_says_so_next():
    member = make()
    member.connected("n1", 0.0)
    assert of(Call, member.leave(0.1)) == []
    assert of(Call, member.replied(call("join"), ok(), 0.2)) == [call("leave", sent=0.2)]


def test_f3_a_leaving_member_ends_when_its_lease_is_over():
    member = joined(BOTH)
    member.leave(0.1)
    decisions = member.tick(1.8)
    assert decisions[0] == StopDelivering()
    assert decisions[-1] == Ended()


# --- whatever comes ------------------------------------------------------------------------------

members = st.sampled_from([ME, Member("a", "0"), OTHER, THIRD])
numbers = st.integers(1, 5)
a_view = st.builds(
    View,
    numbers,
    st.lists(members, unique_by=lambda member: member.id).map(lambda found: tuple(sorted(found))),
    st.lists(st.builds(Gone, members, st.just(0)), max_size=1).map(tuple),
)
reply = st.builds(Reply, st.sampled_from(Verdict), st.just(0), numbers, numbers, st.just("0"))
node = st.sampled_from(["n1", "n2"])
fact = st.one_of(
    st.tuples(st.just("connected"), node),
    st.tuples(st.just("disconnected"), node),
    st.tuples(st.just("told"), node, st.builds(Prepare, a_view) | st.builds(Commit, a_view)),
    st.tuples(st.just("live"), numbers),
    st.tuples(st.just("reply"), reply | st.none()),
    st.tuples(st.just("counted"), st.dictionaries(members, st.integers(0, 1)) | st.none()),
    st.tuples(st.just("tick")),
    st.tuples(st.just("leave")),
    st.tuples(st.just("worked_off")),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.9]), fact), max_size=60))
def test_f2_whatever_comes_a_member_delivers_only_what_it_is_subscribed_to(facts):
    member, now = make(), 0.0
    subscribed, calls, counting, has_ended = set(), [], False, False
    for passes, (kind, *args) in facts:
        now += passes
        if kind == "reply":
            if not calls:
                continue
            answered = calls.pop(0)
            if args[0] is None:
                decisions = member.unanswered(answered, now)
            else:
                decisions = member.replied(answered, args[0], now)
        elif kind == "counted":
            if not counting:
                continue
            counting, decisions = False, member.counted(args[0], now)
        else:
            decisions = getattr(member, kind)(*args, now)
        assert not has_ended or not decisions
        has_ended = member.phase is Phase.ENDED
        assert not has_ended or member.wake_at() == inf
        for decision in decisions:
            match decision:
                case Subscribe(names):
                    assert names
                    assert not names & subscribed
                    subscribed |= names
                case Unsubscribe(names):
                    assert names
                    assert names <= subscribed
                    subscribed -= names
                case Call(action):
                    calls.append(decision)
                    lease_calls = [each for each in calls if each.action in LEASE_CALLS]
                    assert action not in LEASE_CALLS or len(lease_calls) == 1
                case CountSubscribers():
                    assert not counting
                    counting = True
        for node in ("n1", "n2"):
            assert delivered(member, now, node) <= subscribed
        assert member.phase is not Phase.ENDED or not delivered(member, now)


LEASE_CALLS = ("join", "renew", "leave")
