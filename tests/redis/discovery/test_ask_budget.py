"""How many nodes a client may ask for the topology beside the one in turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.discovery.ask_budget import AskBudget

SAVED, CALM, URGENT, URGENT_FOR = 10, 1.0, 8.0, 10.0

questions = st.lists(
    st.tuples(st.floats(0.0, 5.0), st.integers(0, 30), st.booleans()), min_size=1, max_size=60
)


def test_the_first_look_may_ask_as_many_as_are_saved_up():
    budget = AskBudget()
    assert budget.take(7, 100.0, urgent=False) == 7
    assert budget.take(7, 100.0, urgent=False) == 3
    assert budget.take(7, 100.0, urgent=False) == 0


@pytest.mark.parametrize(("urgent", "rate"), [(False, CALM), (True, URGENT)])
def test_questions_come_back_with_time(urgent, rate):
    budget = AskBudget()
    budget.take(SAVED, 100.0, urgent=urgent)
    assert budget.take(SAVED, 100.0 + 2.5 / rate, urgent=urgent) == 2
    assert budget.take(SAVED, 100.0 + 3.5 / rate, urgent=urgent) == 1, "halves add up"


def test_no_more_than_so_many_are_saved_up():
    budget = AskBudget()
    budget.take(SAVED, 100.0, urgent=False)
    assert budget.take(100, 10_000.0, urgent=False) == SAVED


def test_what_is_urgent_for_long_is_the_normal_state():
    budget = AskBudget()
    asked, now = 0, 100.0
    while now < 100.0 + 3 * URGENT_FOR:
        asked += budget.take(7, now, urgent=True)
        now += 0.1
    assert asked <= SAVED + URGENT * URGENT_FOR + CALM * 2 * URGENT_FOR + 1
    assert asked >= URGENT * URGENT_FOR
    # What is calm for a moment may be urgent again.
    budget.take(0, now, urgent=False)
    budget.take(SAVED, now, urgent=True)
    assert budget.take(7, now + 0.3, urgent=True) >= 2


@given(questions)
def test_nobody_asks_more_than_time_has_brought(steps):
    budget, now, asked = AskBudget(), 100.0, 0
    for pause, wanted, urgent in steps:
        now += pause
        granted = budget.take(wanted, now, urgent=urgent)
        assert 0 <= granted <= wanted
        asked += granted
    assert asked <= SAVED + URGENT * (now - 100.0)


@given(questions)
def test_in_calm_times_it_is_one_question_a_second(steps):
    budget, now, asked = AskBudget(), 100.0, 0
    for pause, wanted, _ in steps:
        now += pause
        asked += budget.take(wanted, now, urgent=False)
    assert asked <= SAVED + CALM * (now - 100.0)


@given(questions)
def test_an_unasked_question_is_not_lost(steps):
    """Whoever wants less than there is gets it all."""
    budget, now = AskBudget(), 100.0
    for pause, _, urgent in steps:
        now += pause + 1.0
        assert budget.take(1, now, urgent=urgent) == 1
