"""What is known of slots under way (P6), and which subscriptions are tried when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.cluster.jobs import BELIEVED, Job, Jobs, Stage, parse_jobs
from actors.pubsub.cluster.moves import Moves, parse_setslot

SOURCE, TARGET = "a" * 40, "b" * 40
NAME = "c" * 40


def entry(state: bytes, operation: bytes = b"EXPORT", **more: Any) -> dict[bytes, Any]:
    return {
        b"name": NAME.encode(),
        b"operation": operation,
        b"slot_ranges": b"0-9 20-20",
        b"source_node": SOURCE.encode(),
        b"target_node": TARGET.encode(),
        b"state": state,
        b"message": b"",
        **{key.encode(): value for key, value in more.items()},
    }


def job(stage: Stage = Stage.UNDER_WAY, name: str = NAME) -> Job:
    return Job(name, ((0, 9), (20, 20)), SOURCE, TARGET, stage)


@pytest.mark.parametrize("asked", [SOURCE, TARGET])
@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (b"connecting", Stage.UNDER_WAY),
        (b"snapshotting", Stage.UNDER_WAY),
        (b"receiving-snapshot", Stage.UNDER_WAY),
        (b"a state of a later version", Stage.UNDER_WAY),
        (b"waiting-for-paused", Stage.IMMINENT),
        (b"failover-paused", Stage.IMMINENT),
        (b"failover-granted", Stage.IMMINENT),
        (b"success", Stage.OVER),
    ],
)
def test_both_ends_of_a_job_say_the_same_of_it(asked: str, state: bytes, stage: Stage):
    operation = b"EXPORT" if asked == SOURCE else b"IMPORT"
    assert parse_jobs([entry(state, operation)], asked, {NAME}) == [job(stage)]


def test_a_job_is_read_in_either_protocol_and_from_a_server_that_names_one_end():
    told = entry(b"snapshotting")
    flat = [item for pair in told.items() for item in pair]
    assert parse_jobs([flat], SOURCE, ()) == [job()]
    del told[b"source_node"], told[b"target_node"]
    assert parse_jobs([told | {b"node": TARGET.encode()}], SOURCE, ()) == [job()]
    told[b"operation"] = b"IMPORT"
    assert parse_jobs([told | {b"node": SOURCE.encode()}], TARGET, ()) == [job()]


@pytest.mark.parametrize("state", [b"failed", b"cancelled", b"cleaning-up", b"success"])
def test_of_the_log_of_jobs_only_what_concerns_us_is_taken(state: bytes):
    assert parse_jobs([entry(state)], SOURCE, ()) == []


def test_p6_few_channels_of_a_job_are_all_tried_until_the_target_takes_one():
    jobs = Jobs()
    assert jobs.note(job(), [3, 3, 20, 21], 1.0) == {3, 20}
    assert jobs.tried(1.2) == {3, 20}
    assert jobs.note(job(), [3, 3, 20, 21], 1.3) == set(), "what goes on is no news"
    assert jobs.taken(21, 1.4) == set()
    assert jobs.taken(20, 1.4) == {3, 20}
    assert jobs.tried(1.4) == jobs.taken(3, 1.4) == set()
    assert jobs.note(job(Stage.IMMINENT), [3, 20], 1.5) == set()


def test_p6_of_many_one_is_tried_and_the_others_when_the_target_takes_it():
    jobs, many = Jobs(), [slot % 10 for slot in range(1000)]
    assert jobs.note(job(), many, 1.0) == {0}
    assert jobs.tried(1.1) == {0}
    assert jobs.taken(0, 1.2) == set(range(10))
    assert jobs.tried(1.2) == set()


def test_p6_of_a_job_that_takes_long_one_is_tried_until_publishers_are_held():
    jobs = Jobs()
    jobs.note(job(), [3, 20], 1.0)
    assert jobs.tried(2.9) == {3, 20}
    jobs.note(job(), [3, 20], 60.0)
    assert jobs.tried(60.0) == {3}
    assert jobs.held(TARGET, 60.0) == set()
    assert jobs.held(SOURCE, 60.0) == jobs.tried(60.0) == {3, 20}
    assert jobs.held(SOURCE, 60.0) == set(), "told once"


def test_p6_when_an_end_says_that_the_target_has_the_slots_all_are_tried():
    jobs, many = Jobs(), [slot % 10 for slot in range(1000)]
    jobs.note(job(), many, 1.0)
    assert jobs.note(job(Stage.IMMINENT), many, 1.1) == set(range(10))
    assert jobs.note(job(Stage.OVER), many, 1.2) == set(range(10))
    assert jobs.note(job(Stage.OVER), many, 1.3) == set()


def test_a_job_that_nobody_tells_of_any_more_is_forgotten():
    jobs = Jobs()
    jobs.note(job(), [3], 1.0)
    jobs.note(job(Stage.OVER), [3], 1.1)
    jobs.note(job(Stage.OVER), [3], 1.5)
    jobs.expire(1.1 + BELIEVED)
    assert list(jobs.names) == [NAME]
    jobs.expire(1.2 + BELIEVED)
    assert not jobs.names


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("note"), st.sampled_from(Stage), st.sampled_from([3, 60])),
            st.tuples(st.just("held")),
            st.tuples(st.just("taken"), st.sampled_from([0, 20])),
            st.tuples(st.just("pass"), st.floats(0.0, 1.0)),
        )
    )
)
def test_p6_whatever_happens_the_slots_tried_have_a_target_and_stay_within_bounds(steps):
    moves, now = Moves(), 0.0
    for step in steps:
        tried: set[int] = set()
        match step:
            case ("note", stage, count):
                slots = [slot % 10 for slot in range(count)] + [20, 21]
                tried = moves.note_job(job(stage), slots, now)
            case ("held",):
                tried = moves.held(SOURCE, now)
            case ("taken", slot):
                tried = moves.taken(slot, now)
            case ("pass", seconds):
                now += seconds
                moves.expire(now)
        assert 21 not in moves.targets
        assert tried <= moves.targets.keys()
        assert moves.tried(now) <= moves.targets.keys()


def test_p6_a_slot_that_moves_alone_is_told_by_either_end():
    line = b"x 127.0.0.1:1@2 myself,master - 0 0 1 connected 5 "
    assert parse_setslot(line + b"[5->-%s]" % TARGET.encode(), SOURCE) == {SOURCE: {5: TARGET}}
    assert parse_setslot(line + b"[5-<-%s]" % SOURCE.encode(), TARGET) == {SOURCE: {5: TARGET}}


def test_p6_a_single_move_is_news_once_and_believed_for_a_while():
    moves = Moves()
    assert moves.note_setslot({5: TARGET, 6: TARGET}, [5, 5, 7], 1.0) == {5}
    assert moves.note_setslot({5: TARGET}, [5], 1.2) == set()
    assert moves.expire(1.2 + BELIEVED) == set()
    assert moves.targets == {5: TARGET}
    assert moves.expire(1.3 + BELIEVED) == {5}
    assert moves.targets == {}


def test_p6_both_ends_of_a_job_are_left_in_peace_for_a_moment_when_it_is_about_to_end():
    jobs = Jobs()
    jobs.note(job(), [3], 1.0)
    assert jobs.nodes(1.0) == {SOURCE: False, TARGET: False}
    assert jobs.pause(1, 1.0) == 0.005
    jobs.held(SOURCE, 1.1)
    assert jobs.nodes(1.2) == {SOURCE: True, TARGET: True}
    assert jobs.pause(1, 1.2) == 0.002
    assert jobs.pause(50, 1.2) == pytest.approx(0.01)
    assert jobs.nodes(1.4) == {SOURCE: False, TARGET: False}
    jobs.taken(3, 1.5)
    assert jobs.nodes(1.5) == {}


def test_p6_the_next_slots_are_expected_and_news_when_somebody_says_so():
    moves = Moves()
    assert moves.note_setslot({5: TARGET}, [1, 5, 9], 1.0) == {5}
    assert moves.expect(TARGET, [1, 5, 9], 1.1) == {1, 9}
    assert moves.expect(TARGET, [1, 5, 9], 1.2) == set()
    assert moves.targets == {1: TARGET, 5: TARGET, 9: TARGET}
    assert moves.single() == {1: 1.1, 5: 1.0, 9: 1.1}
    assert moves.note_setslot({9: TARGET}, [1, 5, 9], 1.3) == {9}
    assert moves.note_setslot({9: TARGET}, [1, 5, 9], 1.4) == set()


def test_p6_what_was_expected_goes_where_somebody_says_it_goes():
    moves = Moves()
    moves.expect(TARGET, [1], 1.0)
    assert moves.note_setslot({1: SOURCE}, [1], 1.1) == {1}
    assert moves.expect(TARGET, [1], 1.2) == set()
    assert moves.targets == {1: SOURCE}


def test_p6_what_was_expected_for_nothing_is_forgotten():
    moves = Moves()
    moves.expect(TARGET, [1], 1.0)
    assert moves.expire(1.0 + BELIEVED - 0.1) == set()
    assert moves.expire(1.0 + BELIEVED + 0.1) == {1}
    assert not moves.single()
    assert not moves.targets


def test_p6_a_slot_that_came_a_while_ago_and_is_given_up_goes_on():
    moves = Moves()
    moves.note_setslot({1: TARGET}, [1], 1.0)
    assert not moves.is_over(1, 9.0), "nobody gave it up"
    moves.changed_hands(1, 1.2)
    moves.changed_hands(1, 1.25)
    assert not moves.is_over(1, 1.25), "its target ends what it took before"
    assert moves.is_over(1, 1.35)
    moves.note_setslot({1: SOURCE}, [1], 1.36)
    assert not moves.is_over(1, 1.5), "it moves anew"
    moves.forget(1)
    assert not moves.targets
    assert not moves.single()
