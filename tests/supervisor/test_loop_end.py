"""S2: a tree whose event loop ends stops in order; any other cancellation is a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from supervisor import Child, ChildSpec, Shutdown, Supervisor, SupervisorSpec
from supervisor.model.events import ChildExited, ChildRestarting, GaveUp, Stopped


async def waits(child: Child) -> None:
    child.started()
    await asyncio.Event().wait()


async def starts(child: Child) -> None:
    await asyncio.Event().wait()


async def tidies_up(child: Child) -> None:
    child.started()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)


def below(*children: ChildSpec, **options: Any) -> Any:
    async def run(child: Child) -> None:
        spec = SupervisorSpec(children=list(children), **options)
        await Supervisor(spec, path=child.path, sink=child.owner.sink).run(child)

    return run


def child(name: str, start: Any = waits, **options: Any) -> ChildSpec:
    return ChildSpec(name, start, restart="permanent", **options)


def group(name: str, *children: ChildSpec, **options: Any) -> ChildSpec:
    return child(name, below(*children, **options), kind="supervisor", shutdown=None)


TREES = {
    "one child": [child("a")],
    "many children": [child(f"c{number}") for number in range(50)],
    "a child that takes its time": [child("a", tidies_up), child("b")],
    "groups": [group("g", child("a"), group("h", child("b")), strategy="rest_for_one"), child("c")],
    "an empty group": [group("g", dynamic=True), child("a")],
    "an empty group alone": [group("g", dynamic=True)],
    "groups of groups": [group("g", group("h", group("i", dynamic=True), group("j", child("a"))))],
}


def ends_with(tree: list[ChildSpec], *, others: bool = False) -> list[Any]:
    """Run ``tree``, let asyncio.run() end, and return the events from there on."""
    events: list[Any] = []
    kept: list[Any] = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            # A task of the program that makes another task while it is cancelled.
            await asyncio.create_task(asyncio.sleep(0.01))

    async def main() -> None:
        supervisor = Supervisor(SupervisorSpec(children=tree), sink=events.append)
        supervisor.begin()
        kept.append(supervisor)
        if others:
            kept.extend(asyncio.create_task(other()) for _ in range(20))
        await asyncio.sleep(0.05)
        events.clear()

    asyncio.run(main())
    supervisor = kept[0]
    assert supervisor.report is not None
    assert isinstance(supervisor.report.reason, Shutdown)
    return events


@pytest.mark.parametrize(
    ("tree", "others"),
    [*((tree, False) for tree in TREES), ("groups", True), ("groups of groups", True)],
)
def test_s2_the_end_of_the_loop_stops_the_tree_in_order(tree: str, others: bool):
    """``others``: tasks of the program make new tasks meanwhile, which nobody cancels."""
    events = ends_with(TREES[tree], others=others)
    assert not [event for event in events if isinstance(event, ChildRestarting | GaveUp)]
    exits = [event.reason for event in events if isinstance(event, ChildExited)]
    assert exits
    assert all(reason.normal for reason in exits)
    assert isinstance(events[-1], Stopped)


def test_s2_children_that_had_not_started():
    events = ends_with([group("g", child("a"), child("b", starts))])
    exits = [event.reason for event in events if isinstance(event, ChildExited)]
    assert all(reason.normal for reason in exits)


@pytest.mark.parametrize("victim", ["leaf", "group", "empty group"])
async def test_s2_any_other_cancellation_is_a_crash(victim: str):
    events: list[Any] = []
    tree = [group("g", child("a"), child("b")), group("e", dynamic=True), child("c")]
    supervisor = Supervisor(SupervisorSpec(children=tree), sink=events.append)
    await supervisor.start()
    paths = {"leaf": "root/g/a", "group": "root/g", "empty group": "root/e"}
    (task,) = [one for one in asyncio.all_tasks() if one.get_name() == paths[victim]]
    task.cancel()
    await asyncio.sleep(0.05)
    restarted = [event.path for event in events if isinstance(event, ChildRestarting)]
    assert restarted == [paths[victim]]
    await supervisor.stop()
