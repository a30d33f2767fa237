"""A3: with the policy ``block``, `await ref.send()` waits its turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import ActorStopped, MailboxFull, MailboxSpec
from tests.support import eventually

from .support import Boom, Crash, Gate, Recorder, turns


async def _full(system: Any, log: list[Any], capacity: int = 1) -> tuple[Any, asyncio.Event]:
    """Return an actor that has a message in hand, and no room left."""
    ref = system.spawn(Recorder, log, mailbox=MailboxSpec(capacity, "block"))
    gate = asyncio.Event()
    ref.tell(Gate(gate))
    await eventually(lambda: "at the gate" in log)
    for i in range(capacity):
        await ref.send(("fill", i))
    return ref, gate


async def _senders(ref: Any, count: int) -> list[asyncio.Task[None]]:
    tasks = []
    for i in range(count):
        tasks.append(asyncio.ensure_future(ref.send(i)))
        await turns(2)
    return tasks


def _numbers(log: list[Any]) -> list[int]:
    return [entry for entry in log if isinstance(entry, int)]


async def test_a3_block_lets_senders_go_on_in_the_order_they_came(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _full(system, log, capacity=2)
        tasks = await _senders(ref, 10)
        assert not any(task.done() for task in tasks)
        gate.set()
        await asyncio.gather(*tasks)
        await ref.stop(drain=True)
    assert _numbers(log) == list(range(10))


async def test_a3_block_keeps_the_bound(told):
    log: list[Any] = []
    deepest = 0
    async with told.system() as system:
        ref = system.spawn(Recorder, log, mailbox=MailboxSpec(3, "block"))

        async def send(base: int) -> None:
            nonlocal deepest
            for i in range(100):
                await ref.send(base + i)
                deepest = max(deepest, len(ref._mailbox.queue))

        await asyncio.gather(*(send(1000 * i) for i in range(5)))
        await ref.stop(drain=True)
    assert deepest == 3
    assert len(_numbers(log)) == 500
    for i in range(5):
        own = [n for n in _numbers(log) if n // 1000 == i]
        assert own == sorted(own)


async def test_a3_block_makes_tell_fail_with_the_cure(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        with pytest.raises(MailboxFull, match=r"use `await ref.send\(\)` to wait"):
            ref.tell(1)
        gate.set()


async def test_a3_block_a_late_sender_does_not_pass_those_who_wait(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _full(system, log)
        tasks = await _senders(ref, 3)
        ref._mailbox.queue.popleft()  # room, which is promised to the first of them
        ref._mailbox.release()
        late = asyncio.ensure_future(ref.send(99))
        gate.set()
        await asyncio.gather(late, *tasks)
        await ref.stop(drain=True)
    assert _numbers(log) == [0, 1, 2, 99]


async def test_a3_block_whose_place_a_tell_took_stays_first(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _full(system, log)
        tasks = await _senders(ref, 3)
        ref._mailbox.queue.popleft()
        ref._mailbox.release()
        ref.tell(77)
        await turns()
        assert not any(task.done() for task in tasks)
        gate.set()
        await asyncio.gather(*tasks)
        await ref.stop(drain=True)
    assert _numbers(log) == [77, 0, 1, 2]


async def test_a3_block_a_cancelled_sender_leaves_the_line(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _full(system, log)
        tasks = await _senders(ref, 3)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert len(ref._mailbox.senders) == 2
        gate.set()
        await asyncio.gather(*tasks[1:])
        await ref.stop(drain=True)
    assert _numbers(log) == [1, 2]


async def test_a3_block_a_sender_cancelled_with_room_promised_passes_it_on(told):
    log: list[Any] = []
    async with told.system() as system:
        ref, gate = await _full(system, log)
        tasks = await _senders(ref, 2)
        ref._mailbox.queue.popleft()
        ref._mailbox.release()  # the first sender's future is done, its task has not run yet
        tasks[0].cancel()
        await eventually(tasks[1].done)
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert list(ref._mailbox.queue) == [1]
        gate.set()
        await ref.stop(drain=True)


async def test_a3_block_a_sender_that_times_out_leaves_nothing_behind(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ref.send(1)
        assert not ref._mailbox.senders
        gate.set()


async def test_a3_block_the_end_of_the_actor_wakes_senders(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        tasks = await _senders(ref, 3)
        ref.request_stop()
        gate.set()
        await asyncio.gather(*tasks)
    assert sorted(letter.message for letter in told.dead if isinstance(letter.message, int)) == [
        0,
        1,
        2,
    ]


async def test_a3_block_a_crash_does_not_wake_senders_out_of_turn(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log, mailbox=MailboxSpec(2, "block"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await eventually(lambda: "at the gate" in log)
        ref.tell(Crash(Boom()))
        ref.tell("kept")
        tasks = await _senders(ref, 4)
        gate.set()
        await asyncio.gather(*tasks)
        await ref.stop(drain=True)
    assert log[2:] == [
        ("stop", "crashed: Boom"),
        ("start", 2),
        "kept",
        0,
        1,
        2,
        3,
        ("stop", "shutdown"),
    ]


async def test_a3_block_an_ask_waits_for_room_too(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        ask = asyncio.ensure_future(ref.ask("question"))
        await turns()
        assert not ask.done()
        gate.set()
        assert await ask == "question"


async def test_a3_block_an_ask_that_finds_no_room_in_time_times_out(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        with pytest.raises(TimeoutError, match=r"had no room in its mailbox within 0.01 s"):
            await ref.ask("question", timeout=0.01)
        assert not ref._mailbox.senders
        gate.set()


async def test_a3_block_an_ask_that_waits_for_room_hears_of_the_end(told):
    async with told.system() as system:
        ref, gate = await _full(system, [])
        ask = asyncio.ensure_future(ref.ask("question"))
        await turns()
        ref.request_stop()
        gate.set()
        with pytest.raises(ActorStopped):
            await ask
