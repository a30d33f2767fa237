"""Stops of single actors (S7), and names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, ActorStopped, NameTaken
from supervisor import Crashed, Killed, Shutdown, StartError
from tests.support import eventually

from .support import Boom, Crash, Echo, Gate, Recorder, turns


async def test_s7_an_overdue_stop_cancels_the_message_in_hand_and_reports_it(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log, shutdown=0.01)
        gate = Gate(asyncio.Event())
        ref.tell(gate)
        await eventually(lambda: "at the gate" in log)
        reason = await ref.stop()
    assert reason == Killed()
    assert log[-1] == ("stop", "killed")
    (failure,) = told.failures
    assert failure.message is gate
    assert isinstance(failure.error, asyncio.CancelledError)


async def test_s7_a_resilient_actor_does_not_survive_an_overdue_stop(told):
    class Tough(Recorder):
        resilient = True

    async with told.system() as system:
        ref = system.spawn(Tough, [], shutdown=0.01)
        ref.tell(Gate(asyncio.Event()))
        await turns()
        assert await ref.stop() == Killed()


async def test_s7_a_handler_that_swallows_the_cancellation_still_ends(told):
    class Swallows(Actor[Any]):
        async def receive(self, message: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    async with told.system() as system:
        ref = system.spawn(Swallows, shutdown=0.01)
        ref.tell(1)
        ref.tell(2)
        await turns()
        await ref.stop()
        assert not ref.alive
    assert [letter.message for letter in told.dead] == [2]


async def test_s7_a_total_reaches_an_actor_that_was_stopping_already(told):
    loop = asyncio.get_running_loop()
    async with told.system() as system:
        ref = system.spawn(Recorder, [], shutdown=None)
        ref.tell(Gate(asyncio.Event()))
        await turns()
        ref.request_stop()  # it may take as long as it needs
        begun = loop.time()
        await asyncio.wait_for(system.stop(0.05), 5)
        assert loop.time() - begun < 2
    assert len(told.failures) == 1


async def test_s7_stop_returns_how_it_ended(told):
    async with told.system() as system:
        ref = system.spawn(Echo)
        await ref.started()
        assert await ref.stop() == Shutdown()
        assert await ref.stop() == Shutdown()
        assert await ref.stopped() == Shutdown()


async def test_s7_a_crash_of_the_message_in_hand_of_a_stop_is_no_reason_to_restart(told):
    log: list[Any] = []

    class Delayed(Recorder):
        async def receive(self, message: Any) -> Any:
            if isinstance(message, tuple):
                await message[0].wait()
                raise message[1]
            return await super().receive(message)

    async with told.system() as system:
        ref = system.spawn(Delayed, log)
        gate = asyncio.Event()
        error = Boom()
        ref.tell((gate, error))
        await turns()
        ref.request_stop()
        gate.set()
        assert await ref.stopped() == Crashed(error)
    assert ("start", 2) not in log


async def test_s7_drain_handles_all_that_was_in_the_mailbox_and_nothing_after_it(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        await ref.started()
        for i in range(500):
            ref.tell(i)
        ref.request_stop(drain=True)
        ref.tell("late")
        await ref.stopped()
    assert [entry for entry in log if isinstance(entry, int)] == list(range(500))
    assert "late" not in log
    assert [letter.message for letter in told.dead] == ["late"]


async def test_s7_drain_works_on_one_that_has_not_started_yet(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        ref.tell(1)
        await ref.stop(drain=True)
    assert log == [("start", 1), 1, ("stop", "shutdown")]


async def test_s7_drain_goes_on_after_a_back_off(told, clock):
    from supervisor import ConstantRetryPolicy

    log: list[Any] = []
    async with told.system(clock=clock) as system:
        policy = ConstantRetryPolicy((Boom,), retries=3, delay=60)
        ref = system.spawn(Recorder, log, retry_policy=policy)
        ref.tell(Crash(Boom()))
        await turns(20)
        ref.tell(1)
        ref.request_stop(drain=True)
        assert ref.alive
        await clock.advance(61)
        assert not ref.alive
    assert 1 in log


async def test_s7_a_plain_stop_overtakes_a_drain(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        for i in range(10):
            ref.tell(i)
        await turns()
        ref.request_stop(drain=True)
        ref.request_stop()
        gate.set()
        await ref.stopped()
    assert 0 not in log


async def test_s6_a_stop_during_the_start_ends_it(told):
    class Endless(Recorder):
        async def on_start(self) -> None:
            await asyncio.Event().wait()

    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Endless, log)
        await turns()
        await asyncio.wait_for(ref.stop(), 2)
        with pytest.raises(ActorStopped, match="ended before it ran"):
            await ref.started()
    assert log == []


@pytest.mark.parametrize("options", [{"shutdown": None}, {"start_timeout": 0.01}])
async def test_s6_a_start_that_swallows_its_cancellation_is_no_start(told, options):
    log: list[Any] = []

    class Deaf(Recorder):
        async def on_start(self) -> None:
            self.log.append("starting")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    async with told.system() as system:
        ref = system.spawn(Deaf, log, restart="temporary", **options)
        ref.tell("never read")
        await eventually(lambda: "starting" in log)
        if "shutdown" in options:
            ref.request_stop()
        await asyncio.wait_for(ref.stopped(), 2)
    assert log == ["starting", ("stop", "shutdown")]
    assert [letter.message for letter in told.dead] == ["never read"]


async def test_s6_a_stop_right_after_the_spawn_ends_it_before_it_began(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        ref.tell("nobody reads this")
        await ref.stop()
    assert log == []
    assert [letter.message for letter in told.dead] == ["nobody reads this"]


async def test_a_constructor_that_raises_is_a_failed_start(told):
    class Unmade(Actor[Any]):
        def __init__(self) -> None:
            raise Boom("constructor")

    async with told.system() as system:
        ref = system.spawn(Unmade)
        with pytest.raises(StartError, match="constructor"):
            await ref.started()
        assert not ref.alive


async def test_a_failed_on_stop_is_in_the_report(told):
    class Bad(Recorder):
        async def on_stop(self, reason: Any) -> None:
            raise Boom("on_stop")

    async with told.system() as system:
        ref = system.spawn(Bad, [])
        await ref.started()
        assert "on_stop" in str(await ref.stop())


async def test_a_left_behind_incarnation_reads_no_more_messages(told):
    """A1 holds also when an unkillable handler comes back after its sibling's restart."""
    release = asyncio.Event()
    log: list[Any] = []

    class Stubborn(Recorder):
        async def receive(self, message: Any) -> Any:
            if message == "hang" and self.context.incarnation == 1:
                while not release.is_set():
                    try:
                        await release.wait()
                    except asyncio.CancelledError:
                        pass
            self.log.append((self.context.incarnation, message))

    from actors import ActorSpec

    async with told.system() as system:
        group = system.supervisor(
            "group",
            "one_for_all",
            [
                ActorSpec(Echo, name="first"),
                ActorSpec(Stubborn, (log,), name="stubborn", shutdown=0.01),
            ],
            kill_grace=0.01,
        )
        await group.started()
        ref = group.ref("stubborn")
        ref.tell("hang")
        ref.tell("next")
        await turns()
        task = ref._cell.child.task
        group.ref("first").tell(Crash(Boom()))
        await eventually(lambda: (2, "next") in log)
        release.set()
        await asyncio.wait([task])
        ref.tell("after")
        await eventually(lambda: (2, "after") in log)
    assert [entry for entry in log if isinstance(entry[0], int)] == [
        (2, "next"),
        (1, "hang"),
        (2, "after"),
    ]


