"""Starts: one after another, and what a failed one leads to (S1, S6)."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from supervisor import (
    Child,
    ChildSpec,
    ConstantRetryPolicy,
    Normal,
    Phase,
    Shutdown,
    StartError,
    StartFailed,
    Status,
    Supervisor,
    SupervisorError,
    SupervisorExit,
    SupervisorSpec,
)

from .helpers import Life, Stubborn, forever, raising, status, up


def fails(error: BaseException):
    return lambda life: raising(error)


async def test_s1_children_start_one_after_another_in_order(stage):
    gates = {name: asyncio.Event() for name in "abc"}

    def gated(id):
        return stage.child(id, starting=lambda life: gates[id].wait())

    supervisor = stage.supervisor(*map(gated, "abc"))
    starting = asyncio.create_task(supervisor.start())
    for name, before in zip("abc", ("", "a", "ab"), strict=True):
        await stage.clock.settle()
        assert up(supervisor) == list(before)
        assert [i for i in "abc" if stage.starts(i)] == [*before, name]
        assert supervisor.phase is Phase.STARTING
        gates[name].set()
    await starting
    assert supervisor.phase is Phase.RUNNING
    assert stage.take_log() == "+a +b +c"
    await supervisor.stop()


async def test_s1_a_failed_start_stops_the_started_in_reverse_and_exits_start_failed(stage):
    error = OSError("no port")
    supervisor = stage.supervisor("a", "b", stage.child("c", starting=fails(error)), "d")
    with pytest.raises(StartError, match="c failed to start") as caught:
        await supervisor.start()
    assert caught.value.__cause__ is error
    assert caught.value.reason == StartFailed("c", error)
    assert stage.take_log() == "+a +b -b -a"
    assert stage.starts("c") == 1
    assert stage.starts("d") == 0
    assert await supervisor.wait() == StartFailed("c", error)
    assert supervisor.restarts == 0


async def test_s1_a_start_may_take_only_so_long(stage):
    supervisor = stage.supervisor("a", stage.child("b", starting=forever, start_timeout=3))
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(2.9)
    assert not starting.done()
    await stage.clock.advance(0.1)
    with pytest.raises(StartError, match=r"root/b did not start within 3 s") as caught:
        await starting
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert stage.take_log() == "+a -a"


async def test_s1_the_timeout_is_the_cause_whatever_came_of_it(stage):
    async def messy(life: Life) -> None:
        try:
            await forever(life)
        finally:
            raise ValueError("while cleaning up")

    supervisor = stage.supervisor(stage.child("a", starting=messy, start_timeout=3))
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(3)
    with pytest.raises(StartError, match="did not start within"):
        await starting


async def test_s1_a_start_that_ignores_its_timeout_failed_all_the_same(stage):
    stubborn = Stubborn()
    supervisor = stage.supervisor(
        "a", stage.child("b", starting=stubborn, start_timeout=3), kill_grace=2
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(4)
    assert stubborn.swallowed == 1
    assert not starting.done()
    await stage.clock.advance(1)
    with pytest.raises(StartError, match="did not start within"):
        await starting
    assert "ChildUnkillable b" in stage.take_events()
    stubborn.released.set()
    await stage.finish("b")
    assert status(supervisor, "b") is Status.DOWN


async def test_s1_started_too_late_is_not_started(stage):
    async def late(life: Life) -> None:
        try:
            await forever(life)
        except asyncio.CancelledError:
            pass  # and goes on to say that it has started

    supervisor = stage.supervisor(stage.child("a", starting=late, start_timeout=3))
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.advance(3.5)
    assert status(supervisor, "a") is Status.STARTING
    stage.life("a").finish()
    with pytest.raises(StartError, match="did not start within"):
        await starting


async def test_s1_a_fast_start_leaves_no_timeout_behind(stage):
    supervisor = await stage.running(stage.child("a", start_timeout=3))
    await stage.clock.advance(60)
    assert up(supervisor) == ["a"]
    assert stage.starts("a") == 1
    await supervisor.stop()


async def test_s1_a_child_that_ends_normally_without_starting_is_passed_over(stage):
    """As ``ignore`` in OTP."""

    async def nothing_to_do(child: Child) -> None:
        pass

    supervisor = await stage.running(ChildSpec("a", nothing_to_do, "transient"), "b")
    assert up(supervisor) == ["b"]
    assert supervisor.child("a").last_exit == Normal()
    with pytest.raises(SupervisorExit, match="normal"):
        await supervisor.child("a").wait_started()
    await supervisor.stop()


async def test_s1_without_children_it_runs_at_once(stage):
    supervisor = stage.supervisor()
    supervisor.begin()
    assert supervisor.phase is Phase.RUNNING
    assert (await supervisor.stop()).clean


async def test_s6_a_stop_interrupts_a_start(stage):
    supervisor = stage.supervisor("a", stage.child("b", starting=forever), "c")
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    report = await supervisor.stop()
    await starting
    assert stage.take_log() == "+a -a"
    assert stage.starts("c") == 0
    assert report.clean
    assert [(r.path, str(r.reason)) for r in report.children] == [
        ("root/b", "shutdown"),
        ("root/a", "shutdown"),
    ]


async def test_s6_cancelling_a_start_stops_what_had_started(stage):
    slow = Stubborn()
    supervisor = stage.supervisor(
        stage.child("a", stopping=slow), stage.child("b", starting=forever), kill_grace=2
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    starting.cancel()
    await stage.clock.settle()
    # A second cancellation must not make it run away from its children.
    starting.cancel()
    await stage.clock.settle()
    assert not starting.done()
    slow.released.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert stage.take_log() == "+a -a"


async def test_s6_a_stop_before_the_start_ends_it(stage):
    supervisor = stage.supervisor("a")
    assert (await supervisor.stop()).clean
    with pytest.raises(SupervisorError, match="make a new one"):
        await supervisor.start()
    assert stage.starts("a") == 0
    assert await supervisor.wait() == Shutdown()


async def test_a_second_start_is_refused(stage):
    supervisor = await stage.running("a")
    with pytest.raises(SupervisorError, match="started or stopped before"):
        await supervisor.start()
    await supervisor.stop()
    assert stage.starts("a") == 1


async def test_s1_a_started_child_that_crashes_during_the_start_is_restarted(stage):
    gate = asyncio.Event()
    supervisor = stage.supervisor("a", stage.child("b", starting=lambda life: gate.wait()))
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    await stage.crash("a")
    assert stage.starts("a") == 2
    gate.set()
    await starting
    assert up(supervisor) == ["a", "b"]
    await supervisor.stop()


async def test_s3_a_crash_during_the_start_takes_no_child_that_has_not_started(stage):
    gate = asyncio.Event()
    supervisor = stage.supervisor(
        "a",
        stage.child("b", starting=lambda life: gate.wait()),
        stage.child("c", restart="temporary"),
        strategy="one_for_all",
    )
    starting = asyncio.create_task(supervisor.start())
    await stage.clock.settle()
    await stage.crash("a")
    gate.set()
    await starting
    assert up(supervisor) == ["a", "b", "c"]
    await supervisor.stop()


async def test_s1_waiting_for_a_start(stage):
    gate = asyncio.Event()
    supervisor = await stage.running()
    child = supervisor.start_child(stage.child("a", starting=lambda life: gate.wait()))
    waits = [asyncio.create_task(child.wait_started()) for _ in range(3)]
    waits[0].cancel()
    await stage.clock.settle()
    assert not waits[1].done()
    gate.set()
    await asyncio.gather(*waits[1:])
    await child.wait_started()
    await supervisor.stop()
    with pytest.raises(SupervisorExit, match="shutdown"):
        await child.wait_started()


async def test_s1_a_child_that_was_up_only_for_a_moment_had_started(stage):
    async def moment(child: Child) -> None:
        child.started()

    supervisor = await stage.running()
    await supervisor.start_child(ChildSpec("a", moment, "temporary")).wait_started()
    await supervisor.stop()


@pytest.mark.parametrize("stop", ["backoff", "start"])
async def test_s6_who_waits_for_a_start_learns_that_it_will_not_come(stage, stop):
    retry = ConstantRetryPolicy((OSError,), None, delay=60)
    hook = fails(OSError()) if stop == "backoff" else forever
    supervisor = await stage.running()
    child = supervisor.start_child(stage.child("a", starting=hook, retry_policy=retry))
    await stage.clock.settle()
    waiting = asyncio.create_task(child.wait_started())
    await stage.clock.settle()
    assert not waiting.done()
    await supervisor.stop()
    with pytest.raises((SupervisorExit, StartError)):
        await waiting


async def test_each_incarnation_gets_the_context_in_which_its_child_was_added(stage):
    """Not that of the sibling from whose task it happened to be started."""
    name = contextvars.ContextVar("name", default="none")
    seen = []

    async def start(child: Child) -> None:
        seen.append((child.spec.id, child.incarnation, name.get()))
        name.set(child.spec.id)
        life = Life(child)
        stage.lives.setdefault(child.spec.id, []).append(life)
        child.on_stop(life.ask_stop)
        child.started()
        await life.over

    name.set("outside")
    specs = [ChildSpec(each, start) for each in "ab"]
    supervisor = Supervisor(
        SupervisorSpec(children=specs, strategy="one_for_all"), sink=stage.events.append
    )
    await supervisor.start()
    await stage.crash("a")
    await supervisor.stop()
    assert seen == [
        ("a", 1, "outside"),
        ("b", 1, "outside"),
        ("a", 2, "outside"),
        ("b", 2, "outside"),
    ]
