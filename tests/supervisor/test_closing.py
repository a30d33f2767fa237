"""A program that ends over a live supervisor crashes nothing: ``asyncio.run`` cancels all tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors import Actor, ActorSystem
from supervisor import Child, ChildSpec, ExponentialBackoffRetryPolicy, Supervisor, SupervisorSpec
from supervisor.model.reasons import Crashed
from supervisor.supervisor import supervisor_child
from tests.support import eventually

kept: list[Any] = []


async def forever(child: Child) -> None:
    child.started()
    await asyncio.Event().wait()


async def crashing(child: Child) -> None:
    child.started()
    raise ValueError("the child's own")


class Idle(Actor[Any]):
    def receive(self, message: Any) -> None: ...


async def children() -> None:
    supervisor = Supervisor(SupervisorSpec(children=[ChildSpec("a", forever)]))
    kept.append(supervisor)
    await supervisor.start()


async def nested() -> None:
    below = SupervisorSpec(children=[ChildSpec("a", forever), ChildSpec("b", forever)])
    spec = SupervisorSpec(
        children=[supervisor_child("x", below), supervisor_child("y", below)],
        strategy="rest_for_one",
    )
    supervisor = Supervisor(spec)
    kept.append(supervisor)
    await supervisor.start()


async def actors() -> None:
    system = ActorSystem("s")
    kept.append(system)
    await system.start()
    for _ in range(20):
        await system.spawn(Idle, restart="permanent").started()


async def backing_off() -> None:
    policy = ExponentialBackoffRetryPolicy((ValueError,), retries=None, base_delay=60, max_delay=60)
    specs = [ChildSpec("a", forever), ChildSpec("b", crashing, retry_policy=policy)]
    supervisor = Supervisor(SupervisorSpec(children=specs))
    kept.append(supervisor)
    await supervisor.start()
    await eventually(lambda: "waiting" in str(supervisor.tree()))
    logging.getLogger("tests").error("from here on")


@pytest.mark.parametrize("what", [children, nested, actors, backing_off])
@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled", "leaves a task"])
def test_nothing_crashes_when_the_program(
    caplog: pytest.LogCaptureFixture, what: Callable[[], Awaitable[None]], how: str
) -> None:
    async def main() -> None:
        await what()
        if how == "raises":
            raise KeyError(how)
        if how == "is cancelled":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        if how == "leaves a task":
            kept.append(asyncio.create_task(asyncio.sleep(3600)))
            await asyncio.sleep(0)

    ends: dict[str, Any] = {"raises": KeyError, "is cancelled": asyncio.CancelledError}
    try:
        if how in ends:
            with pytest.raises(ends[how]):
                asyncio.run(main())
        else:
            asyncio.run(main())
    finally:
        kept.clear()
    messages = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    if what is backing_off:
        messages = messages[messages.index("from here on") + 1 :]
    assert messages == []


def test_a_supervisor_that_ends_so_was_shut_down():
    async def main() -> Supervisor:
        await nested()
        supervisor: Supervisor = kept[-1]
        return supervisor

    supervisor = asyncio.run(main())
    kept.clear()
    assert supervisor.report is not None
    assert supervisor.report.clean
    assert "the event loop ends" in str(supervisor.report.reason)


@pytest.mark.parametrize("everybody", [False, True])
async def test_children_that_somebody_cancels_have_crashed_nevertheless(everybody):
    """The main task goes on: the program does not end."""
    started: list[str] = []
    events: list[Any] = []

    async def counted(child: Child) -> None:
        started.append(child.spec.id)
        await forever(child)

    specs = [ChildSpec(name, counted) for name in "abc"]
    before = asyncio.all_tasks()
    supervisor = Supervisor(SupervisorSpec(children=specs, intensity=10), sink=events.append)
    await supervisor.start()
    tasks = asyncio.all_tasks() - before
    assert len(tasks) == 3
    for task in tasks if everybody else list(tasks)[:1]:
        task.cancel()
    expected = 6 if everybody else 4
    await eventually(lambda: len(started) == expected)
    reasons = [event.reason for event in events if hasattr(event, "reason")]
    assert reasons
    assert all(isinstance(reason, Crashed) for reason in reasons)
    await supervisor.stop()
