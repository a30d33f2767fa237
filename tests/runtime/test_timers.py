"""Timers: messages to oneself, later; they end with the incarnation."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from actors import ActorStopped, MailboxSpec
from tests.support import eventually

from .support import Boom, Crash, Gate, Recorder, turns


class Tick(msgspec.Struct):
    """A message that cannot be hashed, as most Structs."""

    number: int


class Beats(Recorder):
    """Does to its timers what it is told: a function of them."""

    async def receive(self, message: Any) -> Any:
        if callable(message):
            return message(self.context.timers)
        return await super().receive(message)


def _plain(log: list[Any]) -> list[Any]:
    return [entry for entry in log if not isinstance(entry, tuple)]


async def test_timers_after_sends_once(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.after(10, "tick"))
        await clock.advance(9.9)
        assert _plain(log) == []
        await clock.advance(0.2)
        assert _plain(log) == ["tick"]
        await clock.advance(100)
        assert _plain(log) == ["tick"]
        assert clock.pending == 0


async def test_timers_every_sends_at_each_interval_without_drift(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.every(1, "beat"))
        await clock.advance(10.5)
        assert _plain(log) == ["beat"] * 10
        await ref.ask(lambda timers: timers.cancel("beat"))
        await clock.advance(5)
        assert _plain(log) == ["beat"] * 10


async def test_timers_of_the_same_key_replace_each_other(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.after(1, "first", key="k"))
        await ref.ask(lambda timers: timers.after(2, "second", key="k"))
        await clock.advance(5)
        assert _plain(log) == ["second"]


async def test_timers_take_messages_that_cannot_be_hashed(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        key = await ref.ask(lambda timers: timers.every(1, Tick(1)))
        await ref.ask(lambda timers: timers.after(1, Tick(1)))
        await clock.advance(1.5)
        assert _plain(log) == [Tick(1), Tick(1)]
        assert await ref.ask(lambda timers: timers.cancel(key)) is True
        assert await ref.ask(lambda timers: timers.cancel(key)) is False
        await clock.advance(5)
        assert len(_plain(log)) == 2


async def test_timers_end_with_the_incarnation(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.every(1, "beat"))
        ref.tell(Crash(Boom()))
        await clock.advance(3.5)
        assert ("start", 2) in log
        assert _plain(log) == []
        await clock.advance(10)  # the wheel of the ask above turns once more
        assert clock.pending == 0


async def test_timers_that_fired_before_a_crash_do_not_reach_the_next_incarnation(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.after(1, "old"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        ref.tell(Crash(Boom()))
        await clock.advance(2)  # the tick is in the mailbox, behind the crash
        gate.set()
        ref.tell("new")
        await eventually(lambda: "new" in log)
    assert "old" not in log
    assert told.dead == []


async def test_timers_called_off_take_back_a_tick_from_the_mailbox(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.after(1, "tick"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        ref.tell(lambda timers: timers.cancel("tick"))
        await clock.advance(2)
        gate.set()
        await ref.ask("flush")
    assert "tick" not in log


async def test_timers_do_not_pile_up_beats_in_the_mailbox_of_a_slow_actor(told, clock):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.every(1, "beat"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await clock.advance(100)
        gate.set()
        await ref.ask("flush")
        assert log.count("beat") == 1
        await clock.advance(1)
        assert log.count("beat") == 2


async def test_timers_leave_out_beats_that_a_blocked_loop_missed(told):
    import time

    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Beats, log)
        await ref.ask(lambda timers: timers.every(0.02, "beat"))
        time.sleep(0.3)
        await turns(20)
        assert log.count("beat") <= 2
        await eventually(lambda: log.count("beat") >= 3)


@pytest.mark.parametrize("policy", ["fail", "drop_newest"])
async def test_timers_that_find_a_full_mailbox_go_on(told, clock, policy):
    log: list[Any] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, log, mailbox=MailboxSpec(2, policy))
        await ref.ask(lambda timers: timers.every(1, "beat"))
        await ref.ask(lambda timers: timers.after(1, "once"))
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await turns()
        ref.tell("a")
        ref.tell("b")
        await clock.advance(1.5)
        gate.set()
        await eventually(lambda: "b" in log)
        assert log.count("beat") == 0
        await clock.advance(1)
        assert log.count("beat") == 1
        assert "once" not in log
        assert not await ref.ask(lambda timers: timers.cancel("once"))
    if policy == "fail":
        assert {letter.message for letter in told.dead} == {"beat", "once"}


async def test_timers_refuse_an_interval_of_nothing(told):
    async with told.system() as system:
        ref = system.spawn(Beats, [])
        ref.tell(lambda timers: timers.every(0, "beat"))
        await eventually(lambda: told.failures)
    assert "the interval must be more than 0 seconds" in str(told.failures[0].error)


async def test_timers_of_an_incarnation_that_is_over_are_refused(told):
    kept: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Beats, [])
        await ref.ask(kept.append)
        await ref.stop()
        with pytest.raises(ActorStopped, match="its incarnation is over"):
            kept[0].after(1, "tick")


async def test_timers_whose_message_fails_report_the_message(told, clock):
    crash = Crash(Boom())
    async with told.system(clock=clock) as system:
        ref = system.spawn(Beats, [])
        await ref.ask(lambda timers: timers.after(1, crash))
        await clock.advance(2)
    assert [f.message for f in told.failures] == [crash]
