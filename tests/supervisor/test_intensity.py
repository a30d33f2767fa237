"""Restart intensity against a naive model (S4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.restart_decision import Window, add_restart


def allowed_at(times, limit, period):
    window: Window = ()
    answers = []
    for now in times:
        window, allowed = add_restart(window, now, limit, period)
        answers.append(allowed)
    return answers


@pytest.mark.parametrize(
    ("limit", "period", "times", "answers"),
    [
        (0, 5, [0], [False]),
        (1, 5, [0, 6, 12], [True, True, True]),
        (1, 5, [0, 5], [True, False]),  # one exactly a period old still counts
        (1, 5, [0, 5.001], [True, True]),
        (2, 10, [0, 1, 2], [True, True, False]),
        (2, 10, [0, 5, 11, 16], [True, True, True, True]),
        (5, 30, [0, 0, 0, 0, 0, 0], [True] * 5 + [False]),
        (None, 1, [0] * 1000, [True] * 1000),
    ],
)
def test_s4_window_table(limit, period, times, answers):
    assert allowed_at(times, limit, period) == answers


@given(
    gaps=st.lists(st.floats(0, 20), max_size=60),
    limit=st.integers(0, 6),
    period=st.floats(0.5, 30),
)
def test_s4_window_agrees_with_counting_all_restarts(gaps, limit, period):
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    naive = [
        sum(earlier >= at - period for earlier in times[: i + 1]) <= limit
        for i, at in enumerate(times)
    ]
    assert allowed_at(times, limit, period) == naive


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(0, 5))
def test_s4_window_is_bounded(gaps, limit):
    window: Window = ()
    now = 0.0
    for gap in gaps:
        now += gap
        window, _ = add_restart(window, now, limit, 30.0)
        assert len(window) <= limit + 1
        assert list(window) == sorted(window)
