"""Retry policies and sessions: delays, counts, deadlines (S5)."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import (
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    ExponentialBackoffRetryPolicy,
    NoRetryPolicy,
)
from supervisor.model.retry_policy import RetryPolicy
from supervisor.model.retry_session import Refused, Retry, Spent

LOST = ConnectionError("lost")
LATE = TimeoutError("late")
ATTEMPTS = st.integers(1, 5000)
SECONDS = st.floats(0, 1e6)


def exponential(**options):
    return ExponentialBackoffRetryPolicy((ConnectionError,), None, **options)


# -- delays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "delays"),
    [
        ({}, [1, 2, 4, 8]),
        ({"base_delay": 0.1}, [0.1, 0.2, 0.4, 0.8]),
        ({"base_delay": 1, "max_delay": 3}, [1, 2, 3, 3]),
        ({"base_delay": 5, "max_delay": 3}, [3, 3, 3, 3]),
        ({"base_delay": 0}, [0, 0, 0, 0]),
    ],
)
def test_s5_exponential_delays(options, delays):
    policy = exponential(**options)
    assert [policy.delay(n) for n in (1, 2, 3, 4)] == pytest.approx(delays)


@given(SECONDS, st.floats(0, 1e6), ATTEMPTS)
def test_s5_backoff_is_monotone_and_capped(base, cap, attempt):
    policy = exponential(base_delay=base, max_delay=cap)
    assert 0 <= policy.delay(attempt) <= policy.delay(attempt + 1) <= cap


@given(st.floats(0.01, 10), ATTEMPTS)
def test_s5_backoff_doubles_until_its_cap(base, attempt):
    policy = exponential(base_delay=base, max_delay=1e6)
    first, second = policy.delay(attempt), policy.delay(attempt + 1)
    assert second == pytest.approx(min(2 * first, 1e6))


@given(SECONDS, SECONDS, ATTEMPTS, st.integers())
def test_s5_jitter_stays_between_the_base_and_the_exponential_delay(base, cap, attempt, seed):
    plain = exponential(base_delay=base, max_delay=cap).delay(attempt)
    jittered = exponential(
        base_delay=base, max_delay=cap, jitter=True, rng=random.Random(seed)
    ).delay(attempt)
    slack = 1e-9 * max(1.0, plain)
    assert min(base, plain) - slack <= jittered <= plain + slack


def test_s5_jitter_spreads():
    policy = exponential(base_delay=0.1, max_delay=16, jitter=True, rng=random.Random(1))
    draws = [policy.delay(8) for _ in range(200)]
    assert min(draws) < 2
    assert max(draws) > 11


def test_s5_backoff_does_not_overflow_in_a_long_outage():
    assert exponential(max_delay=16).delay(100_000) == 16
    assert exponential().delay(100_000) < math.inf


def test_s5_constant_and_no_delay():
    assert [ConstantRetryPolicy((OSError,), None, delay=0.5).delay(n) for n in (1, 9)] == [0.5, 0.5]
    assert NoRetryPolicy().delay(1) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConstantRetryPolicy((OSError,), -1),
        lambda: ConstantRetryPolicy((OSError,), 1, delay=-1),
        lambda: exponential(base_delay=-1),
        lambda: exponential(max_delay=-1),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(ValueError, match="0 or more"):
        make()


# -- sessions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_s5_a_session_grants_its_retries_and_is_spent(retries):
    session = ConstantRetryPolicy((ConnectionError,), retries, delay=2).session(0)
    for attempt in range(1, retries + 1):
        assert session.failed(LOST, 0) == Retry(2, attempt)
    assert session.failed(LOST, 0) == Spent(retries)
    assert session.failed(LOST, 0) == Spent(retries + 1)


def test_s5_a_session_without_an_end_never_ends():
    session = exponential(base_delay=0.1, max_delay=16).session(0)
    assert all(isinstance(session.failed(LOST, n), Retry) for n in range(3000))


def test_s5_other_errors_are_refused_and_not_counted():
    session = ConstantRetryPolicy((ConnectionError,), 1).session(0)
    assert session.failed(ValueError(), 0) == Refused()
    assert session.failed(LATE, 0) == Refused()
    assert session.failed(ConnectionResetError(), 0) == Retry(1, 1)
    assert NoRetryPolicy().session(0).failed(LOST, 0) == Refused()


@pytest.mark.parametrize(
    ("at", "decision"),
    [
        (0, Retry(1, 1)),
        (8.9, Retry(1, 1)),
        (9, Spent(0)),  # the next attempt would begin ten seconds after the first
        (50, Spent(0)),
    ],
)
def test_s5_no_attempt_begins_after_the_deadline(at, decision):
    session = ConstantRetryPolicy((OSError,), None, deadline=10, delay=1).session(0)
    assert session.failed(LOST, at) == decision


def test_s5_a_new_session_starts_anew():
    policy = exponential(base_delay=1)
    old = policy.session(0)
    delays = [old.failed(LOST, 0) for _ in range(5)]
    assert delays[-1] == Retry(16, 5)
    assert policy.session(0).failed(LOST, 0) == Retry(1, 1)


def test_a_group_matches_by_any_of_its_leaves():
    policy = ConstantRetryPolicy((ConnectionError,), 5)
    nested = BaseExceptionGroup("all", [ValueError(), ExceptionGroup("some", [LOST])])
    assert policy.will_retry(nested)
    assert not policy.will_retry(ExceptionGroup("some", [ValueError()]))
    assert not NoRetryPolicy().will_retry(nested)
    assert CompositeRetryPolicy(policy).will_retry(nested)


# -- composites ------------------------------------------------------------------------------------


def composite():
    return CompositeRetryPolicy(
        exponential(base_delay=1, max_delay=16),
        ConstantRetryPolicy((TimeoutError,), 2, delay=0.1),
    )


def test_s5_a_composite_counts_for_each_of_its_policies():
    session = composite().session(0)
    assert session.failed(LOST, 0) == Retry(1, 1)
    assert session.failed(LATE, 0) == Retry(0.1, 2)
    assert session.failed(LOST, 0) == Retry(2, 3)
    assert session.failed(LATE, 0) == Retry(0.1, 4)
    assert session.failed(LATE, 0) == Spent(4)
    assert session.failed(LOST, 0) == Retry(4, 5)
    assert session.failed(ValueError(), 0) == Refused()


def test_s5_several_policies_for_one_error_wait_for_the_longest():
    policy = CompositeRetryPolicy(
        ConstantRetryPolicy((OSError,), 1, delay=3),
        ConstantRetryPolicy((ConnectionError,), 2, delay=1),
    )
    session = policy.session(0)
    decisions = [session.failed(LOST, 0) for _ in range(3)]
    assert decisions == [Retry(3, 1), Retry(1, 2), Spent(2)]


def test_a_composite_collects_what_it_retries():
    policy = composite()
    assert policy.retryable_exceptions == (ConnectionError, TimeoutError)
    assert not policy.will_retry(ValueError())
    policy.add_retry_policy(ConstantRetryPolicy((ValueError,), 1))
    assert policy.will_retry(ValueError())
    assert policy.session(0).failed(ValueError(), 0) == Retry(1, 1)
    assert CompositeRetryPolicy().session(0).failed(LOST, 0) == Refused()
    with pytest.raises(NotImplementedError, match="session"):
        policy.delay(1)


@given(
    st.lists(st.sampled_from([LOST, LATE, ValueError()]), max_size=40),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
)
def test_s5_a_composite_retries_no_more_than_its_policies_together(errors, retries):
    session = CompositeRetryPolicy(
        *(ConstantRetryPolicy((ConnectionError, TimeoutError), n) for n in retries)
    ).session(0)
    granted = sum(isinstance(session.failed(error, 0), Retry) for error in errors)
    failures = sum(not isinstance(error, ValueError) for error in errors)
    assert granted == min(failures, max(retries))


# -- own policies ----------------------------------------------------------------------------------


def test_a_policy_of_the_users_own_needs_a_delay_only():
    class Linear(RetryPolicy):
        def delay(self, attempt_number: int) -> float:
            return float(attempt_number)

    session = Linear((OSError,), 3).session(0)
    assert [session.failed(LOST, 0) for _ in range(4)] == [
        Retry(1, 1),
        Retry(2, 2),
        Retry(3, 3),
        Spent(3),
    ]
    assert repr(Linear((OSError,), 3)) == "Linear((OSError), retries=3)"
    assert repr(CompositeRetryPolicy(Linear((OSError,), 3))) == (
        "CompositeRetryPolicy(Linear((OSError), retries=3))"
    )


@pytest.mark.parametrize(
    ("policy", "arguments", "options", "problem"),
    [
        (ConstantRetryPolicy, (OSError, None), {}, "must be a tuple of exception classes"),
        (ConstantRetryPolicy, ((3,), None), {}, "must be a tuple of exception classes"),
        (ConstantRetryPolicy, ((OSError,), "3"), {}, "retries must be a whole number, or None"),
        (ConstantRetryPolicy, ((OSError,), None), {"delay": "1"}, "delay must be a number of s"),
        (ConstantRetryPolicy, ((OSError,), None), {"delay": -1}, "delay must be 0 or more seconds"),
        (ConstantRetryPolicy, ((OSError,), None), {"deadline": "1"}, "deadline must be a number"),
        (
            ExponentialBackoffRetryPolicy,
            ((OSError,), None),
            {"max_delay": "x"},
            "max_delay must be a number of seconds, not 'x'",
        ),
        (CompositeRetryPolicy, (3,), {}, "must be a RetryPolicy, not 3"),
    ],
)
def test_s5_a_policy_that_cannot_work_says_so_when_it_is_made(policy, arguments, options, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        policy(*arguments, **options)
