"""A5: asks end with an answer, TimeoutError, ActorStopped or ActorCrashed."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from actors import Actor, ActorCrashed, ActorStopped, Deferred
from tests.support import eventually

from .support import Boom, Crash, Echo, Gate, Recorder, Resilient, turns


class Later(Actor[Any]):
    """Defers its answers to when it is told them."""

    def __init__(self) -> None:
        self.waiting: list[Deferred] = []

    async def receive(self, message: Any) -> Any:
        if message == "defer":
            self.waiting.append(self.context.defer())
            return "not this"
        if message == "count":
            return len(self.waiting)
        answer = self.waiting.pop(0)
        if isinstance(message, Exception):
            answer.fail(message)
        else:
            answer.send(message)
        return None


async def test_a5_ask_returns_what_receive_returns(told):
    async with told.system() as system:
        ref = system.spawn(Echo)
        assert await ref.ask("hello") == "hello"
        assert await ref.ask(None) is None


async def test_a5_ask_times_out_with_the_builtin_that_names_path_and_seconds(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [], name="slow")
        gate = asyncio.Event()
        with pytest.raises(TimeoutError, match=r"^system/slow did not answer within 0.03 s$"):
            await ref.ask(Gate(gate), timeout=0.03)
        gate.set()
        # The late answer went nowhere, and the actor goes on.
        assert await ref.ask("next") == "next"


async def test_a5_ask_times_out_by_the_systems_clock(told, clock):
    async with told.system(clock=clock) as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer", timeout=60))
        await clock.advance(59.9)
        assert not ask.done()
        await clock.advance(0.2)
        with pytest.raises(TimeoutError, match="within 60 s"):
            await ask


async def test_a5_asks_with_different_limits_end_in_their_order(told, clock):
    ended: list[float] = []
    async with told.system(clock=clock) as system:
        ref = system.spawn(Later)

        async def ask(timeout: float) -> None:
            with pytest.raises(TimeoutError):
                await ref.ask("defer", timeout=timeout)
            ended.append(timeout)

        tasks = [asyncio.ensure_future(ask(t)) for t in (5, 1, 3, 0.1, 2)]
        for expected in ([0.1], [0.1, 1], [0.1, 1, 2], [0.1, 1, 2, 3], [0.1, 1, 2, 3, 5]):
            await clock.advance(expected[-1] - (expected[-2] if len(expected) > 1 else 0) + 0.03)
            assert ended == expected
        await asyncio.gather(*tasks)
        assert clock.pending == 0


async def test_a5_asks_with_long_limits_are_late_by_a_thousandth_at_most(told, clock):
    async with told.system(clock=clock) as system:
        ref = system.spawn(Later)
        asks = [asyncio.ensure_future(ref.ask("defer", timeout=3600 + i)) for i in range(50)]
        await clock.advance(3599)
        assert not any(ask.done() for ask in asks)
        assert len(system.wheel._buckets) <= 20
        await clock.advance(50 + 5)
        assert all(ask.done() for ask in asks)
        for ask in asks:
            with pytest.raises(TimeoutError):
                await ask


@pytest.mark.parametrize("limit", [None, math.inf, 1e308])
async def test_a5_an_ask_without_a_limit_ends_with_the_actor(told, clock, limit):
    async with told.system(clock=clock) as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer", timeout=limit))
        await clock.advance(100_000)
        assert not ask.done()
        ref.request_stop()
        with pytest.raises(ActorStopped):
            await ask
        assert not system.wheel._unlimited


@pytest.mark.parametrize("limit", [math.nan, -math.inf])
async def test_a5_a_limit_that_is_no_time_is_refused(told, limit):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        with pytest.raises(ValueError, match=f"timeout must be seconds, or None .* not {limit}"):
            await ref.ask("question", timeout=limit)
        await ref.stop(drain=True)
    assert "question" not in log


async def test_a5_an_ask_whose_asker_gave_up_is_not_handled(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        with pytest.raises(TimeoutError):
            await ref.ask("too late", timeout=0.01)
        gate.set()
        await ref.stop(drain=True)
    assert "too late" not in log


async def test_a5_a_cancelled_asker_leaves_the_actor_alone(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [])
        gate = asyncio.Event()
        ask = asyncio.ensure_future(ref.ask(Gate(gate)))
        await turns()
        ask.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ask
        gate.set()
        assert await ref.ask("fine") == "fine"


async def test_a5_the_actors_own_timeout_error_is_not_taken_for_the_asks(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer"))
        await turns()
        ref.tell(TimeoutError())
        with pytest.raises(TimeoutError) as caught:
            await ask
        assert "did not answer" not in str(caught.value)
        with pytest.raises(ActorCrashed):
            await system.spawn(Echo).ask(Crash(TimeoutError()))


async def test_a5_a_dead_actor_answers_at_once_with_actor_stopped(told):
    async with told.system() as system:
        ref = system.spawn(Echo, name="gone")
        await ref.stop()
        with pytest.raises(ActorStopped, match=r"system/gone has ended \(shutdown\)"):
            await ref.ask("anybody?", timeout=60)


async def test_a5_an_actor_that_stops_before_it_answers_says_so(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [])
        gate = asyncio.Event()
        ref.tell(Gate(gate))
        ask = asyncio.ensure_future(ref.ask("question", timeout=60))
        await turns()
        ref.request_stop()
        gate.set()
        with pytest.raises(ActorStopped, match="stopped before it answered"):
            await ask


async def test_a5_an_ask_in_hand_of_an_overdue_stop_ends_with_actor_stopped(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [], shutdown=0.01)
        ask = asyncio.ensure_future(ref.ask(Gate(asyncio.Event()), timeout=60))
        await turns()
        await ref.stop()
        with pytest.raises(ActorStopped):
            await ask
    assert len(told.failures) == 1


async def test_a5_deferred_answers_come_later_in_any_order(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        asks = [asyncio.ensure_future(ref.ask("defer")) for _ in range(2)]
        await turns()
        ref.tell("a")
        ref.tell(Boom("b"))
        assert await asks[0] == "a"
        with pytest.raises(Boom, match="b"):
            await asks[1]


async def test_a5_deferred_answers_of_an_actor_that_stops_fail_with_actor_stopped(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer", timeout=60))
        await turns()
        await ref.stop()
        with pytest.raises(ActorStopped):
            await ask


async def test_a5_a_deferred_answer_that_nobody_waits_for_is_forgotten(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        with pytest.raises(TimeoutError):
            await ref.ask("defer", timeout=0.01)
        await turns()
        context: Any = ref._cell.context
        assert not context._deferred
        ref.tell("too late")
        assert await ref.ask("count") == 0


async def test_a5_defer_in_a_told_message_is_refused(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        ref.tell("defer")
        await eventually(lambda: told.failures)
    assert "was told, not asked" in str(told.failures[0].error)


async def test_a5_an_answer_after_an_ask_is_not_confused_with_the_next_message(told):
    async with told.system() as system:
        ref = system.spawn(Later)
        ask = asyncio.ensure_future(ref.ask("defer"))
        await turns()
        ref.tell("defer")  # a told one right after an ask
        ref.tell("answer")
        await eventually(lambda: told.failures)
        with pytest.raises(ActorCrashed):
            await ask


async def test_a5_a_resilient_actor_fails_the_ask_and_lives(told):
    async with told.system() as system:
        ref = system.spawn(Resilient, [])
        with pytest.raises(ActorCrashed) as caught:
            await ref.ask(Crash(Boom()))
        assert isinstance(caught.value.__cause__, Boom)
        assert await ref.ask(1) == 1
        assert system.tree().find(ref.path).restarts == 0


async def test_a5_asks_left_when_the_system_stops_fail(told):
    async with told.system() as system:
        ref = system.spawn(Recorder, [], shutdown=0.01)
        ask = asyncio.ensure_future(ref.ask(Gate(asyncio.Event()), timeout=60))
        waiting = asyncio.ensure_future(ref.ask("behind it", timeout=60))
        await turns()
    with pytest.raises(ActorStopped):
        await ask
    with pytest.raises(ActorStopped):
        await waiting


async def test_a5_an_ask_in_the_hands_of_an_unkillable_actor_ends_with_it(told):
    release = asyncio.Event()

    class Stubborn(Actor[Any]):
        async def receive(self, message: Any) -> Any:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    pass
            return "late"

    async with told.system() as system:
        ref = system.spawn(Stubborn, shutdown=0.01)
        task = None
        ask = asyncio.ensure_future(ref.ask("question", timeout=60))
        await turns()
        task = ref._cell.child.task
        await ref.stop()
        with pytest.raises(ActorStopped):
            await ask
    release.set()
    await asyncio.wait([task])
