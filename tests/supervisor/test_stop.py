"""Stops: order, deadlines, kills, budgets, reports (S6, S7)."""

from __future__ import annotations

import asyncio

import pytest

from supervisor import (
    Child,
    ChildSpec,
    ConstantRetryPolicy,
    Crashed,
    Killed,
    Phase,
    Shutdown,
    Status,
    Supervisor,
    SupervisorSpec,
)

from .helpers import Life, Stage, Stubborn, raising, status, up


def takes(stage: Stage, seconds: float, *, cleanup: bool = False):
    """A hook: work that goes on for so long after the request to stop, or after cancellation."""

    async def hook(life: Life) -> None:
        if life.asked or cleanup:
            await stage.clock.sleep(seconds)

    return hook


async def stopped(stage: Stage, supervisor: Supervisor, timeout=None, *, advance=60.0):
    """Stop, let time pass, and return the report and the seconds that it took."""
    begun = stage.clock.time()
    stopping = asyncio.create_task(supervisor.stop(timeout))
    await stage.clock.advance(advance)
    report = await stopping
    assert supervisor.phase is Phase.ENDED
    assert report.seconds <= stage.clock.time() - begun
    return report, report.seconds


def reasons(report) -> dict[str, str]:
    return {child.path.rpartition("/")[2]: str(child.reason) for child in report.children}


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
async def test_s7_children_stop_one_after_another_in_reverse(stage, strategy):
    children = [stage.child(each, stopping=takes(stage, 2)) for each in "abc"]
    supervisor = await stage.running(*children, strategy=strategy)
    stage.take_log()
    stopping = asyncio.create_task(supervisor.stop())
    for left in ("abc", "ab", "a"):
        await stage.clock.settle()
        asked = [each for each in "abc" if stage.life(each).asked]
        assert asked == list("abc"[len(left) - 1 :])
        await stage.clock.advance(2)
    report = await stopping
    assert stage.take_log() == "-c -b -a"
    assert report.clean
    assert [child.path for child in report.children] == ["root/c", "root/b", "root/a"]
    assert [child.seconds for child in report.children] == [2, 2, 2]
    assert report.seconds == 6


async def test_s7_the_report_says_how_each_ended(stage):
    supervisor = await stage.running(
        "polite",
        stage.child("slow", stopping=takes(stage, 9), shutdown=3),
        stage.child("raising", stopping=lambda life: raising(OSError("disk"))),
        stage.child("brutal", shutdown=0),
        stage.child("deaf", deaf=True),
    )
    report, _ = await stopped(stage, supervisor)
    assert reasons(report) == {
        "polite": "shutdown",
        "slow": "killed",
        "raising": "crashed: OSError: disk",
        "brutal": "killed",
        "deaf": "shutdown",
    }
    assert not report.clean
    clean = {child.path: child.clean for child in report.children}
    assert [path for path, is_clean in clean.items() if is_clean] == ["root/deaf", "root/polite"]
    assert not any(child.unkillable for child in report.children)


async def test_s7_on_stop_deadline_then_cancelled_then_killed(stage):
    supervisor = await stage.running(stage.child("a", stopping=takes(stage, 60), shutdown=3))
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(2.9)
    life = stage.life("a")
    assert life.asked == [pytest.approx(stage.clock.time() + 0.1)]
    assert not life.cancelled
    await stage.clock.advance(0.2)
    report = await stopping
    assert life.cancelled == 1
    assert report.children[0].reason == Killed()
    assert report.children[0].seconds == pytest.approx(3)


async def test_s7_a_child_without_a_stop_callback_is_cancelled_and_may_clean_up(stage):
    supervisor = await stage.running(
        stage.child("a", deaf=True, stopping=takes(stage, 4, cleanup=True), shutdown=5),
        kill_grace=1,
    )
    report, seconds = await stopped(stage, supervisor)
    assert report.clean
    assert seconds == 4
    assert stage.life("a").cancelled == 1


async def test_s7_a_child_that_returns_in_spite_of_its_kill_is_killed_all_the_same(stage):
    async def swallow(life: Life) -> None:
        try:
            await stage.clock.sleep(60)
        except asyncio.CancelledError:
            pass

    supervisor = await stage.running(stage.child("a", stopping=swallow, shutdown=3))
    report, seconds = await stopped(stage, supervisor)
    assert report.children[0].reason == Killed()
    assert seconds == 3


