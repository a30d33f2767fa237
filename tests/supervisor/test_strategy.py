"""supervisor.strategy: who goes down with whom, and the order of steps (S1, S3, S7)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.model.spec import Strategy
from supervisor.strategy import InOrder, Status, Step, goes_down_with, lone_step

DOWN, STARTING, RUNNING, STOPPING = Status


@dataclass(eq=False)
class Fake:
    status: Status = DOWN
    wanted: bool = True
    recycle: bool = False
    due: bool = True

    @property
    def must_stop(self) -> bool:
        return (self.recycle or not self.wanted) and self.status is not DOWN


@pytest.mark.parametrize(
    ("strategy", "position", "goes_down"),
    [
        (Strategy.ONE_FOR_ONE, 1, []),
        (Strategy.REST_FOR_ONE, 0, [1, 2, 3]),
        (Strategy.REST_FOR_ONE, 1, [2, 3]),
        (Strategy.REST_FOR_ONE, 3, []),
        (Strategy.ONE_FOR_ALL, 0, [0, 1, 2, 3]),
        (Strategy.ONE_FOR_ALL, 3, [0, 1, 2, 3]),
    ],
)
def test_s3_who_goes_down_with_a_child(strategy, position, goes_down):
    assert list(goes_down_with(strategy, position, 4)) == goes_down


@pytest.mark.parametrize(
    ("child", "step"),
    [
        (Fake(), Step.START),
        (Fake(due=False), Step.NONE),
        (Fake(wanted=False), Step.NONE),
        (Fake(recycle=True), Step.START),
        (Fake(STARTING), Step.NONE),
        (Fake(STARTING, wanted=False), Step.STOP),
        (Fake(STARTING, recycle=True), Step.STOP),
        (Fake(RUNNING), Step.NONE),
        (Fake(RUNNING, wanted=False), Step.STOP),
        (Fake(RUNNING, recycle=True), Step.STOP),
        (Fake(STOPPING, wanted=False), Step.NONE),
        (Fake(STOPPING), Step.NONE),
    ],
)
def test_step_of_a_child_that_stands_alone(child, step):
    assert lone_step(child) is step


@pytest.mark.parametrize(
    ("children", "step", "position"),
    [
        # S1: one start after the other.
        ([Fake(), Fake()], Step.START, 0),
        ([Fake(STARTING), Fake()], None, None),
        ([Fake(RUNNING), Fake()], Step.START, 1),
        # Also where an earlier one is wanted again while a later one starts.
        ([Fake(), Fake(STARTING)], None, None),
        # S7: one stop after the other, the last first.
        ([Fake(RUNNING, wanted=False), Fake(RUNNING, wanted=False)], Step.STOP, 1),
        ([Fake(RUNNING, wanted=False), Fake(STOPPING, wanted=False)], None, None),
        ([Fake(RUNNING, wanted=False), Fake(DOWN, wanted=False)], Step.STOP, 0),
        # S3: nothing starts while something must still stop.
        ([Fake(), Fake(RUNNING, recycle=True)], Step.STOP, 1),
        ([Fake(), Fake(STOPPING, recycle=True)], None, None),
        ([Fake(), Fake(DOWN, recycle=True)], Step.START, 0),
        # One that is stopping is waited for, wherever it stands.
        ([Fake(STOPPING, wanted=False), Fake(RUNNING, recycle=True)], None, None),
        # A back-off holds those after it, and none before.
        ([Fake(RUNNING), Fake(due=False), Fake()], None, None),
        ([Fake(), Fake(due=False)], Step.START, 0),
        # What is not wanted is passed over.
        ([Fake(wanted=False), Fake()], Step.START, 1),
        ([], None, None),
    ],
)
def test_s3_next_step_in_order(children, step, position):
    expected = None if step is None else (step, children[position])
    assert InOrder(children).next_step() == expected


def test_s3_under_one_for_one_an_earlier_child_starts_beside_a_later_one():
    children = [Fake(), Fake(STARTING)]
    assert InOrder(children, beside=True).next_step() == (Step.START, children[0])


FACTS = st.sampled_from(["up", "down", "crash", "unwant", "backoff", "due"])


@given(
    strategy=st.sampled_from([Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL]),
    facts=st.lists(st.tuples(FACTS, st.integers(0, 5)), max_size=60),
    size=st.integers(1, 6),
)
def test_s3_any_series_of_facts_and_steps_converges(strategy, facts, size):
    """Facts in any order: never two stops at once, no start before the stops, all up in the end."""
    children = [Fake() for _ in range(size)]
    order = InOrder(children)

    def step() -> bool:
        # What the supervisor keeps between facts must say the same as a fresh look.
        assert order.next_step() == InOrder(children).next_step()
        match order.next_step():
            case (Step.STOP, child):
                assert not any(c.status is STOPPING for c in children)
                later = children[children.index(child) + 1 :]
                assert not any(c.must_stop for c in later)
                child.status = STOPPING
            case (Step.START, child):
                assert not any(c.must_stop or c.status is STOPPING for c in children)
                before = children[: children.index(child)]
                assert all(c.status is RUNNING or not c.wanted for c in before)
                child.status, child.recycle = STARTING, False
            case None:
                return False
        return True

    def happen(fact: str, position: int) -> bool:
        """Return whether what is wanted has changed."""
        child = children[position]
        match fact:
            case "up" if child.status is STARTING:
                child.status = RUNNING
            case "down" if child.status is STOPPING:
                child.status = DOWN
            case "crash" if child.status in (STARTING, RUNNING):
                child.status = DOWN
                if child.wanted and not child.recycle:
                    for i in goes_down_with(strategy, position, size):
                        if children[i].status is not DOWN:
                            children[i].recycle = True
                return True
            case "unwant":
                child.wanted = False
                return True
            case "backoff" if child.status is DOWN:
                child.due = False
                return True
            case "due":
                child.due = True
                return True
        return False

    for fact, position in facts:
        if position < size and happen(fact, position):
            order = InOrder(children)
        step()
    for position in range(size):
        happen("due", position)
    order = InOrder(children)
    for _ in range(4 * size + 4):
        for position in range(size):
            happen("up", position)
            happen("down", position)
        step()
    assert [c.status for c in children] == [RUNNING if c.wanted else DOWN for c in children]
    assert order.done
    assert order.next_step() is None


@given(st.lists(st.tuples(st.sampled_from(Status), st.booleans(), st.booleans(), st.booleans())))
def test_a_step_in_order_is_always_one_that_the_child_could_take_alone(states):
    children = [Fake(*state) for state in states]
    step = InOrder(children).next_step()
    if step is not None:
        assert lone_step(step[1]) is step[0]


def test_a_thousand_children_cost_a_thousand_looks():
    looks = 0

    class Counted(Fake):
        def __getattribute__(self, name):
            nonlocal looks
            looks += name == "status"
            return super().__getattribute__(name)

    children = [Counted() for _ in range(1000)]
    order = InOrder(children)
    while step := order.next_step():
        step[1].status = RUNNING
    assert order.done
    assert looks < 10_000
