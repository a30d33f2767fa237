"""What a user gets wrong is an error at the call, with its cause and its cure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, ActorCrashed, ActorSpec, ActorStopped, ActorSystem
from supervisor import SpecError

# Untyped: a type checker would refuse most of what these tests do.
spec_of: Any = ActorSpec
system_of: Any = ActorSystem


class Echo(Actor[object]):
    """Answers with the message."""

    def receive(self, message: object) -> object:
        return message


class Stranger:
    """No Actor."""


async def stranger() -> None: ...


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: spec_of(Echo()), "actor must be the class, not an instance: Echo"),
        (lambda: spec_of(Stranger), "actor must be an Actor class or a function that returns"),
        (lambda: spec_of(3), "actor must be an Actor class"),
        (lambda: spec_of(Echo, 1), "args must be a tuple, not 1"),
        (lambda: spec_of(Echo, kwargs=[1]), "kwargs must map names to arguments, or be None"),
        (lambda: spec_of(Echo, name=3), "name must be a str, or None, not 3"),
        (lambda: system_of(on_failure=3), "on_failure must be a function, or None, not 3"),
        (lambda: system_of(stop_timeout="x"), "stop_timeout must be a number of seconds, or None"),
    ],
)
def test_s9_an_option_of_a_wrong_type_is_refused_where_it_is_given(make, problem):
    with pytest.raises(SpecError, match=problem):
        make()


async def test_s9_an_argument_of_the_constructor_is_no_option_of_spawn():
    async with system_of() as system:
        with pytest.raises(TypeError, match=r"no option 'begin'; .*kwargs=\{'begin': \.\.\.\}"):
            system.spawn(Echo, begin=3)


async def test_s9_children_of_a_supervisor_are_specs():
    async with system_of() as system:
        with pytest.raises(SpecError, match="a child must be an ActorSpec, not <class"):
            system.supervisor("group", children=[Echo])


async def test_what_is_no_reference_is_neither_registered_nor_watched():
    class Watcher(Actor[object]):
        def receive(self, message):
            self.context.watch(message)

    async with system_of() as system:
        with pytest.raises(TypeError, match="only the reference of an actor can be registered"):
            system.register("name", Echo)
        with pytest.raises(ActorCrashed) as caught:
            await system.spawn(Watcher).ask("no reference")
        assert "only the reference of an actor can be watched" in str(caught.value.__cause__)


async def test_a_function_that_returns_no_actor_and_a_generator_fail_their_start():
    class Yields(Actor[object]):
        async def receive(self, message):
            yield message

    async with system_of() as system:
        with pytest.raises(ActorStopped, match="returned no Actor"):
            await system.spawn(lambda: 3, name="three").ask("x")
        with pytest.raises(ActorStopped, match="it must return the answer, not yield"):
            await system.spawn(Yields).ask("x")


async def test_times_that_are_no_numbers():
    class Times(Actor[object]):
        def receive(self, message):
            self.context.timers.after(message, "late")

    async with system_of() as system:
        with pytest.raises(ValueError, match="timeout must be seconds, or None"):
            await system.spawn(Echo).ask("x", timeout="3")
        with pytest.raises(ActorCrashed, match="the delay must be a number of seconds, not '3'"):
            await system.spawn(Times).ask("3")


async def test_an_actor_of_another_event_loop_says_so():
    async with system_of() as system:
        echo = system.spawn(Echo, name="echo")
        await echo.started()

        async def elsewhere():
            for call in (echo.ask("x"), echo.stop(), echo.started(), echo.stopped()):
                with pytest.raises(RuntimeError, match="system/echo belongs to another event loop"):
                    await call
            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                system.spawn(Echo)

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert await echo.ask("still here") == "still here"
