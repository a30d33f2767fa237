"""A1: one message at a time per actor, in each sender's order; refs survive restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, ActorCrashed
from tests.support import eventually

from .support import Boom, Crash, Echo, Recorder


class Overlap(Actor[int]):
    """Notices when two of its messages are handled at a time."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen
        self.inside = 0

    async def receive(self, message: int) -> None:
        self.inside += 1
        assert self.inside == 1
        await asyncio.sleep(0)
        self.seen.append(message)
        assert self.inside == 1
        self.inside -= 1


async def test_a1_one_message_at_a_time_also_when_receive_awaits(told):
    seen: list[int] = []
    async with told.system() as system:
        ref = system.spawn(Overlap, seen)
        for i in range(50):
            ref.tell(i)
        await eventually(lambda: len(seen) == 50)
    assert seen == list(range(50))
    assert told.failures == []


async def test_a1_order_of_each_sender_holds_among_many_senders(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)

        async def send(sender: str) -> None:
            for i in range(200):
                ref.tell((sender, i))
                if i % 7 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(send(name) for name in "abc"))
        await ref.stop(drain=True)
    for name in "abc":
        assert [m[1] for m in log if m[0] == name] == list(range(200))


async def test_a1_messages_told_before_the_start_wait_for_it(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log)
        ref.tell(1)
        ref.tell(2)
        await eventually(lambda: 2 in log)
    assert log == [("start", 1), 1, 2, ("stop", "shutdown")]


async def test_a1_refs_survive_restarts(told):
    log: list[Any] = []
    async with told.system() as system:
        ref = system.spawn(Recorder, log, name="phoenix")
        assert await ref.ask("before") == "before"
        with pytest.raises(ActorCrashed):
            await ref.ask(Crash(Boom()))
        assert await ref.ask("after") == "after"
        assert ref.alive
        assert ref.path == "system/phoenix"
        assert system.lookup("phoenix") is ref
    assert ("start", 2) in log


async def test_a1_a_plain_def_receive_works_like_an_async_one(told):
    class Plain(Actor[int]):
        def receive(self, message: int) -> int:
            if message < 0:
                raise Boom
            return message * 2

    async with told.system() as system:
        ref = system.spawn(Plain)
        assert await ref.ask(21) == 42
        with pytest.raises(ActorCrashed):
            await ref.ask(-1)
        assert await ref.ask(2) == 4


async def test_a1_an_awaitable_from_a_plain_receive_is_awaited(told):
    seen: list[int] = []

    class Indirect(Actor[int]):
        def receive(self, message: int) -> Any:
            return self.later(message)

        async def later(self, message: int) -> int:
            await asyncio.sleep(0)
            seen.append(message)
            return message

    async with told.system() as system:
        ref = system.spawn(Indirect)
        ref.tell(1)
        assert await ref.ask(2) == 2
    assert seen == [1, 2]


async def test_a1_an_actor_without_receive_says_so(told):
    class Mute(Actor[int]):
        pass

    async with told.system() as system:
        with pytest.raises(ActorCrashed, match=r"Mute has no receive\(\)"):
            await system.spawn(Mute).ask(1)


async def test_a1_a_handled_message_is_not_kept_alive(told):
    import gc
    import weakref

    class Big:
        pass

    async with told.system() as system:
        ref = system.spawn(Echo)
        big = Big()
        gone = weakref.ref(big)
        ref.tell(big)
        await ref.ask(1)
        del big
        gc.collect()
        assert gone() is None
