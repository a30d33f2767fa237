"""Restarts: restart types, strategies, intensity, auto-shutdown (S2, S3, S4)."""

from __future__ import annotations

import asyncio

import pytest

from supervisor import (
    ChildSpec,
    Crashed,
    Escalated,
    EscalatedError,
    Killed,
    Normal,
    Phase,
    Shutdown,
    StartError,
    StartFailed,
    Status,
    SupervisorExit,
)

from .helpers import Stubborn, forever, raising, status, up

BOOM = ValueError("boom")


# -- restart types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "after_normal", "after_crash"),
    [("permanent", 2, 2), ("transient", 1, 2), ("temporary", 1, 1)],
)
async def test_s2_restart_types(stage, restart, after_normal, after_crash):
    supervisor = await stage.running(
        stage.child("normal", restart=restart), stage.child("crash", restart=restart), "other"
    )
    await stage.finish("normal")
    await stage.crash("crash")
    assert stage.starts("normal") == after_normal
    assert stage.starts("crash") == after_crash
    assert stage.starts("other") == 1
    await supervisor.stop()


async def test_s2_the_spec_of_a_temporary_child_goes_that_of_a_transient_one_stays(stage):
    supervisor = await stage.running(
        stage.child("temporary", restart="temporary"), stage.child("transient", restart="transient")
    )
    await stage.crash("temporary")
    await stage.finish("transient")
    assert supervisor.child("temporary") is None
    assert supervisor.child("transient").last_exit == Normal()
    supervisor.restart_child("transient")
    await stage.clock.settle()
    assert up(supervisor) == ["transient"]
    await supervisor.stop()


async def test_s2_a_cancellation_that_nobody_asked_for_is_a_crash(stage):
    supervisor = await stage.running(stage.child("a", restart="transient"))
    supervisor.child("a").task.cancel()
    await stage.clock.settle()
    assert stage.starts("a") == 2
    last = supervisor.child("a").last_exit
    assert isinstance(last, Crashed)
    assert isinstance(last.cause, asyncio.CancelledError)
    await supervisor.stop()


async def test_s2_a_cancellation_before_the_first_step_is_a_crash_too(stage):
    supervisor = await stage.running("a")
    stage.life("a").crash()
    while supervisor.child("a").incarnation == 1:
        await asyncio.sleep(0)
    assert stage.starts("a") == 1  # the second incarnation has a task, and has not run yet
    supervisor.child("a").task.cancel()
    await stage.clock.settle()
    assert supervisor.child("a").incarnation == 3
    assert isinstance(supervisor.child("a").last_exit, StartFailed)
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_s2_a_cancelled_error_of_its_own_is_a_crash(stage):
    """A library that lets somebody else's cancellation out: suture#77."""
    supervisor = await stage.running(stage.child("a", restart="transient"))
    await stage.crash("a", asyncio.CancelledError())
    assert stage.starts("a") == 2
    await supervisor.stop()


async def test_s2_whoever_waits_for_a_cancelled_child_is_not_cancelled(stage):
    supervisor = await stage.running()
    added = supervisor.start_child(stage.child("a", restart="temporary", starting=forever))
    await stage.clock.settle()
    waiting = asyncio.create_task(added.wait_started())
    await stage.clock.settle()
    added.task.cancel()
    with pytest.raises(StartError):
        await waiting
    await supervisor.stop()


async def test_s2_a_crash_in_on_stop_of_an_asked_child_is_reported(stage):
    supervisor = await stage.running(stage.child("a", stopping=lambda life: raising(BOOM)), "b")
    assert await supervisor.stop_child("a") == Crashed(BOOM)
    assert "ChildExited a" in stage.take_events()
    assert stage.starts("a") == 1
    await supervisor.stop()


# -- strategies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        ("one_for_one", "-b +b"),
        ("rest_for_one", "-b -d -c +b +c +d"),
        ("one_for_all", "-b -d -c -a +a +b +c +d"),
    ],
)
async def test_s3_strategies_stop_in_reverse_and_start_in_order(stage, strategy, log):
    supervisor = await stage.running("a", "b", "c", "d", strategy=strategy)
    stage.take_log()
    await stage.crash("b")
    assert stage.take_log() == log
    assert up(supervisor) == ["a", "b", "c", "d"]
    assert supervisor.restarts == 1
    await supervisor.stop()


