"""Restarts by a retry policy: its delays, its counts, and the way back to health (S5)."""

from __future__ import annotations

import asyncio

import pytest

from supervisor import (
    ChildRestarting,
    CompositeRetryPolicy,
    ConstantRetryPolicy,
    Escalated,
    EscalatedError,
    ExponentialBackoffRetryPolicy,
    Phase,
    StartError,
)
from supervisor.model.reasons import SHUTDOWN

from .helpers import Life, Stage, forever, raising, up

LOST = ConnectionError("lost")


def backoff(retries: int | None = None, **options):
    options = {"base_delay": 1, "max_delay": 8} | options
    return ExponentialBackoffRetryPolicy((ConnectionError,), retries, **options)


def delays(stage: Stage) -> list[float]:
    return [event.delay for event in stage.events if isinstance(event, ChildRestarting)]


def healthy_times(*seconds: float | None):
    """A hook: incarnation n is marked healthy at once where there is an n-th number."""

    async def hook(life: Life) -> None:
        if life.child.incarnation <= len(seconds) and seconds[life.child.incarnation - 1]:
            life.child.mark_healthy()

    return hook


async def crash_after(stage: Stage, seconds: float, id: str = "a") -> None:
    """Let the child run for ``seconds``, crash it, and let its back-off pass."""
    await stage.clock.advance(seconds)
    await stage.crash(id, LOST)
    child = stage.life(id).child
    if child.backoff_until is not None:
        await stage.clock.advance(child.backoff_until - stage.clock.time())


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),  # nobody asked for it: a crash (S2)
        BaseExceptionGroup("", [LOST, GeneratorExit()]),
    ],
)
async def test_s5_a_policy_for_base_exceptions_has_them_restarted(stage, error):
    policy = ConstantRetryPolicy((BaseException,), 1, delay=2)
    supervisor = await stage.running(stage.child("a", retry_policy=policy))
    await stage.crash("a", error)
    assert delays(stage) == [2]
    await supervisor.stop()


async def test_s5_consecutive_failures_wait_as_the_policy_says(stage):
    supervisor = await stage.running(stage.child("a", retry_policy=backoff()))
    for _ in range(6):
        await crash_after(stage, 0.1)
    assert delays(stage) == [1, 2, 4, 8, 8, 8]
    assert stage.starts("a") == 7
    await supervisor.stop()


async def test_s5_nothing_starts_before_the_delay_is_over(stage):
    supervisor = await stage.running(stage.child("a", retry_policy=backoff(base_delay=5)))
    await stage.crash("a", LOST)
    node = supervisor.tree().find("root/a")
    assert (node.status, node.backoff_left) == ("waiting", 5)
    await stage.clock.advance(4.999)
    assert stage.starts("a") == 1
    await stage.clock.advance(0.001)
    assert up(supervisor) == ["a"]
    assert supervisor.tree().find("root/a").backoff_left is None
    await supervisor.stop()


async def test_s5_who_is_asked_to_stop_while_it_waits_has_not_failed(stage):
    supervisor = await stage.running(stage.child("a", retry_policy=backoff(base_delay=5)), "b")
    await stage.crash("a", LOST)
    assert supervisor.tree().find("root/a").status == "waiting"
    assert await supervisor.stop_child("a") is SHUTDOWN
    await stage.clock.advance(10)
    assert up(supervisor) == ["b"]
    await supervisor.stop()


async def test_s5_a_healthy_child_restarts_at_once_the_first_time(stage):
    child = stage.child("a", retry_policy=backoff(), starting=healthy_times(1))
    supervisor = await stage.running(child)
    await crash_after(stage, 2)
    assert delays(stage) == [0]
    assert stage.starts("a") == 2
    for _ in range(3):  # not healthy any more: consecutive failures
        await crash_after(stage, 0.1)
    assert delays(stage) == [0, 2, 4, 8]
    await supervisor.stop()


async def test_s5_the_count_starts_anew_after_health(stage):
    child = stage.child("a", retry_policy=backoff(4), starting=healthy_times(0, 0, 0, 1, 0, 0, 1))
    supervisor = await stage.running(child)
    for _ in range(7):
        await crash_after(stage, 2)
    assert delays(stage) == [1, 2, 4, 0, 2, 4, 0]
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_s5_eight_isolated_failures_restart_at_once_each(stage):
    """The reference client waits 0.1, 0.2, 0.4, ... 12 s here: its count never starts anew."""
    policy = CompositeRetryPolicy(
        backoff(base_delay=0.1, max_delay=16, jitter=True),
        ConstantRetryPolicy((TimeoutError,), retries=2, delay=0.1),
    )
    child = stage.child("a", retry_policy=policy, starting=healthy_times(*[1] * 20))
    supervisor = await stage.running(child, intensity=0)
    for error in [LOST] * 8 + [TimeoutError()] * 8:
        await stage.clock.advance(10)
        await stage.crash("a", error)
        assert up(supervisor) == ["a"]
    assert delays(stage) == [0] * 16
    await supervisor.stop()


