"""What follows the unasked end of a child (S1, S2, S5)."""

from __future__ import annotations

import itertools

import pytest

from supervisor import Crashed, Escalated, Killed, Normal, Restart, Shutdown, StartFailed
from supervisor.model.retry_session import Refused, Retry, Spent
from supervisor.restart_decision import GiveUp, RestartAfter, Verdict, after_exit, is_restartable

ERROR = ValueError("boom")
REASONS = [Normal(), Shutdown(), Killed(), Crashed(ERROR), Escalated(ERROR, 5)]
PERMANENT, TRANSIENT, TEMPORARY = Restart
RESTART, LET_GO, FAIL_START = Verdict


def verdict(restart, reason, *, policy=None, healthy_for=None, was_up=True, starting=False):
    return after_exit(
        restart,
        reason,
        policy=policy,
        healthy_for=healthy_for,
        was_up=was_up,
        starting=starting,
    )


@pytest.mark.parametrize(
    ("restart", "verdicts"),
    [
        (PERMANENT, [RESTART, RESTART, RESTART, RESTART, RESTART]),
        (TRANSIENT, [LET_GO, LET_GO, RESTART, RESTART, RESTART]),
        (TEMPORARY, [LET_GO, LET_GO, LET_GO, LET_GO, LET_GO]),
    ],
)
def test_s2_restart_types(restart, verdicts):
    assert [verdict(restart, reason) for reason in REASONS] == verdicts


def test_s2_escalated_is_abnormal():
    """In OTP it is ``shutdown``, and a transient parent leaves the supervisor dead."""
    assert not Escalated(ERROR, 5).normal
    assert is_restartable(TRANSIENT, Escalated(ERROR, 5))


@pytest.mark.parametrize("restart", list(Restart))
def test_s1_a_failed_first_start_fails_the_start_of_the_supervisor(restart):
    reason = StartFailed("a", ERROR)
    assert verdict(restart, reason, was_up=False, starting=True) is FAIL_START


@pytest.mark.parametrize("restart", list(Restart))
def test_s1_a_failed_first_start_of_an_added_child_gives_it_up(restart):
    assert verdict(restart, StartFailed("a", ERROR), was_up=False) is LET_GO


@pytest.mark.parametrize("starting", [True, False])
def test_s4_a_failed_restart_counts_as_another_restart(starting):
    assert verdict(PERMANENT, StartFailed("a", ERROR), starting=starting) is RESTART
    assert verdict(TEMPORARY, StartFailed("a", ERROR), starting=starting) is LET_GO


@pytest.mark.parametrize(
    ("healthy_for", "delay"),
    [(None, 3.0), (0.0, 3.0), (0.999, 3.0), (1.0, 0.0), (3600.0, 0.0)],
)
def test_s5_healthy_restarts_at_once_others_after_the_delay(healthy_for, delay):
    decision = Retry(3.0, 1)
    result = verdict(PERMANENT, Crashed(ERROR), policy=decision, healthy_for=healthy_for)
    assert result == RestartAfter(delay)


def test_s5_a_policy_retries_a_failed_first_start():
    for starting in (True, False):
        result = verdict(
            PERMANENT,
            StartFailed("a", ERROR),
            policy=Retry(3.0, 1),
            was_up=False,
            starting=starting,
        )
        assert result == RestartAfter(3.0)


def test_s5_refused_is_a_crash_like_any_other():
    assert verdict(PERMANENT, Crashed(ERROR), policy=Refused()) is RESTART
    assert verdict(TRANSIENT, Crashed(ERROR), policy=Refused(), healthy_for=9.0) is RESTART


def test_s5_spent_gives_up_with_the_last_error():
    result = verdict(PERMANENT, Crashed(ERROR), policy=Spent(4))
    assert result == GiveUp(Escalated(ERROR, 4))


def test_s5_a_policy_never_restarts_what_the_restart_type_does_not():
    for policy, (restart, reason) in itertools.product(
        (Retry(0.0, 1), Spent(1), Refused()), ((TEMPORARY, Crashed(ERROR)), (TRANSIENT, Normal()))
    ):
        assert verdict(restart, reason, policy=policy) is LET_GO
