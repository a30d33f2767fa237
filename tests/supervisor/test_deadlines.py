"""Deadlines: one timer for many (S7)."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.clock import VirtualClock
from supervisor.clock import Deadlines


class Thing:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.passed: list[float] = []
        self.then = lambda: None

    def deadline_passed(self) -> None:
        self.passed.append(self.clock.time() - 1000)
        self.then()


async def test_s7_each_is_told_once_at_its_time(clock):
    deadlines = Deadlines(clock)
    things = [Thing(clock) for _ in range(3)]
    for thing, at in zip(things, (1005, 1001, 1003), strict=True):
        deadlines.set(thing, at)
    assert clock.pending == 1
    await clock.advance(10)
    assert [thing.passed for thing in things] == [[5], [1], [3]]
    assert len(deadlines) == clock.pending == 0


async def test_s7_dropped_and_moved_deadlines(clock):
    deadlines = Deadlines(clock)
    dropped, later, sooner = (Thing(clock) for _ in range(3))
    for thing in (dropped, later, sooner):
        deadlines.set(thing, 1002)
    deadlines.drop(dropped)
    deadlines.drop(dropped)
    deadlines.set(later, 1008)
    deadlines.set(sooner, 1001)
    await clock.advance(10)
    assert (dropped.passed, later.passed, sooner.passed) == ([], [8], [1])


async def test_s7_one_that_passes_may_drop_move_and_set_others(clock):
    deadlines = Deadlines(clock)
    first, dropped, moved = (Thing(clock) for _ in range(3))

    def act() -> None:
        if len(first.passed) == 1:
            deadlines.drop(dropped)
            deadlines.set(moved, 1004)
            deadlines.set(first, 1003)

    first.then = act
    for thing in (first, dropped, moved):
        deadlines.set(thing, 1002)
    await clock.advance(10)
    assert (first.passed, dropped.passed, moved.passed) == ([2, 3], [], [4])


async def test_s7_closing_forgets_all(clock):
    deadlines = Deadlines(clock)
    thing = Thing(clock)
    deadlines.set(thing, 1001)
    deadlines.close()
    assert clock.pending == 0
    await clock.advance(5)
    assert not thing.passed


async def test_s7_ten_thousand_dropped_deadlines_cost_one_timer(clock):
    set_timers = 0

    class Counting(VirtualClock):
        def call_later(self, delay, callback):
            nonlocal set_timers
            set_timers += 1
            return super().call_later(delay, callback)

    counting = Counting()
    deadlines = Deadlines(counting)
    things = [Thing(counting) for _ in range(10_000)]
    for thing in things:
        deadlines.set(thing, counting.time() + 5)
    for thing in things:
        deadlines.drop(thing)
    await counting.advance(10)
    assert set_timers == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "drop", "advance"]), st.integers(0, 4), st.floats(0, 10)),
        max_size=40,
    )
)
def test_s7_agrees_with_a_timer_for_each(steps):
    async def run() -> None:
        clock = VirtualClock(turns=1)
        deadlines, things = Deadlines(clock), [Thing(clock) for _ in range(5)]
        timers, expected = {}, [[] for _ in things]
        for kind, which, amount in steps:
            thing = things[which]
            if kind == "advance":
                await clock.advance(amount)
                continue
            if which in timers:
                timers.pop(which).cancel()
            if kind == "drop":
                deadlines.drop(thing)
            else:
                deadlines.set(thing, clock.time() + amount)
                told = expected[which]
                timers[which] = clock.call_later(
                    amount, lambda told=told: told.append(clock.time() - 1000)
                )
        await clock.advance(20)
        for thing, told in zip(things, expected, strict=True):
            assert len(thing.passed) == len(told)
            for mine, model in zip(thing.passed, told, strict=True):
                assert abs(mine - model) < 1e-5

    asyncio.run(run())