async def test_s5_time_alone_makes_a_child_healthy_too(stage):
    supervisor = await stage.running(
        stage.child("a", retry_policy=backoff(), healthy_after=5),
    )
    await crash_after(stage, 4.9)
    await crash_after(stage, 5.5)  # healthy for half a second
    await crash_after(stage, 6)  # healthy for a second
    await crash_after(stage, 60)
    assert delays(stage) == [1, 1, 0, 0]
    await supervisor.stop()


async def test_s5_without_healthy_after_only_mark_healthy_counts(stage):
    supervisor = await stage.running(
        stage.child("a", retry_policy=backoff(), healthy_after=None),
    )
    for _ in range(3):
        await crash_after(stage, 3600)
    assert delays(stage) == [1, 2, 4]
    await supervisor.stop()


async def test_s5_a_flapping_child_waits_for_the_first_delay_and_does_not_spin(stage):
    """It is accepted and dropped again and again: each time healthy, for less than a second."""
    child = stage.child("a", retry_policy=backoff(3), starting=healthy_times(*[1] * 50))
    supervisor = await stage.running(child)
    for _ in range(20):
        await crash_after(stage, 0.5)
    assert delays(stage) == [1] * 20
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_s5_a_long_start_that_fails_is_no_health(stage):
    """Ten seconds of trying to connect are ten seconds of failure."""

    async def connect(life: Life) -> None:
        if life.child.incarnation > 1:
            await stage.clock.sleep(10)
            raise LOST

    child = stage.child("a", retry_policy=backoff(4), starting=connect, healthy_after=5)
    supervisor = await stage.running(child)
    await stage.crash("a", LOST)
    await stage.clock.advance(300)
    assert delays(stage) == [1, 2, 4, 8]
    assert await supervisor.wait() == Escalated(LOST, 4)


async def test_s5_policy_restarts_do_not_enter_the_window(stage):
    supervisor = await stage.running(
        stage.child("a", retry_policy=backoff()), "b", intensity=1, period=1000
    )
    for _ in range(30):
        await crash_after(stage, 0)
    assert supervisor.restarts == 30
    await stage.crash("b")  # the only one that counts
    assert up(supervisor) == ["a", "b"]
    await supervisor.stop()


async def test_s5_what_the_policy_refuses_counts_for_the_intensity(stage):
    supervisor = await stage.running(stage.child("a", retry_policy=backoff()), intensity=2)
    bug = ValueError("a bug")
    await stage.crash("a", bug)
    await stage.crash("a", bug)
    assert delays(stage) == [0, 0]
    await stage.crash("a", bug)
    assert await supervisor.wait() == Escalated(bug, 2)


async def test_s5_a_normal_exit_is_no_business_of_the_policy(stage):
    supervisor = await stage.running(stage.child("a", retry_policy=backoff()), intensity=1)
    await stage.finish("a")
    assert delays(stage) == [0]
    await stage.finish("a")
    assert await supervisor.wait() == Escalated(None, 1)


async def test_s5_a_spent_policy_escalates_with_the_last_error(stage):
    supervisor = await stage.running("b", stage.child("a", retry_policy=backoff(2)))
    await crash_after(stage, 0)
    await crash_after(stage, 0)
    last = ConnectionError("last")
    stage.take_log()
    await stage.crash("a", last)
    assert await supervisor.wait() == Escalated(last, 2)
    assert stage.take_log() == "-a -b"
    assert "GaveUp root" in stage.take_events()


async def test_s5_a_policys_deadline_is_kept(stage):
    policy = ConstantRetryPolicy((ConnectionError,), None, delay=3, deadline=10)
    supervisor = await stage.running(stage.child("a", retry_policy=policy))
    for _ in range(3):
        await stage.crash("a", LOST)
        await stage.clock.advance(3)
    assert supervisor.phase is Phase.RUNNING
    await stage.crash("a", LOST)
    assert await supervisor.wait() == Escalated(LOST, 3)


