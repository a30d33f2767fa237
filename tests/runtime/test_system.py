"""The system: what ends it, what surfaces from it, what it shows."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from actors import ActorSystem
from actors.runtime.system import current_system
from supervisor import EscalatedError, SupervisorError, TreeNode

from .support import Boom, Crash, Echo, Gate, Recorder, Told, turns


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_s2_system_exit_and_keyboard_interrupt_stop_all_in_order_and_surface(told, error):
    log: list[Any] = []
    with pytest.raises(type(error)) as caught:
        async with told.system() as system:
            other = system.spawn(Recorder, log)
            await other.started()
            system.spawn(Echo).tell(Crash(error))
            await asyncio.Event().wait()
    assert caught.value is error
    assert log == [("start", 1), ("stop", "shutdown")]
    assert system.report is not None
    assert _cancellations() == 0


async def test_s2_system_exit_surfaces_from_run(told):
    async def main(system: ActorSystem) -> None:
        system.spawn(Echo).tell(Crash(SystemExit(4)))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as caught:
        await told.system().run(main)
    assert caught.value.code == 4


async def test_s2_system_exit_in_on_stop_surfaces_too(told):
    class Last(Recorder):
        async def on_stop(self, reason: Any) -> None:
            raise SystemExit(5)

    with pytest.raises(SystemExit) as caught:
        async with told.system() as system:
            await system.spawn(Last, []).started()
    assert caught.value.code == 5


async def test_run_returns_what_main_returned(told):
    async def main(system: ActorSystem) -> Any:
        return await system.spawn(Echo).ask(42)

    assert await told.system().run(main) == 42


async def test_s4_a_root_that_gives_up_cancels_the_body_and_raises_escalated_error(told):
    log: list[Any] = []
    reached = False
    with pytest.raises(EscalatedError) as caught:
        async with told.system(intensity=2) as system:
            system.spawn(Recorder, log)
            bad = system.spawn(Echo)
            for i in range(3):
                bad.tell(Crash(Boom(i)))
            await asyncio.Event().wait()
            reached = True
    assert not reached
    assert isinstance(caught.value.__cause__, Boom)
    assert caught.value.__cause__.args == (2,)
    assert _cancellations() == 0
    assert ("stop", "shutdown") in log


async def test_s4_the_body_may_take_the_cancellation_for_granted_and_return(told):
    with pytest.raises(EscalatedError):
        async with told.system(intensity=0) as system:
            system.spawn(Echo).tell(Crash(Boom()))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
    assert _cancellations() == 0


async def test_s4_the_bodys_own_error_is_the_context_of_the_systems(told):
    with pytest.raises(EscalatedError) as caught:
        async with told.system(intensity=0) as system:
            system.spawn(Echo).tell(Crash(Boom()))
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("clean-up")
    assert isinstance(caught.value.__context__, ValueError)
    assert isinstance(caught.value.__cause__, Boom)


async def test_s4_escalation_inside_a_task_group_is_not_taken_for_a_cancellation(told):
    async def inside() -> None:
        async with told.system(intensity=0) as system:
            system.spawn(Echo).tell(Crash(Boom()))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(inside())
    assert caught.group_contains(EscalatedError)


async def test_s4_escalation_inside_a_timeout_is_not_taken_for_one(told):
    with pytest.raises(EscalatedError):
        async with asyncio.timeout(60), told.system(intensity=0) as system:
            system.spawn(Echo).tell(Crash(Boom()))
            await asyncio.Event().wait()


async def test_the_bodys_error_surfaces_and_everything_stops(told):
    log: list[Any] = []
    with pytest.raises(ValueError, match="mine"):
        async with told.system() as system:
            await system.spawn(Recorder, log).started()
            raise ValueError("mine")
    assert log == [("start", 1), ("stop", "shutdown")]


async def test_s7_cancelling_the_exit_still_ends_everything(told):
    log: list[Any] = []

    async def program() -> None:
        async with told.system() as system:
            ref = system.spawn(Recorder, log, shutdown=None)
            ref.tell(Gate(asyncio.Event()))
            await turns()

    task = asyncio.ensure_future(program())
    await turns(20)
    task.cancel()  # it waits for the actor, which waits for ever
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)
    assert log[-1] == ("stop", "killed")


async def test_s7_stop_timeout_bounds_the_exit(told):
    loop = asyncio.get_running_loop()
    async with told.system(stop_timeout=0.05) as system:
        for _ in range(10):
            system.spawn(Recorder, [], shutdown=None).tell(Gate(asyncio.Event()))
        await turns()
        begun = loop.time()
    assert loop.time() - begun < 1.0
    assert {str(child.reason) for child in system.report.children} == {"killed"}


async def test_a_system_is_entered_once(told):
    system = told.system()
    with pytest.raises(RuntimeError, match="enter it with `async with`"):
        system.spawn(Echo)
    async with system:
        pass
    with pytest.raises(RuntimeError, match="make a new one"):
        await system.start()
    with pytest.raises(SupervisorError, match="takes no new children"):
        system.spawn(Echo, name="late")
    assert system.lookup("late") is None


async def test_stopping_a_system_twice_is_stopping_it_once(told):
    async with told.system() as system:
        await system.spawn(Echo).started()
        assert await system.stop() is await system.stop()


async def test_start_and_stop_without_a_context(told):
    system = told.system()
    await system.start()
    assert await system.spawn(Echo).ask(1) == 1
    report = await system.stop()
    assert [child.path for child in report.children] == ["system/Echo-1"]


async def test_the_current_system_is_the_one_around(told):
    assert current_system() is None
    async with told.system() as system:
        assert current_system() is system
        async with Told().system(name="inner") as inner:
            assert current_system() is inner
        assert current_system() is not inner


async def test_s8_the_tree_shows_mailboxes_and_is_encodable(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [], name="it", mailbox=10)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await turns()
        ref.tell(1)
        ref.tell(2)
        node = system.tree().find("system/it")
        assert node.detail == {"mailbox": 2, "processed": 0}
        assert (node.kind, node.status) == ("actor", "running")
        assert "it (actor) running mailbox=2 processed=0" in str(system.tree())
        encoded = msgspec.json.encode(system.tree())
        decoded = msgspec.json.decode(encoded, type=TreeNode)
        assert [n.path for n in decoded.walk()] == [n.path for n in system.tree().walk()]
        assert decoded.children[0].detail == node.detail
        gate.set()
        await ref.ask("flush")
        assert system.tree().find("system/it").detail == {"mailbox": 0, "processed": 4}


async def test_actors_inherit_the_context_of_their_spawner(told):
    from contextvars import ContextVar

    request: ContextVar[str] = ContextVar("request", default="none")

    class Asked(Echo):
        async def receive(self, message: Any) -> str:
            return request.get()

    async with told.system() as system:
        request.set("mine")
        assert await system.spawn(Asked).ask("?") == "mine"
