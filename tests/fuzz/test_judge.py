"""The judge finds what it is there for."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from actors.redis.exceptions import ConnectionError  # noqa: A004
from tests.fuzz import judge as judging
from tests.fuzz.judge import Judge
from tests.fuzz.limits import Fault
from tests.fuzz.rounds import Cut, RoundSelector


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setattr(judging, "_PATIENCE", 0.1)
    return Judge("test", seed=1, seconds=1)


async def test_a_case_without_a_fault(judge: Judge) -> None:
    await judge.play("0", asyncio.sleep(0))
    assert (judge.cases, judge.faults) == (1, {})


async def test_a_lost_task(judge: Judge) -> None:
    lost = []

    async def lose() -> None:
        lost.append(asyncio.create_task(asyncio.sleep(60)))

    await judge.play("0", lose())
    assert "task left" in judge.row()
    lost[0].cancel()


async def test_a_leaked_socket(judge: Judge) -> None:
    leaked = []

    async def leak() -> None:
        leaked.append(socket.socket())

    await judge.play("0", leak())
    leaked[0].close()
    assert "file descriptor left" in judge.row()


async def test_an_exception_that_nobody_retrieves(judge: Judge) -> None:
    async def fail() -> None:
        raise ValueError

    async def forget() -> None:
        asyncio.ensure_future(fail())  # noqa: RUF006
        await asyncio.sleep(0.01)

    await judge.play("0", forget())
    assert "never retrieved" in judge.row()


async def test_errors_are_of_the_library_and_have_words(judge: Judge) -> None:
    async def fail(error: Exception) -> None:
        raise error

    await judge.attempt("x", fail(ConnectionError("the server closed it")))
    with pytest.raises(Fault, match="no error of the library"):
        await judge.attempt("x", fail(KeyError("proto")))
    with pytest.raises(Fault, match="says nothing"):
        await judge.attempt("x", fail(ExceptionGroup("it failed", [ConnectionError("")])))


async def test_a_hang(judge: Judge) -> None:
    with pytest.raises(Fault, match="no end within"):
        await judge.attempt("x", asyncio.sleep(60), 0.01)


def test_a_loop_that_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_HELD", 0.1)
    judge = Judge("test", seed=1, seconds=1)

    async def hold() -> None:
        await asyncio.sleep(0)
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(judge.selector)) as runner:
        runner.run(judge.play("0", hold()))
    assert "the event loop was held up" in judge.row()


def test_a_fault_comes_with_the_command_that_plays_it_again() -> None:
    judge = Judge("server", seed=7, seconds=1)

    async def fail() -> None:
        raise Fault("wrong")

    asyncio.run(judge.play("3", fail()))
    assert "python -m tests.fuzz server --seed 7 --step '3'" in judge.row()


# -- cancellation ----------------------------------------------------------------------------------


def _cut(after: int | None, call) -> tuple[bool, int]:
    selector = RoundSelector()

    async def main() -> tuple[bool, int]:
        cut = Cut(selector, after)
        return await cut(call()), cut.rounds

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(main())


async def _three_rounds() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("after", "ended"), [(0, False), (2, False), (3, True), (None, True)])
def test_a_call_is_cut_in_a_round_or_ends_before(after: int | None, ended: bool) -> None:
    assert _cut(after, _three_rounds)[0] is ended


def test_a_call_that_waits_is_cut_at_once() -> None:
    assert _cut(0, asyncio.Event().wait) == (False, 1)


def test_a_swallowed_cancellation_is_a_fault() -> None:
    async def swallow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

    with pytest.raises(Fault, match="swallowed"):
        _cut(0, swallow)