async def test_s5_a_failed_first_start_is_retried_and_the_supervisor_waits(stage):
    attempts = iter([LOST, LOST, None])

    async def connect(life: Life) -> None:
        if error := next(attempts):
            raise error

    supervisor = stage.supervisor(
        "a", stage.child("b", starting=connect, retry_policy=backoff()), "c"
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(2.9)
    assert not starting.done()
    assert stage.take_log() == "+a"
    await stage.clock.advance(0.1)
    await starting
    assert stage.take_log() == "+b +c"
    assert delays(stage) == [1, 2]
    await supervisor.stop()


async def test_s5_a_first_start_that_is_retried_and_then_refused_fails_the_start(stage):
    """A server that comes up and then rejects the password: one clear error, no five attempts."""
    denied = PermissionError("wrong password")
    attempts = iter([LOST, denied])
    supervisor = stage.supervisor(
        stage.child("a", starting=lambda life: raising(next(attempts)), retry_policy=backoff())
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(10)
    with pytest.raises(StartError) as caught:
        await starting
    assert caught.value.__cause__ is denied
    assert stage.starts("a") == 2


async def test_s5_a_policy_spent_during_the_start_escalates(stage):
    supervisor = stage.supervisor(
        "a", stage.child("b", starting=lambda life: raising(LOST), retry_policy=backoff(2))
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(10)
    with pytest.raises(EscalatedError, match="gave up after 2 restarts") as caught:
        await starting
    assert caught.value.__cause__ is LOST
    assert stage.take_log() == "+a -a"


async def test_s5_an_added_child_with_a_policy_is_not_given_up(stage):
    attempts = iter([LOST, None])

    async def connect(life: Life) -> None:
        if error := next(attempts):
            raise error

    supervisor = await stage.running(intensity=0)
    child = supervisor.start_child(stage.child("a", starting=connect, retry_policy=backoff()))
    waiting = asyncio.create_task(child.wait_started())
    await stage.clock.advance(1)
    await waiting
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_s5_a_start_that_timed_out_is_retried_for_its_timeout_error(stage):
    policy = ConstantRetryPolicy((TimeoutError,), 1, delay=2)
    supervisor = stage.supervisor(
        stage.child("a", starting=forever, start_timeout=3, retry_policy=policy)
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(20)
    with pytest.raises(EscalatedError):
        await starting
    assert stage.starts("a") == 2


async def test_s5_in_a_group_the_siblings_wait_for_the_back_off(stage):
    supervisor = await stage.running(
        "a", stage.child("b", retry_policy=backoff(base_delay=5)), "c", strategy="rest_for_one"
    )
    stage.take_log()
    await stage.crash("b", LOST)
    assert stage.take_log() == "-b -c"
    await stage.clock.advance(4.9)
    assert up(supervisor) == ["a"]
    await stage.clock.advance(0.1)
    assert stage.take_log() == "+b +c"
    await supervisor.stop()


async def test_s5_a_crash_before_it_in_the_group_does_not_cut_the_back_off_short(stage):
    supervisor = await stage.running(
        "a", stage.child("b", retry_policy=backoff(base_delay=5)), strategy="rest_for_one"
    )
    await stage.crash("b", LOST)
    await stage.crash("a")
    assert up(supervisor) == ["a"]
    await stage.clock.advance(5)
    assert up(supervisor) == ["a", "b"]
    await supervisor.stop()


async def test_s5_a_policy_that_raises_is_logged_and_the_crash_is_one_like_any_other(stage, caplog):
    class Broken(ConstantRetryPolicy):
        def delay(self, attempt_number: int) -> float:
            raise ZeroDivisionError("in the policy")

    supervisor = await stage.running(
        stage.child("a", retry_policy=Broken((ConnectionError,), None)), intensity=1
    )
    await stage.crash("a", LOST)
    assert up(supervisor) == ["a"]
    assert "retry_policy_failed" in caplog.text
    assert "in the policy" in caplog.text
    await stage.crash("a", LOST)
    assert await supervisor.wait() == Escalated(LOST, 1)


async def test_s5_one_policy_object_serves_many_children(stage):
    policy = backoff()
    supervisor = await stage.running(*[stage.child(each, retry_policy=policy) for each in "abc"])
    for each in "abc":
        await stage.crash(each, LOST)
    assert delays(stage) == [1, 1, 1]
    await stage.clock.advance(1)
    assert up(supervisor) == ["a", "b", "c"]
    await supervisor.stop()