async def test_s3_rest_for_one_stops_later_ones_in_reverse(stage):
    supervisor = await stage.running("a", "b", "c", strategy="rest_for_one")
    stage.take_log()
    await stage.crash("a")
    assert stage.take_log() == "-a -c -b +a +b +c"
    await stage.crash("c")
    assert stage.take_log() == "-c +c"
    await supervisor.stop()


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
async def test_s3_a_child_starts_only_when_the_siblings_are_down(stage, strategy):
    slow = Stubborn()
    supervisor = await stage.running("a", stage.child("b", stopping=slow), strategy=strategy)
    await stage.crash("a")
    assert status(supervisor, "b") is Status.STOPPING
    assert stage.starts("a") == 1
    slow.released.set()
    await stage.clock.settle()
    assert stage.starts("a") == stage.starts("b") == 2
    await supervisor.stop()


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
async def test_s3_a_temporary_sibling_stopped_by_a_restart_is_removed(stage, strategy):
    gone = []
    supervisor = await stage.running(
        "a",
        stage.child("b", restart="temporary", on_gone=gone.append),
        stage.child("c", restart="transient"),
        strategy=strategy,
    )
    await stage.crash("a")
    assert up(supervisor) == ["a", "c"]
    assert supervisor.child("b") is None
    assert gone == [Shutdown()]
    await supervisor.stop()


async def test_s3_a_transient_child_that_was_done_is_not_started_by_a_sibling(stage):
    supervisor = await stage.running(
        "a", stage.child("b", restart="transient"), "c", strategy="one_for_all"
    )
    await stage.finish("b")
    await stage.crash("a")
    assert up(supervisor) == ["a", "c"]
    assert stage.starts("b") == 1
    await supervisor.stop()


async def test_s3_siblings_that_crash_at_the_same_moment_are_one_action(stage):
    supervisor = await stage.running("a", "b", "c", strategy="one_for_all", intensity=1)
    stage.take_log()
    for each in "abc":
        stage.life(each).crash()
    await stage.clock.settle()
    assert up(supervisor) == ["a", "b", "c"]
    assert supervisor.restarts == 1
    assert [stage.starts(each) for each in "abc"] == [2, 2, 2]
    await supervisor.stop()


async def test_s3_a_sibling_that_crashes_while_it_waits_for_its_stop_is_the_same_action(stage):
    slow = Stubborn()
    supervisor = await stage.running(
        "a", "b", stage.child("c", stopping=slow), strategy="rest_for_one", intensity=1
    )
    await stage.crash("a")
    await stage.crash("b")  # its turn to be stopped comes after c
    stage.take_events()
    slow.released.set()
    await stage.clock.settle()
    assert up(supervisor) == ["a", "b", "c"]
    assert supervisor.restarts == 1
    await supervisor.stop()


async def test_s3_a_crash_during_a_group_restart_begins_it_again(stage):
    gate = asyncio.Event()

    async def slowly_the_second_time(life) -> None:
        if life.child.incarnation > 1:
            await gate.wait()

    supervisor = await stage.running(
        "a", "b", stage.child("c", starting=slowly_the_second_time), strategy="one_for_all"
    )
    await stage.crash("b")
    assert status(supervisor, "c") is Status.STARTING
    await stage.crash("a")
    gate.set()
    await stage.clock.settle()
    assert up(supervisor) == ["a", "b", "c"]
    assert [stage.starts(each) for each in "abc"] == [3, 3, 3]
    assert supervisor.restarts == 2
    await supervisor.stop()


async def test_s3_a_failed_restart_in_a_group_keeps_those_before_it_up(stage):
    fail = iter([False, True, True, False])

    async def flaky(life) -> None:
        if next(fail):
            raise BOOM

    supervisor = await stage.running(
        "a", stage.child("b", starting=flaky), "c", strategy="rest_for_one"
    )
    stage.take_log()
    await stage.crash("b")
    assert stage.take_log() == "-b -c +b +c"
    assert stage.starts("b") == 4
    assert stage.starts("a") == 1
    assert supervisor.restarts == 3
    await supervisor.stop()


# -- intensity -------------------------------------------------------------------------------------


async def test_s4_beyond_the_intensity_it_stops_in_reverse_and_exits_escalated(stage):
    supervisor = await stage.running("a", "b", "c", intensity=3, period=10)
    for _ in range(3):
        await stage.crash("b")
        await stage.clock.advance(1)
    assert supervisor.phase is Phase.RUNNING
    stage.take_log()
    await stage.crash("b", BOOM)
    reason = await supervisor.wait()
    assert reason == Escalated(BOOM, 3)
    assert not reason.normal
    assert stage.take_log() == "-b -c -a"
    assert supervisor.restarts == 3
    events = stage.take_events()
    assert events[-5:] == [
        "GaveUp root",
        "Stopping root",
        "ChildExited c",
        "ChildExited a",
        "Stopped root",
    ]