async def test_s7_who_survives_its_cancellation_is_left_behind_and_reported(stage, caplog):
    stubborn = Stubborn()
    supervisor = await stage.running(
        "a", stage.child("b", stopping=stubborn, shutdown=3), kill_grace=2
    )
    report, seconds = await stopped(stage, supervisor)
    assert seconds == 5
    left = report.children[0]
    assert (left.path, left.reason, left.unkillable, left.seconds) == ("root/b", None, True, 5)
    assert report.children[1].clean
    assert not report.clean
    assert stubborn.swallowed == 1
    assert "ChildUnkillable b" in stage.take_events()
    # It ends at last, long after its supervisor: that is logged, and breaks nothing.
    stubborn.released.set()
    await stage.clock.settle()
    assert "unkillable_child_ended" in caplog.text
    assert status(supervisor, "b") is Status.DOWN


async def test_s7_one_left_behind_does_not_disturb_its_next_incarnation(stage):
    stubborn = Stubborn()

    async def first_only(life: Life) -> None:
        if life.child.incarnation == 1:
            await stubborn(life)

    supervisor = await stage.running(
        "a",
        stage.child("b", stopping=first_only, shutdown=1),
        strategy="rest_for_one",
    )
    await stage.crash("a")
    await stage.clock.advance(5)
    assert up(supervisor) == ["a", "b"]
    stubborn.released.set()
    await stage.clock.settle()
    assert up(supervisor) == ["a", "b"]
    assert stage.starts("b") == 2
    assert (await supervisor.stop()).clean


async def test_s7_a_total_caps_the_sum(stage):
    children = [stage.child(each, stopping=takes(stage, 3), shutdown=5) for each in "abcd"]
    supervisor = await stage.running(*children)
    report, seconds = await stopped(stage, supervisor, timeout=7)
    assert seconds == 7
    assert reasons(report) == {"d": "shutdown", "c": "shutdown", "b": "killed", "a": "killed"}
    assert [child.seconds for child in report.children] == [3, 3, 1, 0]


@pytest.mark.parametrize(("shutdown", "seconds"), [(None, 30), (20, 20), (5, 5), (0, 0)])
async def test_s7_the_own_allowance(stage, shutdown, seconds):
    supervisor = await stage.running(stage.child("a", stopping=takes(stage, 30), shutdown=shutdown))
    report, took = await stopped(stage, supervisor)
    assert took == seconds
    assert report.clean is (shutdown is None)


async def test_s7_a_total_caps_an_endless_allowance(stage):
    supervisor = await stage.running(stage.child("a", stopping=takes(stage, 30), shutdown=None))
    report, seconds = await stopped(stage, supervisor, timeout=2)
    assert seconds == 2
    assert report.children[0].reason == Killed()


async def test_s7_a_second_request_shortens_the_deadline(stage):
    children = [stage.child(each, stopping=takes(stage, 30), shutdown=None) for each in "ab"]
    supervisor = await stage.running(*children)
    begun = stage.clock.time()
    stopping = asyncio.create_task(supervisor.stop(40))
    await stage.clock.advance(5)
    assert stage.life("b").asked == [begun + 40]
    supervisor.request_stop(begun + 8)
    assert stage.life("b").asked == [begun + 40, begun + 8]
    await stage.clock.advance(10)
    report = await stopping
    assert report.seconds == 8
    assert reasons(report) == {"b": "killed", "a": "killed"}


async def test_s7_a_total_reaches_a_child_that_was_being_stopped_already(stage):
    slow = stage.child("a", stopping=takes(stage, 60), shutdown=None)
    supervisor = await stage.running("b", slow)
    supervisor.request_child_stop(supervisor.child("a"))
    await stage.clock.advance(1)
    _, seconds = await stopped(stage, supervisor, timeout=2)
    assert seconds == 2


async def test_s7_a_second_request_never_lengthens_anything(stage):
    supervisor = await stage.running(stage.child("a", stopping=takes(stage, 30), shutdown=6))
    begun = stage.clock.time()
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(4)
    supervisor.request_stop()
    supervisor.request_stop(begun + 100)  # shorter than none at all, longer than its own
    supervisor.request_stop(begun + 200)
    await stage.clock.advance(10)
    assert (await stopping).seconds == 6


async def test_s7_a_second_request_that_is_due_kills_at_once_and_only_once(stage):
    stubborn = Stubborn()
    supervisor = await stage.running(stage.child("a", stopping=stubborn, shutdown=60), kill_grace=3)
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(1)
    due = stage.clock.time()
    for earlier in range(4):
        supervisor.request_stop(due - earlier)
        await stage.clock.advance(0.5)
    assert stubborn.swallowed == 1  # its clean-up is interrupted once
    await stage.clock.advance(1)
    report = await stopping
    assert report.seconds == 4  # and its grace is not begun again
    stubborn.released.set()
    await stage.clock.settle()


