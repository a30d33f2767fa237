"""A2: stops, ends of watched actors and descriptions pass every backlog."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, Terminated
from actors.runtime.death_watch import watch
from tests.support import eventually

from .support import Boom, Echo, Gate, Recorder, turns

BACKLOG = 100_000


@pytest.fixture
def asyncio_debug() -> bool:
    return False


class Busy(Actor[Any]):
    """Has a backlog and notes at which message it heard of an end."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.handled = 0

    async def receive(self, message: Any) -> None:
        if isinstance(message, Gate):
            await message.event.wait()
        elif isinstance(message, Terminated):
            self.log.append((self.handled, message))
        elif callable(message):
            message(self)
        else:
            self.handled += 1


async def _backlog(system: Any, log: list[Any]) -> tuple[Any, asyncio.Event]:
    ref = system.spawn(Busy, log, name="busy", mailbox=BACKLOG + 2)
    gate = asyncio.Event()
    ref.tell(Gate(gate))
    await ref.started()
    await turns()
    for i in range(BACKLOG):
        ref.tell(i)
    return ref, gate


async def test_a2_stop_passes_a_backlog_of_100k(told):
    async with told.system() as system:
        ref, gate = await _backlog(system, [])
        ref.request_stop()
        gate.set()
        await ref.stopped()
        assert system.dead_letters.count == BACKLOG


async def test_a2_terminated_passes_a_backlog_of_100k(told):
    log: list[Any] = []
    async with told.system() as system:
        other = system.spawn(Echo)
        await other.started()
        ref = system.spawn(Busy, log, mailbox=BACKLOG + 3)
        ref.tell(lambda actor: actor.context.watch(other))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await turns()
        for i in range(BACKLOG):
            ref.tell(i)
        await other.stop()
        gate.set()
        await eventually(lambda: log)
        assert log[0][0] == 0
        assert log[0][1].ref is other
        await ref.stop(drain=True)
        assert len(log) == 1


async def test_a2_terminated_passes_what_a_running_turn_has_before_it(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _backlog(system, log)
        other = system.spawn(Echo)
        await other.started()
        watch(ref, other)
        gate.set()
        await eventually(lambda: ref._cell.processed > 100, every=0)
        before = ref._cell.processed
        await other.stop()
        await eventually(lambda: log)
        # At most the slice that ran when the end came, of the hundred thousand.
        assert log[0][0] < before + 20_000
        await ref.stop()


async def test_a2_describing_an_actor_does_not_wait_for_its_backlog(told):
    async with told.system() as system:
        ref, gate = await _backlog(system, [])
        node = system.tree().find("system/busy")
        assert node is not None
        assert node.detail["mailbox"] == BACKLOG
        assert node.detail["processed"] == 0
        ref.request_stop()
        gate.set()
        await ref.stopped()


async def test_a2_a_stop_comes_right_after_the_message_in_hand(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        ref.tell("never")
        await eventually(lambda: "at the gate" in log)
        ref.request_stop()
        await turns()
        assert ("stop", "shutdown") not in log
        gate.set()
        await ref.stopped()
    assert log == [("start", 1), "at the gate", ("stop", "shutdown")]
    assert [letter.message for letter in told.dead] == ["never"]


async def test_a2_a_stop_from_inside_a_message_is_after_that_message(told):
    log: list[Any] = []

    class Last(Recorder):
        async def receive(self, message: Any) -> None:
            self.context.stop()
            self.log.append(message)

    async with told.system() as system:
        ref = system.spawn(Last, log)
        for i in range(200):
            ref.tell(i)
        await ref.stopped()
    assert log == [("start", 1), 0, ("stop", "shutdown")]


async def test_a2_a_failing_terminated_goes_to_the_failure_sink_and_crashes(told):
    log: list[Any] = []

    class Fragile(Recorder):
        async def receive(self, message: Any) -> None:
            if isinstance(message, Terminated):
                raise Boom
            self.log.append(message)

    async with told.system() as system:
        other = system.spawn(Echo)
        ref = system.spawn(Fragile, log)
        await ref.started()
        watch(ref, other)
        await other.stop()
        await eventually(lambda: ("start", 2) in log)
        ref.tell("still here")
        await eventually(lambda: "still here" in log)
    assert [type(f.message) for f in told.failures] == [Terminated]


async def test_a2_a_resilient_actor_survives_a_failing_terminated(told):
    log: list[Any] = []

    class Tough(Recorder):
        resilient = True

        async def receive(self, message: Any) -> None:
            if isinstance(message, Terminated):
                raise Boom
            self.log.append(message)

    async with told.system() as system:
        other = system.spawn(Echo)
        ref = system.spawn(Tough, log)
        await ref.started()
        watch(ref, other)
        await other.stop()
        ref.tell("still here")
        await eventually(lambda: "still here" in log)
        assert ("start", 2) not in log
    assert len(told.failures) == 1


async def test_a2_thousands_of_ends_at_once_leave_the_loop_room(told):
    ends: list[Terminated] = []

    class Mourner(Actor[Any]):
        def receive(self, message: Any) -> None:
            ends.append(message)

    async with told.system() as system:
        ref = system.spawn(Mourner)
        others = [system.spawn(Echo) for _ in range(1000)]
        await ref.started()
        for other in others:
            watch(ref, other)
        most = 0
        for other in others:
            other.request_stop()
        while len(ends) < 1000:
            before = len(ends)
            await asyncio.sleep(0)
            most = max(most, len(ends) - before)
    assert len({end.ref for end in ends}) == 1000
    assert most <= 64