async def test_s4_restarts_older_than_the_period_do_not_count(stage):
    supervisor = await stage.running("a", intensity=1, period=10)
    for _ in range(20):
        await stage.crash("a")
        await stage.clock.advance(10.1)
    assert up(supervisor) == ["a"]
    assert supervisor.restarts == 20
    await supervisor.stop()


async def test_s4_a_strategy_action_is_one_entry_however_many_restart(stage):
    supervisor = await stage.running(*"abcdefgh", strategy="one_for_all", intensity=2)
    await stage.crash("a")
    await stage.crash("h")
    assert len(up(supervisor)) == 8
    await stage.crash("d")
    assert isinstance(await supervisor.wait(), Escalated)


async def test_s4_the_window_is_the_supervisors_not_the_childs(stage):
    supervisor = await stage.running("a", "b", "c", intensity=2)
    for each in "abc":
        await stage.crash(each)
    assert isinstance(await supervisor.wait(), Escalated)


async def test_s4_failed_starts_count(stage):
    supervisor = await stage.running(
        stage.child(
            "a", starting=lambda life: raising(BOOM) if life.child.incarnation > 1 else nothing()
        ),
        intensity=4,
    )
    await stage.crash("a")
    assert await supervisor.wait() == Escalated(BOOM, 4)
    assert stage.starts("a") == 5


async def nothing() -> None:
    pass


async def test_s4_intensity_zero_escalates_at_once_and_none_never(stage):
    zero = await stage.running("a", intensity=0)
    await stage.crash("a", BOOM)
    assert await zero.wait() == Escalated(BOOM, 0)
    endless = await stage.running("b", intensity=None)
    for _ in range(200):
        await stage.crash("b")
    assert endless.restarts == 200
    await endless.stop()


async def test_s4_a_normal_exit_of_a_permanent_child_counts(stage):
    supervisor = await stage.running("a", intensity=2)
    for _ in range(3):
        await stage.finish("a")
    assert await supervisor.wait() == Escalated(None, 2)


async def test_s4_escalating_while_it_starts_fails_the_start(stage):
    supervisor = stage.supervisor("a", stage.child("b", starting=forever), intensity=1)
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    await stage.crash("a")
    await stage.crash("a", BOOM)
    with pytest.raises(EscalatedError, match="gave up after 1 restarts") as caught:
        await starting
    assert caught.value.__cause__ is BOOM


# -- auto-shutdown ---------------------------------------------------------------------------------


def significant(stage, id, restart="transient"):
    return stage.child(id, restart=restart, significant=True)


async def test_s2_any_significant_end_ends_the_supervisor(stage):
    supervisor = await stage.running(
        significant(stage, "a"), significant(stage, "b"), "c", auto_shutdown="any_significant"
    )
    await stage.crash("a")  # abnormal: a transient child is restarted instead
    assert len(up(supervisor)) == 3
    stage.take_log()
    await stage.finish("a")
    reason = await supervisor.wait()
    assert reason.normal
    assert str(reason) == "shutdown (significant children ended)"
    assert stage.take_log() == "-a -c -b"


async def test_s2_all_significant_ends_end_the_supervisor(stage):
    supervisor = await stage.running(
        significant(stage, "a"),
        significant(stage, "b", "temporary"),
        "c",
        auto_shutdown="all_significant",
    )
    await stage.finish("a")
    assert up(supervisor) == ["b", "c"]
    await stage.crash("b")
    assert (await supervisor.wait()).normal


async def test_s2_only_the_childs_own_end_counts_for_auto_shutdown(stage):
    supervisor = await stage.running(
        "a",
        significant(stage, "b", "temporary"),
        significant(stage, "c"),
        strategy="rest_for_one",
        auto_shutdown="any_significant",
    )
    await stage.crash("a")  # stops b and removes it
    assert up(supervisor) == ["a", "c"]
    await supervisor.stop_child("c")
    assert supervisor.phase is Phase.RUNNING
    supervisor.start_child(
        ChildSpec("d", lambda child: raising(BOOM), "temporary", significant=True)
    )
    await stage.clock.settle()
    assert supervisor.phase is Phase.RUNNING  # a failed start is no end
    await supervisor.stop()


# -- by hand ---------------------------------------------------------------------------------------


async def test_stopping_restarting_and_deleting_by_hand(stage):
    gone = []
    supervisor = await stage.running("a", stage.child("b", on_gone=gone.append))
    with pytest.raises(Exception, match="stop it first"):
        supervisor.delete_child("b")
    assert await supervisor.stop_child("b") == Shutdown()
    assert await supervisor.stop_child("b") == Shutdown()
    assert await supervisor.stop_child("nobody") is None
    assert gone == [Shutdown()]
    assert status(supervisor, "b") is Status.DOWN
    assert len(supervisor) == 2
    child = supervisor.restart_child("b")
    await child.wait_started()
    assert child.incarnation == 2
    await supervisor.stop_child("b")
    assert gone == [Shutdown(), Shutdown()]
    supervisor.delete_child("b")
    assert supervisor.child("b") is None
    for call in (supervisor.restart_child, supervisor.delete_child):
        with pytest.raises(KeyError):
            call("b")
    await supervisor.stop()