async def test_s7_a_callback_that_raises_is_logged_and_its_child_killed(stage, caplog):
    async def start(child: Child) -> None:
        child.on_stop(lambda deadline: 1 / 0)  # type: ignore[arg-type]
        child.started()
        await asyncio.get_running_loop().create_future()

    supervisor = await stage.running(ChildSpec("a", start))
    report, seconds = await stopped(stage, supervisor)
    assert reasons(report) == {"a": "killed"}
    assert seconds == 0
    assert "stop_request_failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_s6_a_stop_during_a_back_off_ends_at_once(stage):
    retry = ConstantRetryPolicy((OSError,), None, delay=3600)
    gone = []
    supervisor = await stage.running("a", stage.child("b", retry_policy=retry, on_gone=gone.append))
    await stage.crash("b", OSError())
    assert supervisor.tree().find("root/b").status == "waiting"
    report, seconds = await stopped(stage, supervisor, advance=0)
    assert seconds == 0
    assert report.clean
    assert stage.starts("b") == 1
    assert len(gone) == 1
    assert stage.clock.pending == 0


async def test_s6_stopping_one_child_during_its_back_off_ends_at_once(stage):
    retry = ConstantRetryPolicy((OSError,), None, delay=60)
    supervisor = await stage.running("a", stage.child("b", retry_policy=retry))
    await stage.crash("b", OSError())
    await supervisor.stop_child("b")
    supervisor.delete_child("b")
    await stage.clock.advance(120)
    assert stage.starts("b") == 1
    await supervisor.stop()


async def test_s6_a_child_in_its_back_off_cannot_be_deleted(stage):
    retry = ConstantRetryPolicy((OSError,), None, delay=60)
    supervisor = await stage.running(stage.child("a", retry_policy=retry))
    await stage.crash("a", OSError())
    with pytest.raises(Exception, match="will be again: stop it first"):
        supervisor.delete_child("a")
    await stage.clock.advance(60)
    assert up(supervisor) == ["a"]
    await supervisor.stop()


async def test_s6_a_stop_interrupts_a_group_restart(stage):
    slow = Stubborn()
    supervisor = await stage.running(
        "a", "b", stage.child("c", stopping=slow), strategy="one_for_all"
    )
    await stage.crash("a")
    assert status(supervisor, "c") is Status.STOPPING
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.settle()
    slow.released.set()
    assert (await stopping).clean
    assert stage.starts("a") == 1


async def test_s7_a_crash_while_waiting_for_the_own_turn_is_in_the_report(stage):
    slow = Stubborn()
    supervisor = await stage.running("a", stage.child("b", stopping=slow))
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.settle()
    error = ValueError("in between")
    await stage.crash("a", error)
    slow.released.set()
    report = await stopping
    assert report.children[0].reason == Crashed(error)
    assert report.children[0].seconds == 0
    assert "ChildExited a" in stage.take_events()
    assert stage.starts("a") == 1


async def test_s7_a_child_stopped_before_its_first_step(stage):
    supervisor = await stage.running()
    child = supervisor.start_child(stage.child("a"))
    assert await supervisor.stop_child("a") == Shutdown()
    assert stage.starts("a") == 0
    assert child.incarnation == 1
    await supervisor.stop()


async def test_s7_stop_during_the_grace_of_a_timed_out_start(stage):
    stubborn = Stubborn()
    supervisor = await stage.running(kill_grace=4)
    supervisor.start_child(stage.child("a", starting=stubborn, start_timeout=2))
    await stage.clock.advance(3)
    assert stubborn.swallowed == 1
    report, seconds = await stopped(stage, supervisor)
    assert seconds == 3
    assert stubborn.swallowed == 1
    assert report.children[0].unkillable
    stubborn.released.set()
    await stage.finish("a")


async def test_s7_the_supervisor_can_be_stopped_by_its_own_child(stage):
    supervisor: Supervisor

    async def start(child: Child) -> None:
        child.started()
        supervisor.request_stop()
        await asyncio.get_running_loop().create_future()

    supervisor = Supervisor(
        SupervisorSpec(children=[stage.child("a"), ChildSpec("b", start)]),
        clock=stage.clock,
        sink=stage.events.append,
    )
    await supervisor.start()
    assert await supervisor.wait() == Shutdown()
    assert (await supervisor.stop()).clean


async def test_s7_on_the_loops_own_clock():
    """Once in real time: a deadline, a grace, and nothing left on the loop."""
    stubborn = Stubborn()
    stage = Stage(None)  # type: ignore[arg-type]
    supervisor = await stage.running(
        stage.child("a", stopping=stubborn, shutdown=0.03),
        stage.child("b", start_timeout=60),
        kill_grace=0.03,
    )
    report = await supervisor.stop()
    assert report.children[1].unkillable
    assert 0.06 <= report.seconds < 2
    stubborn.released.set()
    for _ in range(5):
        await asyncio.sleep(0)
