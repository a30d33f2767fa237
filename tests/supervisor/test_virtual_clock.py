"""actors.testing.clock: time passes when a test says so."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.testing.clock import VirtualClock
from supervisor import Clock


def is_a_clock(clock: Clock) -> Clock:
    return clock


async def test_it_stands_still_until_advanced(clock):
    assert is_a_clock(clock).time() == clock.time() == 1000
    await clock.advance(2.5)
    assert clock.time() == 1002.5
    assert VirtualClock(7).time() == 7


async def test_timers_run_in_order_each_at_its_own_time(clock):
    ran = []
    for delay in (3, 1, 2, 1):
        clock.call_later(delay, lambda delay=delay: ran.append((delay, clock.time() - 1000)))
    await clock.advance(2)
    assert ran == [(1, 1), (1, 1), (2, 2)]
    assert clock.pending == 1
    assert clock.next_at == 1003
    await clock.advance(0.999)
    assert len(ran) == 3
    await clock.advance(0.001)
    assert ran[3] == (3, pytest.approx(3))
    assert clock.pending == 0
    assert clock.next_at is None


async def test_a_cancelled_timer_never_runs(clock):
    ran = []
    timer = clock.call_later(1, lambda: ran.append("late"))
    clock.call_later(0.5, timer.cancel)
    await clock.advance(5)
    assert not ran
    assert not timer.pending
    timer.cancel()


async def test_timers_set_on_the_way_count(clock):
    ran = []

    def again():
        ran.append(clock.time() - 1000)
        if len(ran) < 5:
            clock.call_later(1, again)

    clock.call_later(1, again)
    await clock.advance(10)
    assert ran == [1, 2, 3, 4, 5]
    assert clock.time() == 1010


async def test_tasks_run_between_timers_and_may_sleep(clock):
    seen = []

    async def ticker():
        for _ in range(3):
            await clock.sleep(1)
            seen.append(clock.time() - 1000)

    task = asyncio.create_task(ticker())
    await clock.advance(2)
    assert seen == [1, 2]
    await clock.advance(1)
    await task
    assert seen == [1, 2, 3]


async def test_a_cancelled_sleep_leaves_no_timer(clock):
    task = asyncio.create_task(clock.sleep(60))
    await clock.settle()
    assert clock.pending == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.pending == 0


async def test_rounding_does_not_hold_a_timer_back(clock):
    ran = []
    clock.call_later(0.1 + 0.2, lambda: ran.append(1))
    await clock.advance(0.3)
    assert ran == [1]


async def test_time_runs_one_way(clock):
    with pytest.raises(ValueError, match="does not run backwards"):
        await clock.advance(-1)
    ran = []
    clock.call_later(-5, lambda: ran.append(clock.time()))
    await clock.advance(0)
    assert ran == [1000]


@given(st.lists(st.floats(0, 100), max_size=30), st.lists(st.floats(0, 50), max_size=10))
def test_any_steps_run_the_same_timers_in_the_same_order(delays, steps):
    async def run() -> list[float]:
        clock, ran = VirtualClock(0, turns=1), []
        for delay in delays:
            clock.call_later(delay, lambda delay=delay: ran.append(delay))
        for step in steps:
            await clock.advance(step)
        await clock.advance(101)
        return ran

    assert asyncio.run(run()) == sorted(delays)