async def test_a_child_stopped_for_good_does_not_come_back_with_a_sibling(stage):
    supervisor = await stage.running("a", "b", "c", strategy="one_for_all")
    await supervisor.stop_child("b")
    await stage.crash("a")
    assert up(supervisor) == ["a", "c"]
    await supervisor.stop()


async def test_wanting_a_child_back_while_it_stops_restarts_it(stage):
    slow = Stubborn()
    supervisor = await stage.running(stage.child("a", stopping=slow))
    supervisor.request_child_stop(supervisor.child("a"))
    await stage.clock.settle()
    supervisor.restart_child("a")
    slow.released.set()
    await stage.clock.settle()
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_an_ended_supervisor_takes_no_children(stage):
    supervisor = await stage.running("a")
    child = supervisor.child("a")
    ends = []
    supervisor.on_end = ends.append
    await supervisor.stop()
    for call in (
        lambda: supervisor.start_child(stage.child("b")),
        lambda: supervisor.restart_child("a"),
    ):
        with pytest.raises(Exception, match="root is ended"):
            call()
    supervisor.request_child_stop(child)
    supervisor.request_stop(0.0)
    assert (await supervisor.stop()).clean
    assert ends == [Shutdown()]


async def test_a_child_that_is_gone_does_not_take_its_successor_with_it(stage):
    supervisor = await stage.running()
    old = supervisor.start_child(stage.child("a", restart="temporary"))
    await old.wait_started()
    await supervisor.stop_child("a")
    new = supervisor.start_child(stage.child("a", restart="temporary"))
    await new.wait_started()
    supervisor.request_child_stop(old)
    await stage.clock.settle()
    assert supervisor.child("a") is new
    assert new.status is Status.RUNNING
    await supervisor.stop()


async def test_an_added_child_starts_after_those_of_a_group(stage):
    gate = asyncio.Event()
    supervisor = await stage.running("a", strategy="rest_for_one")
    supervisor.start_child(stage.child("b", starting=lambda life: gate.wait()))
    supervisor.start_child(stage.child("c"))
    await stage.clock.settle()
    assert stage.starts("c") == 0
    gate.set()
    await stage.clock.settle()
    assert up(supervisor) == ["a", "b", "c"]
    await supervisor.stop()


async def test_s1_an_added_child_whose_first_start_fails_is_given_up(stage):
    gone = []
    supervisor = await stage.running("a", intensity=0)
    child = supervisor.start_child(
        stage.child("b", starting=lambda life: raising(BOOM), on_gone=gone.append)
    )
    with pytest.raises(StartError, match="b failed to start") as caught:
        await child.wait_started()
    assert caught.value.__cause__ is BOOM
    assert supervisor.child("b") is None
    assert gone == [StartFailed("b", BOOM)]
    assert up(supervisor) == ["a"]
    assert supervisor.restarts == 0
    await supervisor.stop()


async def test_an_error_in_on_gone_or_on_end_costs_nothing_else(stage, caplog):
    def broken(reason) -> None:
        raise RuntimeError("broken callback")

    supervisor = await stage.running(stage.child("a", restart="temporary", on_gone=broken), "b")
    supervisor.on_end = broken
    await stage.crash("a")
    assert up(supervisor) == ["b"]
    assert (await supervisor.stop()).clean
    assert caplog.text.count("broken callback") >= 2
    assert "on_gone_failed" in caplog.text
    assert "on_end_failed" in caplog.text


async def test_waiting_for_the_start_of_a_child_that_raised_system_exit(stage):
    """The waiter learns of it as of any other end: it is not its own SystemExit."""
    supervisor = await stage.running()
    child = supervisor.start_child(stage.child("a", starting=lambda life: raising(SystemExit(3))))
    with pytest.raises(SupervisorExit, match="SystemExit") as caught:
        await child.wait_started()
    assert isinstance(caught.value.__cause__, SystemExit)
    assert isinstance((await supervisor.wait()).error, SystemExit)


async def test_killed_is_what_becomes_of_a_child_without_an_allowance(stage):
    supervisor = await stage.running(stage.child("a", shutdown=0))
    assert await supervisor.stop_child("a") == Killed()
    assert stage.life("a").asked == []
    await supervisor.stop()
