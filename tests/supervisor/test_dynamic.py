"""Dynamic children: they come and go, and stop side by side (S7)."""

from __future__ import annotations

import asyncio
import sys
from typing import Self

import pytest

from supervisor import (
    Crashed,
    Escalated,
    Killed,
    Shutdown,
    SpecError,
    Supervisor,
    SupervisorSpec,
)

from .helpers import Life, Stubborn, forever, raising, up


async def dynamic(stage, *ids, **options) -> Supervisor:
    supervisor = await stage.running(dynamic=True, **options)
    for each in ids:
        await supervisor.start_child(stage.child(each)).wait_started()
    return supervisor


def lasting(stage, seconds: float):
    async def hook(life: Life) -> None:
        await stage.clock.sleep(seconds)

    return hook


async def test_s7_dynamic_children_stop_side_by_side_in_about_the_longest_time(stage):
    supervisor = await dynamic(stage)
    for seconds in (1, 2, 3, 4):
        spec = stage.child(f"c{seconds}", stopping=lasting(stage, seconds))
        await supervisor.start_child(spec).wait_started()
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.settle()
    assert all(stage.life(f"c{n}").asked for n in (1, 2, 3, 4))
    await stage.clock.advance(60)
    report = await stopping
    assert report.seconds == 4
    assert report.clean
    assert [child.seconds for child in report.children] == [1, 2, 3, 4]


async def test_s7_dynamic_children_share_one_deadline(stage):
    supervisor = await dynamic(stage)
    stubborn = Stubborn()
    for each, hook in (("a", lasting(stage, 30)), ("b", lasting(stage, 30)), ("c", stubborn)):
        spec = stage.child(each, stopping=hook, shutdown=20)
        await supervisor.start_child(spec).wait_started()
    await supervisor.start_child(stage.child("d")).wait_started()
    stopping = asyncio.create_task(supervisor.stop(6))
    await stage.clock.advance(60)
    report = await stopping
    assert report.seconds == 7  # the deadline, and the grace of the one that ignored it
    ended = {child.path[-1]: (child.reason, child.seconds) for child in report.children}
    assert ended == {"a": (Killed(), 6), "b": (Killed(), 6), "c": (None, 7), "d": (Shutdown(), 0)}
    stubborn.released.set()
    await stage.clock.settle()


async def test_s7_an_earlier_deadline_reaches_all_of_them(stage):
    supervisor = await dynamic(stage)
    for each in "abc":
        spec = stage.child(each, stopping=lasting(stage, 30), shutdown=None)
        await supervisor.start_child(spec).wait_started()
    stopping = asyncio.create_task(supervisor.stop())
    await stage.clock.advance(2)
    supervisor.request_stop(stage.clock.time() + 1)
    await stage.clock.advance(60)
    assert (await stopping).seconds == 3


async def test_s6_one_that_starts_is_stopped_with_the_others(stage):
    supervisor = await dynamic(stage, "a")
    supervisor.start_child(stage.child("b", starting=forever))
    await stage.clock.settle()
    report = await supervisor.stop()
    assert report.clean
    assert len(report.children) == 2


async def test_the_spec_of_a_dynamic_child_goes_with_it(stage):
    supervisor = await dynamic(stage)
    for each, restart in (("p", "permanent"), ("tr", "transient"), ("te", "temporary")):
        await supervisor.start_child(stage.child(each, restart=restart)).wait_started()
    await stage.finish("tr")
    await stage.crash("te")
    assert await supervisor.stop_child("p") == Shutdown()
    assert len(supervisor) == 0
    # and the id is free again
    await supervisor.start_child(stage.child("p")).wait_started()
    assert up(supervisor) == ["p"]
    await supervisor.stop()


async def test_a_duplicate_id_is_refused(stage):
    supervisor = await dynamic(stage, "a")
    with pytest.raises(SpecError, match="root: there is a child 'a' already"):
        supervisor.start_child(stage.child("a"))
    assert len(supervisor) == 1
    await supervisor.stop()


