"""Actors under supervisors of their own: strategies, restarts of the supervisor, dynamic ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import ActorError, ActorSpec, NameTaken, Terminated
from actors.runtime.death_watch import watch
from supervisor import SpecError, StartError
from tests.support import eventually

from .support import Boom, Crash, Echo, Gate, Recorder, turns


class Named(Recorder):
    """Writes its own name into a shared log."""

    def __init__(self, log: list[Any], name: str) -> None:
        super().__init__(log)
        self.name = name

    async def on_start(self) -> None:
        self.log.append(f"+{self.name}")

    async def on_stop(self, reason: Any) -> None:
        self.log.append(f"-{self.name}")


def _specs(log: list[Any], names: str = "abc", **options: Any) -> list[ActorSpec]:
    return [ActorSpec(Named, (log, name), name=name, **options) for name in names]


async def test_s1_children_start_in_order_and_stop_in_reverse(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_all", _specs(log))
        await group.started()
        assert log == ["+a", "+b", "+c"]
        await group.stop()
    assert log[3:] == ["-c", "-b", "-a"]


async def test_s3_rest_for_one_restarts_the_later_ones_too(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "rest_for_one", _specs(log))
        await group.started()
        b = group.ref("b")
        log.clear()
        b.tell(Crash(Boom()))
        await eventually(lambda: log[-1:] == ["+c"])
        assert log == ["-b", "-c", "+b", "+c"]
        assert await b.ask("hello") == "hello"


async def test_s3_one_for_all_restarts_all(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_all", _specs(log))
        await group.started()
        log.clear()
        group.ref("b").tell(Crash(Boom()))
        await eventually(lambda: log[-1:] == ["+c"])
        assert log == ["-b", "-c", "-a", "+a", "+b", "+c"]


async def test_a4_mailboxes_survive_the_restart_of_a_group(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_all", _specs(log, "ab"))
        await group.started()
        a, b = group.ref("a"), group.ref("b")
        a.tell(Crash(Boom()))
        for i in range(3):
            b.tell(i)
        await eventually(lambda: 2 in log)
    assert [entry for entry in log if isinstance(entry, int)] == [0, 1, 2]
    assert told.dead == []


async def test_a4_keep_mailbox_false_holds_for_the_restart_of_a_group_too(told):
    log: list[Any] = []
    async with told.system() as system:
        specs = [*_specs(log, "a"), *_specs(log, "b", keep_mailbox=False)]
        group = system.supervisor("group", "one_for_all", specs)
        await group.started()
        a, b = group.ref("a"), group.ref("b")
        gate = asyncio.Event()
        b.tell(Gate(gate))
        b.tell("lost")
        await eventually(lambda: "at the gate" in log)
        a.tell(Crash(Boom()))
        await turns()
        gate.set()
        await eventually(lambda: log.count("+b") == 2)
        assert await b.ask("new") == "new"
    assert "lost" not in log
    assert [letter.message for letter in told.dead] == ["lost"]


async def test_a1_first_children_come_back_behind_the_same_refs_when_their_supervisor_restarts(
    told,
):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_one", _specs(log, "ab"), intensity=0)
        await group.started()
        a, b = group.ref("a"), group.ref("b")
        a.tell(Crash(Boom()))  # one too many: the supervisor gives up and is restarted
        await eventually(lambda: log.count("+b") == 2)
        assert await a.ask("hello") == "hello"
        assert await b.ask("hello") == "hello"
        assert group.ref("a") is a
        assert system.lookup("group/b") is b
        assert a._cell.incarnation == 2
        assert system.tree().find("system/group").restarts == 1


async def test_a6_the_restart_of_its_supervisor_is_an_end_that_watchers_hear_of(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_one", _specs([], "ab"), intensity=0)
        await group.started()
        a, b = group.ref("a"), group.ref("b")
        watcher = system.spawn(Recorder, log)
        await watcher.started()
        watch(watcher, b)
        a.tell(Crash(Boom()))
        await eventually(lambda: any(isinstance(entry, Terminated) for entry in log))
        await eventually(lambda: b.alive)
        assert await b.ask(1) == 1
        # Watched anew, the new life's end is told as well.
        watch(watcher, b)
        await b.stop()
        await eventually(lambda: sum(isinstance(entry, Terminated) for entry in log) == 2)


async def test_s1_a_failed_first_start_takes_the_supervisor_down_in_reverse(told):
    log: list[Any] = []

    class Stillborn(Named):
        async def on_start(self) -> None:
            raise Boom

    async with told.system() as system:
        specs = [*_specs(log, "ab"), ActorSpec(Stillborn, (log, "c"), name="c")]
        group = system.supervisor("group", "rest_for_one", specs)
        with pytest.raises(StartError, match="c failed to start"):
            await group.started()
        assert log == ["+a", "+b", "-b", "-a"]
        assert system.lookup("group/a") is None


async def test_s1_refs_of_children_that_never_started_end_with_their_supervisor(told):
    log: list[Any] = []

    class Stillborn(Named):
        async def on_start(self) -> None:
            await asyncio.sleep(0)
            raise Boom

    async with told.system() as system:
        specs = [ActorSpec(Stillborn, (log, "a"), name="a"), *_specs(log, "b")]
        group = system.supervisor("group", "rest_for_one", specs)
        b = group.ref("b")
        b.tell("never read")
        started = asyncio.ensure_future(b.started())
        with pytest.raises(StartError):
            await group.started()
        with pytest.raises(ActorError, match="ended before it ran"):
            await started
        assert str(await b.stop()) == "shutdown"
        assert system.lookup("group/b") is None
    assert log == []
    assert [letter.message for letter in told.dead] == ["never read"]


async def test_started_waits_for_a_child_that_its_supervisor_has_not_come_to(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", children=_specs(log))
        await group.ref("c").started()
        assert log == ["+a", "+b", "+c"]


async def test_a_child_stopped_before_its_supervisor_came_to_it_never_starts(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("group", "one_for_one", _specs(log))
        reason = await group.ref("b").stop()
        assert str(reason) == "shutdown"
        await group.started()
        assert "+b" not in log
        assert log == ["+a", "+c"]


async def test_dynamic_children_are_spawned_and_stop_side_by_side(told):
    log: list[Any] = []
    async with told.system() as system:
        group = system.supervisor("pool", dynamic=True, max_children=3)
        await group.started()
        refs = [group.spawn(Named, log, name) for name in "xyz"]
        await turns()
        assert [ref.path.rpartition("/")[0] for ref in refs] == ["system/pool"] * 3
        with pytest.raises(SpecError, match="max_children"):
            group.spawn(Named, log, "w")
        assert len(system.registry._cells) == 3
        await refs[0].stop()
        group.spawn(Named, log, "w", name="w")
        assert group.ref("w") is not None


async def test_a_name_is_free_again_when_its_actor_ended(told):
    async with told.system() as system:
        group = system.supervisor("group", "rest_for_one", [ActorSpec(Echo, name="first")])
        await group.started()
        ref = group.spawn(Echo, name="x")
        await ref.started()
        with pytest.raises(NameTaken):
            group.spawn(Echo, name="x")
        await ref.stop()
        again = group.spawn(Echo, name="x")
        assert await again.ask(1) == 1
        assert not ref.alive


async def test_supervisors_below_supervisors(told):
    log: list[Any] = []
    async with told.system() as system:
        outer = system.supervisor("outer")
        await outer.started()
        inner = outer.supervisor("inner", "one_for_all", _specs(log, "ab"))
        await inner.started()
        assert inner.path == "system/outer/inner"
        assert inner.ref("a").path == "system/outer/inner/a"
        assert str(inner.tree()).splitlines()[0].startswith("inner")
        assert [node.path for node in system.tree().walk()] == [
            "system",
            "system/outer",
            "system/outer/inner",
            "system/outer/inner/a",
            "system/outer/inner/b",
        ]
    assert log[-2:] == ["-b", "-a"]


async def test_a_supervisor_that_has_not_started_says_so(told):
    async with told.system() as system:
        group = system.supervisor("group")
        with pytest.raises(ActorError, match=r"await started\(\) first"):
            group.spawn(Echo)
        await group.started()


@pytest.mark.parametrize("kind", ["actor", "supervisor"])
async def test_names_of_actors_and_supervisors_are_one_namespace(told, kind):
    async with told.system() as system:
        if kind == "actor":
            system.spawn(Echo, name="x")
        else:
            system.supervisor("x")
        with pytest.raises(NameTaken, match="system/x"):
            system.supervisor("x", children=[ActorSpec(Echo, name="c")])
        with pytest.raises(NameTaken, match="system/x"):
            system.spawn(Echo, name="x")
        assert system.lookup("x/c") is None


async def test_specs_that_cannot_work_leave_nothing_behind(told):
    async with told.system() as system:
        with pytest.raises(SpecError, match="duplicate id 'a'"):
            system.supervisor("group", children=[*_specs([], "a"), *_specs([], "a")])
        with pytest.raises(SpecError, match="strategy must be one of"):
            system.supervisor("group", "best_effort", _specs([], "b"))
        with pytest.raises(SpecError, match="shutdown must be 0 or more"):
            system.spawn(Echo, name="neg", shutdown=-1)
        with pytest.raises(SpecError, match="must have no '/'"):
            system.spawn(Echo, name="a/b")
        assert system.registry._cells == {}
        assert len(system.root) == 0
