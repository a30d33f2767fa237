"""A child's own allowance within a total (S7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.clock import stop_deadline

MAYBE = st.none() | st.floats(0, 100)


@pytest.mark.parametrize(
    ("allowance", "total", "deadline"),
    [
        (None, None, None),
        (5, None, 105),
        (0, None, 100),
        (None, 103, 103),
        (5, 103, 103),
        (5, 200, 105),
        (0, 200, 100),
        (5, 90, 90),  # the total is over: at once
    ],
)
def test_s7_deadline_table(allowance, total, deadline):
    assert stop_deadline(100, allowance, total) == deadline


@given(st.floats(0, 1000), MAYBE, MAYBE)
def test_s7_no_deadline_exceeds_the_own_allowance_or_the_total(now, allowance, total):
    deadline = stop_deadline(now, allowance, total)
    if allowance is None and total is None:
        assert deadline is None
        return
    assert deadline is not None
    assert total is None or deadline <= total
    assert allowance is None or deadline <= now + allowance


@given(st.floats(0, 1000), st.lists(MAYBE, min_size=1, max_size=5), st.floats(0, 2000))
def test_s7_handing_a_total_down_a_tree_never_lengthens_it(now, allowances, total):
    deadline = total
    for allowance in allowances:
        lower = stop_deadline(now, allowance, deadline)
        assert lower is not None
        assert lower <= deadline
        deadline = lower