async def test_max_children(stage):
    supervisor = await dynamic(stage, "a", "b", max_children=2)
    with pytest.raises(SpecError, match=r"there are 2 children already \(max_children\)"):
        supervisor.start_child(stage.child("c"))
    await supervisor.stop_child("a")
    await supervisor.start_child(stage.child("c")).wait_started()
    assert up(supervisor) == ["b", "c"]
    await supervisor.stop()


async def test_s4_dynamic_children_share_the_restart_window(stage):
    supervisor = await dynamic(stage, *"abc", intensity=2)
    error = OSError()
    for each in "abc":
        await stage.crash(each, error)
    assert await supervisor.wait() == Escalated(error, 2)
    assert (await supervisor.stop()).seconds == 0


async def test_s2_a_failing_added_child_leaves_the_others_alone(stage):
    supervisor = await dynamic(stage, "a", intensity=0)
    for n in range(50):
        supervisor.start_child(stage.child(f"bad{n}", starting=lambda life: raising(OSError())))
    await stage.clock.settle()
    assert up(supervisor) == ["a"]
    assert len(supervisor) == 1
    await supervisor.stop()


async def test_s2_a_temporary_child_may_crash_as_often_as_it_likes(stage):
    supervisor = await dynamic(stage, "a", intensity=0)
    for _ in range(20):
        child = supervisor.start_child(stage.child("b", restart="temporary"))
        await child.wait_started()
        await stage.crash("b")
        assert isinstance(child.last_exit, Crashed)
    assert up(supervisor) == ["a"]
    await supervisor.stop()


class Lines:
    """Counts the lines of the supervisor that run: what work costs, whatever the machine does."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame, event, arg):
        ours = frame.f_globals.get("__name__", "").startswith("supervisor.")
        return self._line if ours else None

    def _line(self, frame, event, arg):
        self.count += event == "line"
        return self._line


async def lines_for(stage, count: int, stop: str) -> int:
    asyncio.get_running_loop().set_debug(False)
    supervisor = await stage.running(dynamic=True)
    with Lines() as lines:
        children = [supervisor.start_child(stage.child(str(n))) for n in range(count)]
        await children[-1].wait_started()
        if stop == "one by one":
            for child in children:
                supervisor.request_child_stop(child)
            await children[-1].wait_down()
            assert len(supervisor) == 0
        report = await supervisor.stop()
    assert report.clean
    assert len(report.children) == (0 if stop == "one by one" else count)
    return lines.count


@pytest.mark.parametrize("stop", ["all at once", "one by one"])
async def test_s7_the_stop_of_many_children_is_not_quadratic(stage, stop):
    few = await lines_for(stage, 200, stop)
    many = await lines_for(stage, 2000, stop)
    assert many < 11 * few


async def test_s3_the_restart_of_many_ordered_children_is_not_quadratic(stage):
    asyncio.get_running_loop().set_debug(False)
    counts = []
    for count in (50, 500):
        supervisor = stage.supervisor(*map(str, range(count)), strategy="one_for_all")
        with Lines() as lines:
            await supervisor.start()
            stage.life("0").crash()
            while stage.starts(str(count - 1)) < 2:
                await asyncio.sleep(0)
            assert (await supervisor.stop()).clean
        stage.lives.clear()
        counts.append(lines.count)
    assert counts[1] < 11 * counts[0]


async def test_s7_ten_thousand_children_stop(stage):
    asyncio.get_running_loop().set_debug(False)
    supervisor = await stage.running(dynamic=True)
    for n in range(10_000):
        supervisor.start_child(stage.child(str(n)))
    await stage.clock.settle()
    report = await supervisor.stop()
    assert report.clean
    assert len(report.children) == 10_000
    assert stage.clock.pending == 0


async def test_two_supervisors_do_not_share_anything(stage):
    one = await dynamic(stage, "a")
    other = Supervisor(SupervisorSpec(dynamic=True), path="other", clock=stage.clock)
    await other.start()
    await other.start_child(stage.child("a")).wait_started()
    await one.stop()
    assert [(each.path, each.status) for each in other.nodes()] == [("other/a", "running")]
    await other.stop()
