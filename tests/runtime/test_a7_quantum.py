"""A7: a busy actor leaves the event loop room."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from actors import Actor

from .support import turns

pytestmark = pytest.mark.alone

FLOOD = 1_000_000


@pytest.fixture
def asyncio_debug() -> bool:
    return False


class Counter(Actor[int]):
    """Counts."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    async def receive(self, message: int) -> None:
        self.seen[0] += 1


class Heartbeat:
    """Beats every millisecond; remembers what was handled when it beat, and how late it was.

    Late by the processor time of this process: the time of other processes does not count.
    """

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen
        self.at: list[int] = []
        self.late: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._beat_at = time.process_time()
        self._timer = self._loop.call_soon(self._beat)

    def _beat(self) -> None:
        now = time.process_time()
        self.at.append(self.seen[0])
        self.late.append(now - self._beat_at)
        self._beat_at = now
        self._timer = self._loop.call_later(0.001, self._beat)

    def stop(self) -> None:
        self._timer.cancel()


async def test_a7_a_flood_of_a_million_messages_does_not_hold_up_a_heartbeat(told):
    seen = [0]
    async with told.system() as system:
        ref = system.spawn(Counter, seen, mailbox=FLOOD)
        await ref.started()
        for i in range(FLOOD):
            ref.tell(i)
        heart = Heartbeat(seen)
        await ref.stop(drain=True)
        heart.stop()
    assert seen[0] == FLOOD
    # Counted, not timed: how fast this machine is today is not what this is about.
    most_between = max(b - a for a, b in zip(heart.at, heart.at[1:], strict=False))
    assert most_between < FLOOD / 20
    assert len(heart.at) > 50
    assert sorted(heart.late)[len(heart.late) // 2] < 0.02


async def test_a7_ten_flooded_actors_do_not_hold_up_a_heartbeat_either(told):
    seen = [0]
    each = FLOOD // 20
    async with told.system() as system:
        refs = [system.spawn(Counter, seen, mailbox=each) for _ in range(10)]
        await turns()
        for ref in refs:
            for i in range(each):
                ref.tell(i)
        heart = Heartbeat(seen)
        await asyncio.gather(*(ref.stop(drain=True) for ref in refs))
        heart.stop()
    assert seen[0] == each * 10
    assert sorted(heart.late)[len(heart.late) // 2] < 0.05
    assert len(heart.at) > 8


async def test_a7_a_flood_from_itself_lets_others_run(told):
    class Perpetual(Actor[int]):
        def receive(self, message: int) -> None:
            self.context.self_ref.tell(message + 1)

    async with told.system() as system:
        ref = system.spawn(Perpetual)
        ref.tell(0)
        await turns(100)
        assert system.tree().find(ref.path).detail["processed"] > 100


async def test_a7_slow_handlers_get_turns_of_one_message(told):
    """Blocking handlers are the user's; the loop still runs between any two of their messages."""
    import time

    seen = [0]

    class Slow(Actor[Any]):
        def receive(self, message: Any) -> None:
            seen[0] += 1
            time.sleep(0.002)

    async with told.system() as system:
        ref = system.spawn(Slow)
        for i in range(40):
            ref.tell(i)
        await ref.started()
        most = 0
        while seen[0] < 40:
            before = seen[0]
            await asyncio.sleep(0)
            most = max(most, seen[0] - before)
    assert most <= 2


async def test_a7_turns_adapt_when_a_fast_actor_becomes_slow(told):
    import time

    seen: list[Any] = []

    class Turning(Actor[Any]):
        def receive(self, message: Any) -> None:
            seen.append(message)
            if message == "slow":
                time.sleep(0.001)

    async with told.system() as system:
        ref = system.spawn(Turning)
        for _ in range(3000):
            ref.tell("fast")
        for _ in range(200):
            ref.tell("slow")
        await ref.started()
        held_up = []
        while len(seen) < 3200:
            before = seen.count("slow")
            await asyncio.sleep(0)
            held_up.append(seen.count("slow") - before)
    # One turn of the fast length at most, then single messages again.
    assert max(held_up) <= 64
    assert sum(count > 2 for count in held_up) <= 2
