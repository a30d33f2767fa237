"""Supervisors below supervisors: starts, escalation, budgets (S1, S4, S7)."""

from __future__ import annotations

import asyncio

import pytest

from supervisor import (
    Child,
    ChildSpec,
    ConstantRetryPolicy,
    Crashed,
    Escalated,
    Killed,
    Normal,
    StartError,
    StartFailed,
    Status,
    Supervisor,
    SupervisorSpec,
)

from .helpers import Life, Stubborn, forever, raising, up

BOOM = ValueError("boom")


def lasting(stage, seconds: float):
    async def hook(life: Life) -> None:
        if life.asked:
            await stage.clock.sleep(seconds)

    return hook


async def test_s1_a_nested_supervisor_has_started_when_its_children_have(stage):
    gate = asyncio.Event()
    supervisor = stage.supervisor(
        "a", stage.nested("s", "b", stage.child("c", starting=lambda life: gate.wait())), "d"
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    assert stage.take_log() == "+a +b"
    gate.set()
    await starting
    assert stage.take_log() == "+c +d"
    await supervisor.stop()
    assert stage.take_log() == "-d -c -b -a"


async def test_s1_a_failed_start_below_fails_the_start_above(stage):
    supervisor = stage.supervisor(
        "a", stage.nested("s", "b", stage.child("c", starting=lambda life: raising(BOOM)))
    )
    with pytest.raises(StartError, match="c failed to start") as caught:
        await supervisor.start()
    assert caught.value.__cause__ is BOOM
    assert stage.take_log() == "+a +b -b -a"


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_s4_escalated_is_abnormal_for_the_parent(stage, restart):
    """elixir#5550: with OTP's ``shutdown`` a transient supervisor would stay dead."""
    supervisor = await stage.running("a", stage.nested("s", "b", "c", intensity=1, restart=restart))
    await stage.crash("b")
    assert stage.starts("c") == 1
    await stage.crash("b", BOOM)
    assert supervisor.child("s").last_exit == Escalated(BOOM, 1)
    assert up(supervisor) == ["a", "s"]
    assert stage.starts("c") == 2
    assert stage.starts("a") == 1
    assert supervisor.restarts == 1
    await supervisor.stop()


async def test_s4_restarts_before_the_top_gives_up_are_the_product_over_levels(stage):
    supervisor = await stage.running(
        stage.nested("outer", stage.nested("inner", "a", intensity=2), intensity=1), intensity=1
    )
    crashes = 0
    while supervisor.phase.value == "running":
        await stage.crash("a", BOOM)
        crashes += 1
    assert crashes == (2 + 1) * (1 + 1) * (1 + 1)
    assert await supervisor.wait() == Escalated(BOOM, 1)


async def test_s3_a_nested_supervisor_is_restarted_whole(stage):
    supervisor = await stage.running("a", stage.nested("s", "b", "c"), "d", strategy="rest_for_one")
    stage.take_log()
    await stage.crash("a")
    assert stage.take_log() == "-a -d -c -b +a +b +c +d"
    assert supervisor.child("s").incarnation == 2
    await supervisor.stop()


async def test_dynamic_children_below_are_lost_when_their_supervisor_restarts(stage):
    supervisor = await stage.running(stage.nested("s", "a", intensity=0))
    nested = supervisor.child("s").nested
    await nested.start_child(stage.child("added")).wait_started()
    await stage.crash("a")
    fresh = supervisor.child("s").nested
    assert fresh is not nested
    assert up(fresh) == ["a"]
    await supervisor.stop()


async def test_s5_a_nested_supervisor_may_have_a_retry_policy(stage):
    retry = ConstantRetryPolicy((ConnectionError,), 3, delay=7)
    supervisor = await stage.running(
        stage.nested("s", "a", intensity=0, retry_policy=retry), intensity=0
    )
    await stage.crash("a", ConnectionError())
    assert supervisor.child("s").backoff_until == stage.clock.time() + 7
    await stage.clock.advance(7)
    assert up(supervisor) == ["s"]
    await supervisor.stop()


async def test_s6_a_stop_during_a_nested_start_stops_what_had_started_in_order(stage):
    supervisor = stage.supervisor(
        stage.nested(
            "s",
            stage.child("a", stopping=lasting(stage, 2)),
            stage.child("b", stopping=lasting(stage, 3)),
            stage.child("c", starting=forever),
        )
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(30)
    report = await stopping
    await starting
    # Each was asked and had its own time, not cut short because a sibling was still starting.
    assert report.clean
    assert report.seconds == 5
    assert stage.take_log() == "+a +b -b -a"


async def test_s7_a_budget_is_handed_down(stage):
    def slow(name):
        return stage.child(name, stopping=lasting(stage, 4), shutdown=5)

    supervisor = await stage.running(
        slow("a"), stage.nested("s", slow("b"), stage.nested("t", slow("c"))), slow("d")
    )
    begun = stage.clock.time()
    stopping = asyncio.create_task(supervisor.stop(10))
    await stage.clock.advance(60)
    report = await stopping
    assert report.seconds == 10
    # d and c took four seconds each of their own; b had the two that were left; a had none.
    assert stage.life("d").asked == [begun + 5]
    assert stage.life("c").asked == [begun + 9]
    assert stage.life("b").asked[0] == begun + 10
    flat = {}

    def walk(node):
        for child in node.children:
            flat[child.path.rpartition("/")[2]] = child.reason
            walk(child)

    walk(report)
    assert str(flat["d"]) == str(flat["c"]) == "shutdown"
    assert flat["b"] == flat["a"] == Killed()
    assert not report.clean


async def test_s7_a_shorter_budget_reaches_the_bottom(stage):
    supervisor = await stage.running(
        stage.nested(
            "s", stage.nested("t", stage.child("a", stopping=lasting(stage, 60), shutdown=None))
        )
    )
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(1)
    assert stage.life("a").asked == [None]
    deadline = stage.clock.time() + 2
    supervisor.request_stop(deadline)
    assert stage.life("a").asked == [None, deadline]
    await stage.clock.advance(60)
    assert (await stopping).seconds == 3


async def test_s7_an_allowance_of_a_nested_supervisor_bounds_all_below_it(stage):
    supervisor = await stage.running(
        stage.nested(
            "s",
            *[stage.child(each, stopping=lasting(stage, 4), shutdown=5) for each in "abc"],
            shutdown=6,
        )
    )
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(60)
    assert (await stopping).seconds == 6


async def test_s7_a_nested_supervisor_waits_for_its_unkillable_children_in_turn(stage):
    """Three of them, a grace each: the supervisor above must not give its own child up before."""
    stubborn = [Stubborn() for _ in range(3)]
    supervisor = await stage.running(
        stage.nested(
            "s", *[stage.child(f"c{n}", stopping=s) for n, s in enumerate(stubborn)], kill_grace=1
        ),
        kill_grace=1,
    )
    stopping = asyncio.create_task(supervisor.stop(2))
    await stage.clock.advance(60)
    report = await stopping
    assert report.seconds == 5
    nested = report.children[0]
    assert not nested.unkillable
    assert [child.unkillable for child in nested.children] == [True, True, True]
    for each in stubborn:
        each.released.set()
    await stage.clock.settle()


async def test_s2_cancelling_a_nested_supervisor_stops_its_children_first(stage):
    slow = Stubborn()
    supervisor = await stage.running(
        stage.nested("s", stage.child("a", stopping=slow)), intensity=3
    )
    task = supervisor.child("s").task
    task.cancel()
    await stage.clock.settle()
    task.cancel()
    await stage.clock.settle()
    assert not task.done()
    slow.released.set()
    await stage.clock.settle()
    assert task.done()
    assert isinstance(supervisor.child("s").last_exit, Crashed)
    assert stage.take_log() == "+a -a +a"
    slow.released.set()
    await supervisor.stop()


async def test_s2_auto_shutdown_is_a_normal_exit_for_the_parent(stage):
    nested = stage.nested(
        "s",
        stage.child("a", restart="transient", significant=True),
        "b",
        auto_shutdown="any_significant",
        restart="transient",
    )
    supervisor = await stage.running(nested)
    await stage.finish("a")
    assert supervisor.child("s").last_exit == Normal()
    assert supervisor.child("s").status is Status.DOWN
    assert stage.starts("b") == 1
    await supervisor.stop()


async def test_s7_a_child_with_a_supervisor_of_its_own(stage):
    """As an actor has one: the child is no supervisor, but its children must not outlive it."""
    inner: list[Supervisor] = []

    async def start(child: Child) -> None:
        below = Supervisor(
            SupervisorSpec(dynamic=True),
            path=child.path,
            clock=child.owner.clock,
            sink=child.owner.sink,
        )
        inner.append(below)
        child.nested = below
        below.begin()
        below.start_child(stage.child("x", stopping=lasting(stage, 60), shutdown=30))
        child.started()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await below.stop()

    supervisor = await stage.running(ChildSpec("a", start, shutdown=4))
    await stage.clock.settle()
    assert supervisor.tree().find("root/a/x").status == "running"
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(60)
    report = await stopping
    assert report.seconds == 4
    assert report.children[0].reason == Killed()
    assert report.children[0].children[0].reason == Killed()
    assert inner[0].report is not None


async def test_s1_waiting_for_a_nested_supervisor_that_fails_to_start(stage):
    supervisor = await stage.running()
    child = supervisor.start_child(
        stage.nested("s", stage.child("a", starting=lambda life: raising(BOOM)))
    )
    with pytest.raises(StartError):
        await child.wait_started()
    assert child.last_exit == StartFailed("a", BOOM)
    await supervisor.stop()