# -- names -----------------------------------------------------------------------------------------


async def test_names_are_made_up_from_the_class(told):
    async with told.system(name="app") as system:
        assert [system.spawn(Echo).path for _ in range(2)] == ["app/Echo-1", "app/Echo-2"]


async def test_names_made_up_avoid_those_that_are_taken(told):
    async with told.system() as system:
        system.spawn(Echo, name="Echo-1")
        assert system.spawn(Echo).path == "system/Echo-2"


async def test_names_of_living_siblings_are_taken(told):
    async with told.system() as system:
        ref = system.spawn(Echo, name="one")
        with pytest.raises(NameTaken, match="system/one: an actor has this name"):
            system.spawn(Echo, name="one")
        await ref.stop()
        again = system.spawn(Echo, name="one")
        assert await again.ask(1) == 1
        assert system.lookup("one") is again


async def test_lookup_by_path_and_by_registered_name(told):
    async with told.system() as system:
        ref = system.spawn(Echo, name="one")
        assert system.lookup("one") is ref
        assert system.lookup("system/one") is ref
        assert system.lookup("two") is None
        system.register("two", ref)
        system.register("two", ref)
        assert system.lookup("two") is ref
        other = system.spawn(Echo)
        with pytest.raises(NameTaken, match="'two' is system/one"):
            system.register("two", other)
        await ref.stop()
        assert system.lookup("two") is None
        system.register("two", other)
        with pytest.raises(ActorStopped, match="cannot be registered"):
            system.register("three", ref)


async def test_references_say_what_they_are(told):
    async with told.system() as system:
        ref = system.spawn(Echo, name="one")
        assert repr(ref) == "<ActorRef system/one>"
        await ref.stop()
        assert repr(ref) == "<ActorRef system/one (ended)>"
