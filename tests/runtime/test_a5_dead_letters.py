"""A5: what is told to an actor that ended is a dead letter: counted, kept, reported."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from actors import ActorSystem, DeadLetter

from .support import Echo, Gate, Recorder, turns


async def test_a5_tell_to_a_dead_actor_is_a_dead_letter(told):
    async with told.system() as system:
        ref = system.spawn(Echo, name="gone")
        await ref.stop()
        ref.tell("hello?")
        await ref.send("hello again?")
        assert system.dead_letters.count == 2
        assert system.dead_letters.recent[0] == DeadLetter("system/gone", "hello?")
    assert told.dead[1] == DeadLetter("system/gone", "hello again?")


async def test_a5_what_is_left_in_a_mailbox_becomes_dead_letters_in_order(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        await turns()
        for i in range(3):
            ref.tell(i)
        ref.request_stop()
        gate.set()
        await ref.stopped()
    assert [letter.message for letter in told.dead] == [0, 1, 2]


async def test_a5_dead_letters_are_logged_with_a_limit_and_the_number_suppressed(clock):
    with capture_logs() as logged:
        async with ActorSystem(sink=lambda _: None, clock=clock) as system:
            ref = system.spawn(Echo, name="gone")
            await ref.stop()
            for i in range(1000):
                ref.tell(i)
            await clock.advance(1.5)
            ref.tell("one more")
    assert [(e["event"], e["path"], e["suppressed"], e["total"]) for e in logged] == [
        ("dead_letter", "system/gone", 0, 1),
        ("dead_letter", "system/gone", 999, 1001),
    ]


async def test_a5_only_the_last_hundred_dead_letters_are_kept(told):
    async with told.system() as system:
        ref = system.spawn(Echo)
        await ref.stop()
        for i in range(250):
            ref.tell(i)
        assert system.dead_letters.count == 250
        assert [letter.message for letter in system.dead_letters.recent] == list(range(150, 250))


async def test_a5_a_failing_dead_letter_hook_is_logged_and_does_not_matter():
    def hook(letter: DeadLetter) -> None:
        raise ValueError("hook")

    with capture_logs() as logged:
        async with ActorSystem(sink=lambda _: None, on_dead_letter=hook) as system:
            ref = system.spawn(Echo)
            await ref.stop()
            ref.tell(1)
            assert system.dead_letters.count == 1
    assert [e["event"] for e in logged] == ["dead_letter_hook_failed", "dead_letter"]
