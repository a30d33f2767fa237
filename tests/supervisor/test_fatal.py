"""SystemExit and KeyboardInterrupt stop the whole system in order, then surface (S2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from supervisor import (
    Child,
    ChildSpec,
    ConstantRetryPolicy,
    Crashed,
    Supervisor,
    SupervisorSpec,
)
from supervisor.model.errors import to_exception

from .helpers import Stage, Stubborn, raising


async def run(supervisor: Supervisor) -> None:
    """What a program does with its root: run it until it ends, and end as it did."""
    await supervisor.start()
    if error := to_exception(await supervisor.wait()):
        raise error


async def ending(supervisor: Supervisor, kind: type[BaseException]) -> BaseException:
    # Not pytest.raises in a task: what is asserted is that no task raises it.
    try:
        await run(supervisor)
    except kind as error:
        return error
    raise AssertionError("it ended without an error")


def deep(stage: Stage, depth: int, *innermost: ChildSpec) -> ChildSpec:
    """Return supervisors within supervisors, each with a child before and after."""
    spec = stage.nested(f"s{depth}", f"before{depth}", *innermost, f"after{depth}")
    for level in range(depth - 1, 0, -1):
        spec = stage.nested(f"s{level}", f"before{level}", spec, f"after{level}")
    return spec


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [SystemExit(3)])]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("restart", ["permanent", "temporary"])
async def test_s2_it_stops_all_in_order_and_surfaces_from_run(stage, error, restart):
    supervisor = stage.supervisor("a", stage.child("b", restart=restart), "c")
    running = asyncio.ensure_future(ending(supervisor, type(error)))
    await stage.clock.settle()
    stage.take_log()
    await stage.crash("b", error)
    assert await running is error
    assert stage.take_log() == "-b -c -a"
    assert supervisor.restarts == 0
    assert [stage.starts(each) for each in "abc"] == [1, 1, 1]


async def test_s2_a_retry_policy_is_not_asked_about_it(stage):
    endless = ConstantRetryPolicy((BaseException, SystemExit), None, delay=0)
    supervisor = stage.supervisor(stage.child("a", retry_policy=endless))
    running = asyncio.ensure_future(ending(supervisor, BaseExceptionGroup))
    await stage.clock.settle()
    await stage.crash("a", BaseExceptionGroup("", [ValueError(), SystemExit(3)]))
    await running
    assert supervisor.restarts == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_s2_from_deep_below_it_stops_every_level_in_order(stage, error):
    supervisor = stage.supervisor("a", deep(stage, 3, stage.child("x")), "z")
    running = asyncio.ensure_future(ending(supervisor, type(error)))
    await stage.clock.settle()
    stage.take_log()
    await stage.crash("x", error)
    assert await running is error
    # Each supervisor stops its own in reverse, the innermost first; then the one above it.
    assert stage.take_log() == ("-x -after3 -before3 -after2 -before2 -after1 -before1 -z -a")
    assert await supervisor.wait() == Crashed(error)


async def test_s2_in_a_start_it_surfaces_from_start(stage):
    supervisor = stage.supervisor(
        "a", stage.nested("s", "b", stage.child("c", starting=lambda life: raising(SystemExit(4))))
    )
    with pytest.raises(SystemExit) as caught:
        await supervisor.start()
    assert caught.value.code == 4
    assert stage.take_log() == "+a +b -b -a"


async def test_s2_during_a_stop_it_becomes_the_reason(stage):
    supervisor = await stage.running(
        "a", stage.child("b", stopping=lambda life: raising(SystemExit(5)))
    )
    await supervisor.stop()
    reason = await supervisor.wait()
    assert isinstance(reason.error, SystemExit)
    assert stage.take_log() == "+a +b -b -a"


async def test_s2_other_base_exceptions_are_crashes_like_any_other(stage):
    class Odd(BaseException):
        pass

    supervisor = await stage.running("a")
    await stage.crash("a", Odd())
    assert stage.starts("a") == 2
    await supervisor.stop()


async def test_s2_a_generator_exit_that_a_child_raises_is_a_crash(stage):
    """It is how coroutines are closed when the loop is gone; raised by a bug it is an error."""
    supervisor = stage.supervisor("a")
    await supervisor.start()
    await stage.crash("a", GeneratorExit("a bug"))
    assert supervisor.restarts == 1
    child = supervisor.child("a")
    assert isinstance(child.last_exit, Crashed)
    assert isinstance(child.last_exit.cause, GeneratorExit)
    assert (await supervisor.stop()).clean


async def test_s2_a_stop_that_follows_is_still_bounded(stage):
    stubborn = Stubborn()
    supervisor = await stage.running(
        stage.child("a", stopping=stubborn, shutdown=2), "b", kill_grace=1
    )
    await stage.crash("b", SystemExit(1))
    await stage.clock.advance(3)
    assert isinstance((await supervisor.wait()).error, SystemExit)
    stubborn.released.set()
    await stage.clock.settle()


def test_s2_the_loop_itself_is_not_torn_down():
    """A bare task that raises SystemExit ends asyncio.run on the spot; a child does not."""
    log = []

    async def start(child: Child) -> None:
        try:
            child.started()
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def exits(child: Child) -> None:
        child.started()
        raise SystemExit(7)

    async def main() -> None:
        supervisor = Supervisor(
            SupervisorSpec(children=[ChildSpec("a", start), ChildSpec("b", exits)])
        )
        await run(supervisor)

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main(), debug=True)
    assert caught.value.code == 7
    assert log == ["cleaned up"]


@pytest.mark.parametrize(("closed", "clings"), [(True, False), (True, True), (False, False)])
def test_s2_when_the_loop_is_gone_nothing_is_restarted(closed, clings):
    """The interpreter closes coroutines that are left; one may even refuse to go at first."""

    async def start(child: Child) -> None:
        child.started()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if clings:
                await asyncio.sleep(0)

    async def main() -> Supervisor:
        supervisor = Supervisor(SupervisorSpec(children=[ChildSpec("a", start)]))
        await supervisor.start()
        return supervisor

    loop = asyncio.new_event_loop()
    child = loop.run_until_complete(main()).child("a")
    assert child is not None
    task: Any = child.task
    if closed:
        loop.close()
    task.get_coro().close()
    task._log_destroy_pending = False
    loop.close()
    assert child.incarnation == 1
