"""Actors below actors: they end with their parent's incarnation, and before it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, ActorCrashed, ActorRef, ActorStopped
from supervisor import ConstantRetryPolicy
from tests.support import eventually

from .support import Boom, Crash, Echo, Gate, Recorder, turns


class Child(Recorder):
    """Notes its end under its own name."""

    async def on_stop(self, reason: Any) -> None:
        await asyncio.sleep(0)
        self.log.append(("child stopped", self.context.path))


class Parent(Recorder):
    """Spawns what it is told to; children of its own from the start."""

    def __init__(self, log: list[Any], children: int = 1, **options: Any) -> None:
        super().__init__(log)
        self.count = children
        self.options = options
        self.children: list[ActorRef[Any]] = []

    async def on_start(self) -> None:
        await super().on_start()
        for i in range(self.count):
            self.children.append(self.context.spawn(Child, self.log, name=f"c{i}", **self.options))
        for child in self.children:
            await child.started()

    async def receive(self, message: Any) -> Any:
        if message == "children":
            return self.children
        if message == "spawn":
            return self.context.spawn(Echo)
        return await super().receive(message)


async def test_s7_children_end_before_their_parent(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Parent, log, 2, name="p")
        children = await ref.ask("children")
        assert [child.path for child in children] == ["system/p/c0", "system/p/c1"]
        await ref.stop()
        assert not any(child.alive for child in children)
    assert log[-3:] == [
        ("child stopped", "system/p/c0"),
        ("child stopped", "system/p/c1"),
        ("stop", "shutdown"),
    ]


async def test_a8_children_end_with_a_crashed_incarnation_and_are_made_anew(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Parent, log, name="p")
        (before,) = await ref.ask("children")
        ref.tell(Crash(Boom()))
        (after,) = await ref.ask("children")
        assert not before.alive
        assert after.alive
        assert before is not after
        assert before.path == after.path
        assert system.lookup("p/c0") is after
    at = log.index(("child stopped", "system/p/c0"))
    assert log[at + 1] == ("stop", "crashed: Boom")


async def test_s4_children_that_cannot_be_kept_alive_crash_their_parent(told):
    log: list[Any] = []
    policy = ConstantRetryPolicy((Boom,), retries=2, delay=0)
    async with told.system() as system:
        ref = system.spawn(Parent, log, kwargs={"retry_policy": policy}, name="p")
        (child,) = await ref.ask("children")
        for _ in range(3):
            child.tell(Crash(Boom("child")))
        await eventually(lambda: log.count(("start", 2)) and ref._cell.incarnation == 2)
        assert "Boom: child" in system.tree().find("system/p").last_exit
        assert (await ref.ask("children"))[0] is not child


async def test_s4_a_resilient_parent_crashes_with_its_children_too(told):
    class Tough(Parent):
        resilient = True

    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Tough, log, name="p")
        (child,) = await ref.ask("children")
        for _ in range(6):  # more than five restarts in thirty seconds
            child.tell(Crash(Boom()))
        await eventually(lambda: ref._cell.incarnation == 2)
    assert any(entry[0] == "stop" and "gave up" in entry[1] for entry in log if entry[0] == "stop")


async def test_a_failed_start_takes_the_children_it_had_spawned_along(told):
    log: list[Any] = []

    class Stillborn(Recorder):
        async def on_start(self) -> None:
            child = self.context.spawn(Child, self.log, name="child")
            self.context.timers.after(60, "tick")
            await child.started()
            raise Boom("start")

    async with told.system() as system:
        ref = system.spawn(Stillborn, log, name="p")
        with pytest.raises(Exception, match="failed to start") as caught:
            await ref.started()
        assert isinstance(caught.value.__cause__, Boom)
        assert log == [("start", 1), ("child stopped", "system/p/child")]
        assert not ref.alive
        assert system.lookup("p/child") is None


async def test_s6_a_stop_during_the_start_interrupts_it_and_its_children(told):
    log: list[Any] = []

    class Endless(Recorder):
        async def on_start(self) -> None:
            self.context.spawn(Child, self.log, name="child")
            await asyncio.Event().wait()

    async with told.system() as system:
        ref = system.spawn(Endless, log, name="p")
        await eventually(lambda: ("start", 1) in log)
        await asyncio.wait_for(ref.stop(), 2)
    assert log == [("start", 1), ("child stopped", "system/p/child")]


async def test_spawning_from_an_incarnation_that_is_over_is_refused(told):
    errors: list[Exception] = []

    class Late(Recorder):
        async def on_stop(self, reason: Any) -> None:
            try:
                self.context.spawn(Echo)
            except ActorStopped as error:
                errors.append(error)

    async with told.system() as system:
        ref = system.spawn(Late, [])
        await ref.ask(1)
        await ref.stop()
    assert "spawn(): incarnation 1 is over" in str(errors[0])


async def test_spawning_with_a_stop_pending_ends_the_child_with_the_parent(told):
    log: list[Any] = []
    refs: list[ActorRef[Any]] = []

    class Late(Recorder):
        async def receive(self, message: Any) -> Any:
            await super().receive(message)
            refs.append(self.context.spawn(Child, self.log))
            await refs[0].started()

    async with told.system() as system:
        ref = system.spawn(Late, log)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await eventually(lambda: "at the gate" in log)
        ref.request_stop()
        gate.set()
        await ref.stopped()
        assert not refs[0].alive


async def test_s7_an_overdue_parent_hands_its_deadline_down(told):
    class Slow(Actor[Any]):
        async def receive(self, message: Any) -> None:
            await asyncio.Event().wait()

    class Keeper(Actor[Any]):
        async def receive(self, message: Any) -> None:
            child = self.context.spawn(Slow, name="slow", shutdown=None)
            child.tell("forever")
            await child.started()

    loop = asyncio.get_running_loop()
    async with told.system() as system:
        ref = system.spawn(Keeper, shutdown=0.05)
        ref.tell("go")
        await turns(20)
        begun = loop.time()
        await ref.stop()
        assert loop.time() - begun < 1.0
    assert [f.message for f in told.failures] == ["forever"]


async def test_s7_a_shortened_deadline_reaches_children_that_are_stopping(told):
    class Slow(Actor[Any]):
        async def receive(self, message: Any) -> None:
            await asyncio.Event().wait()

    class Keeper(Actor[Any]):
        async def receive(self, message: Any) -> None:
            child = self.context.spawn(Slow, shutdown=None)
            child.tell("forever")
            await child.started()

    loop = asyncio.get_running_loop()
    async with told.system() as system:
        ref = system.spawn(Keeper, shutdown=None)
        ref.tell("go")
        await turns(20)
        stop = asyncio.ensure_future(system.stop(60))  # it waits for its child, for a minute
        await turns(20)
        begun = loop.time()
        await system.stop(0.05)
        await stop
        assert loop.time() - begun < 1.0


async def test_s2_system_exit_in_a_grandchild_ends_the_system(told):
    log: list[Any] = []
    with pytest.raises(SystemExit) as caught:
        async with told.system() as system:
            ref = system.spawn(Parent, log)
            (child,) = await ref.ask("children")
            child.tell(Crash(SystemExit(7)))
            await asyncio.Event().wait()
    assert caught.value.code == 7
    assert log[-1][0] == "stop"


async def test_s2_system_exit_of_a_grandchild_while_it_stops_is_not_lost(told):
    class Last(Actor[Any]):
        async def receive(self, message: Any) -> None:
            pass

        async def on_stop(self, reason: Any) -> None:
            raise SystemExit(3)

    class Keeper(Actor[Any]):
        async def on_start(self) -> None:
            await self.context.spawn(Last).started()

        async def receive(self, message: Any) -> None:
            pass

    with pytest.raises(SystemExit) as caught:
        async with told.system() as system:
            await system.spawn(Keeper).started()
    assert caught.value.code == 3


async def test_the_tree_shows_children_below_their_parent(told):
    async with told.system() as system:
        ref = system.spawn(Parent, [], 2, name="p")
        await ref.started()
        node = system.tree().find("system/p")
        assert [child.path for child in node.children] == ["system/p/c0", "system/p/c1"]
        with pytest.raises(ActorCrashed):
            await ref.ask(Crash(Boom()))
        await ref.ask("children")
        assert len(system.tree().find("system/p").children) == 2


async def test_a_child_may_be_stopped_and_its_name_taken_again(told):
    async with told.system() as system:
        ref = system.spawn(Parent, [], name="p")
        (child,) = await ref.ask("children")
        await child.stop()
        assert (await ref.ask("spawn")).alive
        assert ref.alive
