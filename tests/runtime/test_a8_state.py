"""A8: each incarnation is a new instance; the constructor's arguments are kept."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from actors import Actor, ActorCrashed, ActorSpec

from .support import Boom, Crash


class Tally(Actor[Any]):
    """Counts from where it is told to."""

    made: ClassVar[list[Tally]] = []

    def __init__(self, begin: int, *, step: int = 1) -> None:
        self.count = begin
        self.step = step
        self.made.append(self)

    async def receive(self, message: Any) -> int:
        if isinstance(message, Crash):
            raise message.error
        self.count += self.step
        return self.count


@pytest.fixture(autouse=True)
def fresh():
    Tally.made.clear()


async def test_a8_state_is_made_anew_and_arguments_are_kept(told):
    async with told.system() as system:
        ref = system.spawn(Tally, 40, kwargs={"step": 2})
        assert [await ref.ask("+"), await ref.ask("+")] == [42, 44]
        with pytest.raises(ActorCrashed):
            await ref.ask(Crash(Boom()))
        assert await ref.ask("+") == 42
    first, second = Tally.made
    assert first is not second
    assert (first.context.incarnation, second.context.incarnation) == (1, 2)


async def test_a8_a_spec_holds_all_of_it(told):
    spec = ActorSpec(Tally, (1,), kwargs={"step": 10}, name="tally")
    async with told.system() as system:
        ref = system.spawn(spec)
        assert ref.path == "system/tally"
        assert await ref.ask("+") == 11
        other = system.spawn(spec, name="another")
        assert other.path == "system/another"
        with pytest.raises(TypeError, match="put them into the spec"):
            system.spawn(spec, 5)


async def test_a8_an_unknown_option_is_refused(told):
    async with told.system() as system:
        with pytest.raises(TypeError, match="speed"):
            system.spawn(Tally, 1, speed=3)
        with pytest.raises(TypeError, match="speed"):
            system.spawn(ActorSpec(Tally, (1,)), speed=3)
        assert len(system.root) == 0


async def test_a8_an_actor_that_ended_is_let_go_of(told):
    import gc
    import weakref

    async with told.system() as system:
        ref = system.spawn(Tally, 1)
        await ref.ask("+")
        instance = weakref.ref(Tally.made.pop())
        await ref.stop()
        gc.collect()
        assert instance() is None
