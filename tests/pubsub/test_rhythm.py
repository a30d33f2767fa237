"""How often servers are asked (P6): often enough for one consumer, and bounded for any number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pubsub.cluster.jobs import FEW
from actors.pubsub.cluster.move_watch import MoveWatch
from actors.pubsub.cluster.rhythm import SELDOM, Question, Situation, hint_interval, interval
from actors.pubsub.cluster.used_slots import UsedSlots
from actors.pubsub.model.types import Kind, Target
from actors.redis.topology.slots import slot_ranges

SLOTS, JOBS, CLIENTS, COUNT = Question
TARGET = "b" * 40
PAUSED = b"# Clients\r\npubsub_clients:1\r\npaused_reason:failover\r\n"
FREE = b"# Clients\r\npubsub_clients:%d\r\npaused_reason:none\r\n"


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (Situation(), {SLOTS: SELDOM, JOBS: SELDOM, CLIENTS: SELDOM}),
        (Situation(speaking=True), {SLOTS: 0.01, JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(moving=True), {SLOTS: 0.01, JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(moving=True, leaving=True), {SLOTS: 0.005, JOBS: 0.005, CLIENTS: 0.01}),
        (Situation(waiting=True), {SLOTS: 0.01, JOBS: SELDOM, CLIENTS: SELDOM}),
        (Situation(moving=True, taking=True), {SLOTS: 0.005, JOBS: 0.005, CLIENTS: 0.01}),
        (Situation(speaking=True, nodes=100), {SLOTS: None, JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(leaving=True, moving=True, jobs=1000), {SLOTS: 0.005, JOBS: 0.3, CLIENTS: 0.01}),
        (Situation(taking=True, ranges=True, jobs=1000), {SLOTS: 0.25, JOBS: 0.3, CLIENTS: 0.005}),
        (Situation(leaving=True, ranges=True), {SLOTS: SELDOM, JOBS: 0.005, CLIENTS: 0.005}),
        (
            Situation(leaving=True, ranges=True, imminent=True),
            {SLOTS: SELDOM, JOBS: None, CLIENTS: None},
        ),
        (Situation(moving=True, nodes=100), {SLOTS: 0.03, JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(speaking=True, subscribers=30), {SLOTS: 0.1, JOBS: 0.1, CLIENTS: 0.1}),
        (Situation(speaking=True, sharers=100), {SLOTS: 0.25, JOBS: 0.5, CLIENTS: 0.5}),
        (Situation(moving=True, leaving=True, sharers=100), {SLOTS: 0.25, JOBS: 0.5, CLIENTS: 0.5}),
        # The more messages come, the oftener.
        (Situation(speaking=True, rate=500.0), {SLOTS: 0.005, JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(speaking=True, rate=1000.0), {SLOTS: 0.0025, JOBS: 0.01, CLIENTS: 0.01}),
        (Situation(speaking=True, subscribers=3, rate=3000.0), {SLOTS: 0.0025, JOBS: 0.01}),
        (Situation(speaking=True, rate=1e6), {SLOTS: 0.0025, JOBS: 0.005, CLIENTS: 0.005}),
        (Situation(speaking=True, rate=1e6, jobs=100), {JOBS: 0.03, CLIENTS: 0.005}),
        (Situation(moving=True, speaking=True, rate=1e6), {JOBS: 0.02, CLIENTS: 0.02}),
        (Situation(speaking=True, subscribers=12, rate=1e6), {SLOTS: 0.01, JOBS: 0.04}),
        (Situation(waiting=True, rate=1e6), {SLOTS: 0.0025, JOBS: SELDOM}),
        (Situation(rate=1e6), {SLOTS: SELDOM}),
        (Situation(moving=True, taking=True, rate=1e6), {SLOTS: 0.0025, JOBS: 0.005}),
        (Situation(moving=True, leaving=True, rate=1e6), {SLOTS: 0.005, JOBS: 0.005}),
        (Situation(moving=True, speaking=True, rate=1e6), {SLOTS: 0.01, JOBS: 0.02}),
        (Situation(speaking=True, nodes=20, rate=1e6), {SLOTS: 0.006}),
        # One by one: no ranges, and of the two ends the target tells more.
        (
            Situation(moving=True, leaving=True, single=True),
            {SLOTS: 0.005, JOBS: 0.05, CLIENTS: 0.05},
        ),
        (
            Situation(moving=True, leaving=True, single=True, followed=True),
            {SLOTS: 0.05, JOBS: 0.05, CLIENTS: 0.05},
        ),
        (
            Situation(moving=True, leaving=True, taking=True, single=True, followed=True),
            {SLOTS: 0.005, JOBS: 0.05, CLIENTS: 0.05},
        ),
    ],
)
def test_how_often(here: Situation, expected: dict[Question, float | None]):
    found = {question: interval(question, here) for question in expected}
    assert found == pytest.approx(expected)


@given(
    st.builds(
        Situation,
        leaving=st.booleans(),
        taking=st.booleans(),
        waiting=st.booleans(),
        moving=st.booleans(),
        speaking=st.booleans(),
        nodes=st.integers(1, 1000),
        subscribers=st.integers(1, 500),
        sharers=st.integers(1, 10_000),
        jobs=st.integers(0, 1000),
        ranges=st.booleans(),
        imminent=st.booleans(),
        single=st.booleans(),
        followed=st.booleans(),
        rate=st.floats(0.0, 1e7),
    )
)
def test_all_consumers_together_ask_a_server_a_bounded_number_of_times_a_second(here):
    for question, most in ((SLOTS, 400), (JOBS, 200), (CLIENTS, 200)):
        seconds = interval(question, here)
        assert seconds is None or here.sharers / seconds <= 1.001 * most
    assert here.sharers / hint_interval(here) <= 1.001 * 200
    assert hint_interval(here) >= here.jobs * 0.000_3, "seldom where the log is long"


class Node:
    """One node's end of a watch: what it is asked, and what it answers."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[Question] = []
        self.writes = 0
        self.received = 0
        self._waiting: list[tuple[Question, Any]] = []
        self.connection = SimpleNamespace(usable=True)
        self.answers = {SLOTS: b"", JOBS: [], CLIENTS: FREE % 1, COUNT: b"", **answers}

    def put_query(self, command: tuple[bytes, ...], heard: Any) -> None:
        self._waiting.append((Question(command), heard))

    def send(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.writes += bool(waiting)
        for question, heard in waiting:
            self.asked.append(question)
            heard(self.answers[question])


def channel_of(slot: int) -> Target:
    return Target(Kind.SHARD, b"%d" % slot)


class Stage:
    """A watch of one node called ``a``, with a clock in hand."""

    def __init__(self) -> None:
        self.node = Node()
        self.time = 1000.0
        self.handing_over: list[str] = []
        self.used: tuple[int, ...] = (1, 2)
        self.owned: tuple[int, ...] = (1, 2)
        self.changed: list[set[int]] = []
        self.watch = MoveWatch(
            lambda: self.time,
            UsedSlots(
                lambda: self.used, lambda: map(channel_of, self.used), lambda targets: self.used
            ),
            lambda node: slot_ranges(self.owned) if node == "a" else (),
            self.changed.append,
            self.handing_over.append,
        )

    def run(self, seconds: float, *, speaking: bool = False, messages: int = 1) -> list[Question]:
        """Let time pass; return what the node was asked.

        While it speaks, so many ``messages`` come between two ticks.
        """
        before, until = len(self.node.asked), self.time + seconds
        while self.time < until:
            self.node.received += speaking * messages
            self.time += self.watch.tick({"a": self.node}, 6)  # type: ignore[dict-item]
        return self.node.asked[before:]


def test_p6_a_node_that_says_nothing_is_asked_now_and_then():
    stage = Stage()
    stage.run(1.0)
    asked = stage.run(10.0)
    assert 110 <= len(asked) <= 130


def test_p6_one_that_speaks_is_asked_often_and_so_are_its_watchers_counted():
    stage = Stage()
    alone = stage.run(1.0, speaking=True)
    assert alone.count(SLOTS) > 80
    stage.node.answers[CLIENTS] = FREE % 50
    stage.run(1.0, speaking=True)
    among_many = stage.run(10.0, speaking=True)
    assert 75 <= among_many.count(SLOTS) <= 85
    assert 35 <= among_many.count(CLIENTS) <= 45


def test_p6_one_that_many_messages_come_from_is_asked_oftener_for_single_slots():
    stage = Stage()
    stage.run(1.0, speaking=True, messages=10)
    asked = stage.run(1.0, speaking=True, messages=10)
    assert 350 <= asked.count(SLOTS) <= 410
    assert 150 <= asked.count(JOBS) <= 210
    stage.run(0.5)
    assert stage.run(1.0).count(SLOTS) <= 5, "and no more when they end"


def test_p6_a_slot_on_its_way_is_news_and_has_the_node_watched_closely():
    stage = Stage()
    stage.run(1.0)
    stage.node.answers[SLOTS] = b"id 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-9 [2->-%s]" % (
        TARGET.encode()
    )
    stage.run(0.3)
    assert stage.watch.moves.targets == {2: TARGET, 1: TARGET}, "and 1 may be the next"
    assert {2} in stage.changed
    assert stage.run(1.0).count(SLOTS) > 150


def test_p6_a_slot_that_comes_is_told_by_its_target_before_its_source():
    stage = Stage()
    target = Node()
    target.answers[SLOTS] = b"id 127.0.0.1:2@3 myself,master - 0 0 1 connected 5 [2-<-a]"
    subscribers: Any = {"a": stage.node, TARGET: target}
    for _ in range(3):
        stage.time += stage.watch.tick(subscribers, 6)
    assert stage.watch.moves.targets == {2: TARGET, 1: TARGET}, "and 1 may be the next"
    assert {2} in stage.changed
    before, until = len(target.asked), stage.time + 1.0
    while stage.time < until:
        stage.time += stage.watch.tick(subscribers, 6)
    assert target.asked[before:].count(SLOTS) > 150, "the next one comes the same way"


def test_p6_a_node_that_slots_leave_one_by_one_is_asked_less_while_their_target_is_asked():
    stage = Stage()
    target = Node()
    target.answers[SLOTS] = b"id 127.0.0.1:2@3 myself,master - 0 0 1 connected 5 [2-<-a]"
    subscribers: Any = {"a": stage.node, TARGET: target}

    def asked_in(seconds: float) -> list[Question]:
        before, until = len(stage.node.asked), stage.time + seconds
        while stage.time < until:
            stage.node.received += 1
            stage.time += stage.watch.tick(subscribers, 6)
        return stage.node.asked[before:]

    asked_in(0.5)
    asked = asked_in(1.0)
    assert max(asked.count(question) for question in (SLOTS, JOBS, CLIENTS)) <= 21
    target.answers[SLOTS] = b""
    asked_in(0.5)
    asked = asked_in(1.0)
    assert asked.count(JOBS) > 150, "nothing moves one by one any more: it may in one step"
    stage.node.answers[SLOTS] = LEAVES_TWO
    del subscribers[TARGET]
    asked_in(0.1)
    assert asked_in(1.0).count(SLOTS) > 150, "its target cannot be asked"


def test_p6_a_primary_without_slots_is_asked_as_those_that_have_some_however_many_ask():
    stage = Stage()
    empty = Node()
    subscribers: Any = {"a": stage.node, "empty": empty}

    def asked_in(seconds: float) -> int:
        before, until = empty.asked.count(SLOTS), stage.time + seconds
        while stage.time < until:
            stage.node.received += 1
            stage.time += stage.watch.tick(subscribers, 6, ["empty"])
        return empty.asked.count(SLOTS) - before

    assert asked_in(1.0) > 80
    stage.node.answers[CLIENTS] = FREE % 50  # who subscribed, of course, is where the channels are
    asked_in(1.0)
    assert 75 <= asked_in(10.0) <= 85


def test_what_is_asked_at_once_is_sent_at_once():
    stage = Stage()
    asked = stage.run(10.0, speaking=True)
    assert stage.node.writes <= 1.05 * asked.count(SLOTS)


def test_p7_a_primary_that_holds_its_publishers_is_told_of():
    stage = Stage()
    stage.run(0.5, speaking=True)
    assert stage.watch.free["a"] <= stage.time
    stage.node.answers[CLIENTS] = PAUSED
    stage.run(0.05, speaking=True)
    assert set(stage.handing_over) == {"a"}
    before = stage.node.asked.count(JOBS)
    asked = stage.run(1.0, speaking=True)
    assert stage.node.asked.count(JOBS) - before >= asked.count(CLIENTS), (
        "it may give slots away, too"
    )


GIVING = b"# Clients\r\npubsub_clients:1\r\npaused_reason:slot_migration_in_progress\r\n"


def job_of(state: bytes, name: bytes = b"new") -> dict[bytes, bytes]:
    return {
        b"name": name,
        b"operation": b"EXPORT",
        b"slot_ranges": b"1-9",
        b"source_node": b"a",
        b"target_node": TARGET.encode(),
        b"state": state,
    }


def test_p6_a_primary_that_holds_its_publishers_for_a_move_has_all_its_slots_tried():
    stage = Stage()
    stage.node.answers[JOBS] = [job_of(b"snapshotting")]
    stage.run(0.1, speaking=True)
    assert stage.watch.moves.targets == {1: TARGET, 2: TARGET}
    stage.node.answers[CLIENTS] = GIVING
    stage.changed.clear()
    stage.run(0.05, speaking=True)
    assert stage.changed == [{1, 2}]
    assert stage.handing_over == [], "nobody takes over its role"
    quiet = stage.run(0.1, speaking=True)
    assert CLIENTS not in quiet
    assert JOBS not in quiet


def test_p6_what_a_primary_holds_its_publishers_for_is_asked_at_once_however_long_its_log_is():
    stage = Stage()
    log = [job_of(b"success", b"%d" % number) for number in range(1000)]
    stage.node.answers[JOBS] = log
    stage.run(1.0, speaking=True)
    while stage.run(0.01, speaking=True).count(JOBS) == 0:
        pass  # its turn is over, and the next one is 0.3 s away
    stage.node.answers |= {JOBS: [job_of(b"failover-granted"), *log], CLIENTS: GIVING}
    stage.run(0.05, speaking=True)
    assert stage.watch.moves.targets == {1: TARGET, 2: TARGET}


CLIENTS_OF = b"# Clients\r\nconnected_clients:%d\r\npubsub_clients:1\r\npaused_reason:none\r\n"


def test_p6_a_new_client_may_be_a_move_in_one_step_however_long_the_log_is():
    stage = Stage()
    log = [job_of(b"success", b"%d" % number) for number in range(1000)]
    stage.node.answers |= {JOBS: log, CLIENTS: CLIENTS_OF % 5}
    stage.run(1.0, speaking=True)
    while stage.run(0.01, speaking=True).count(JOBS) == 0:
        pass  # its turn is over, and the next one is 0.3 s away
    stage.node.answers |= {JOBS: [job_of(b"connecting"), *log], CLIENTS: CLIENTS_OF % 6}
    stage.run(0.03, speaking=True)
    assert stage.watch.moves.targets == {1: TARGET, 2: TARGET}


def test_p6_where_clients_come_all_the_time_they_do_not_cost_much():
    stage = Stage()
    stage.node.answers[JOBS] = [job_of(b"success", b"%d" % number) for number in range(1000)]
    asked: list[Question] = []
    for number in range(500):
        stage.node.answers[CLIENTS] = CLIENTS_OF % (5 + number)
        asked += stage.run(0.02, speaking=True)
    assert asked.count(CLIENTS) > 450
    assert asked.count(JOBS) <= 2 * 10.0 / 0.3 + 2


def test_p6_a_server_that_does_not_know_a_question_is_not_asked_again():
    stage = Stage()
    stage.node.answers |= {JOBS: ValueError("unknown subcommand"), CLIENTS: b"connected_clients:9"}
    asked = stage.run(20.0, speaking=True)
    assert (asked.count(JOBS), asked.count(CLIENTS)) == (1, 1)
    assert asked.count(COUNT) == 1  # INFO of this one does not count subscribers


def test_p6_subscribers_are_counted_where_info_does_not():
    stage = Stage()
    line = b"id=1 addr=127.0.0.1:1 name= sub=1\n"
    stage.node.answers |= {CLIENTS: b"connected_clients:9", COUNT: line * 50}
    stage.run(1.0, speaking=True)
    assert stage.run(10.0, speaking=True).count(SLOTS) <= 85


def test_p6_a_question_without_an_answer_is_not_asked_twice():
    stage = Stage()
    stage.node.put_query = lambda command, heard: stage.node.asked.append(Question(command))  # type: ignore[method-assign]
    assert sorted(q.name for q in stage.run(5.0)) == ["CLIENTS", "JOBS", "SLOTS"]


LEAVES_TWO = b"id 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-9 [2->-%s]" % TARGET.encode()


def test_p6_a_nodes_other_slots_are_expected_to_follow_where_they_are_few():
    stage = Stage()
    stage.owned = stage.used = tuple(range(FEW + 1))
    stage.node.answers[SLOTS] = LEAVES_TWO
    stage.run(0.3)
    assert stage.watch.moves.targets == {2: TARGET}
    stage.owned = (1, 2)
    stage.run(0.3)
    assert stage.watch.moves.targets == {1: TARGET, 2: TARGET}


def test_p6_a_new_node_is_expected_to_get_slots_of_all_others():
    stage = Stage()
    stage.owned = (2,)
    stage.node.answers[SLOTS] = LEAVES_TWO
    subscribers: Any = {"a": stage.node, TARGET: Node()}
    for _ in range(5):
        stage.time += stage.watch.tick(subscribers, 6)
    assert stage.watch.moves.targets == {2: TARGET}
    for _ in range(5):
        stage.time += stage.watch.tick(subscribers, 6, {TARGET})
    for _ in range(5):  # and it is still the new one when the first slot came
        stage.time += stage.watch.tick(subscribers, 6)
    assert stage.watch.moves.targets == {1: TARGET, 2: TARGET}
