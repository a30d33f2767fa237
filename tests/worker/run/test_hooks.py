"""Shutdown hooks run, however the worker ends, and in a time of their own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Redis
from actors.worker.run.hooks import call_every_hook
from tests.servers import AnyServer, ask
from tests.support import eventually
from tests.worker.helpers import make_worker
from tests.worker.program import mailslot, write_app

pytestmark = pytest.mark.embedded_only


@pytest.fixture
async def client(server: AnyServer) -> AsyncIterator[Redis]:
    async with Redis(server.host, server.port) as client:
        yield client


async def _hang() -> None:
    await asyncio.sleep(3600)


async def _take(message: Any) -> None: ...


async def _ignore_cancellation(end: asyncio.Event) -> None:
    while not end.is_set():
        try:
            await end.wait()
        except asyncio.CancelledError:
            continue


# -- the calls alone -------------------------------------------------------------------------------


async def called(*hooks: Any, seconds: float = 0.2) -> list[str]:
    """Call ``hooks`` with one more at the end, and return the names of those that ended."""
    ended: list[str] = []

    async def last() -> None:
        await asyncio.sleep(0)
        ended.append("last")

    try:
        await call_every_hook([*hooks, last], None, asyncio.get_running_loop().time() + seconds)
    finally:
        assert ended == ["last"]
    return ended


def _raises() -> None:
    raise KeyError("the hook's")


def _exits() -> None:
    raise SystemExit(7)


async def _cancels_its_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (_raises, KeyError),
        (_hang, TimeoutError),
        (_exits, SystemExit),
        (_cancels_its_task, asyncio.CancelledError),
    ],
)
async def test_a_hook_is_called_after_one_that(hook, error):
    with pytest.raises(error):
        await called(hook)


async def test_several_errors_are_a_group_and_a_late_hook_is_named():
    with pytest.raises(ExceptionGroup) as raised:
        await called(_raises, _hang)
    first, second = raised.value.exceptions
    assert isinstance(first, KeyError)
    assert isinstance(second, TimeoutError)
    assert "shutdown_timeout" in str(second)
    assert "_hang" in second.__notes__[0]


async def test_no_time_is_left_and_hooks_are_called_nevertheless():
    began: list[str] = []

    async def hook() -> None:
        began.append("hook")
        await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await call_every_hook([hook], None, asyncio.get_running_loop().time() - 1)
    assert began == ["hook"]


async def test_a_hook_may_use_what_the_others_left():
    async def slow() -> None:
        await asyncio.sleep(0.3)

    now = asyncio.get_running_loop().time()
    await call_every_hook([lambda: None, lambda: None, slow], None, now + 10)


# -- a worker's ------------------------------------------------------------------------------------

ENDS = [
    "drained",
    "the deadline passes",
    "the deadline passes and handlers ignore their cancellation",
    "leaving is cancelled",
    "leaving is cancelled twice",
    "the body raises",
    "the body is cancelled",
]


@pytest.mark.parametrize("how", ENDS)
async def test_hooks_run_when(server, client, how):
    app, ran, release = make_worker(server, drain_timeout=0.3), [], asyncio.Event()
    taken, in_hook = asyncio.Event(), asyncio.Event()

    @app.channel("a")
    async def handle(message: Any) -> None:
        taken.set()
        if "ignore" in how:
            await _ignore_cancellation(release)
        elif how != "drained":
            await _hang()

    @app.on_shutdown
    async def first() -> None:
        ran.append("first")
        in_hook.set()
        await asyncio.sleep(0.05)
        assert await app.client.ping()
        ran.append("first to its end")

    @app.on_shutdown
    def second() -> None:
        ran.append("second")

    if how.startswith("leaving"):
        app.drain_timeout = 60

    async def run() -> None:
        async with app:
            await client.publish("a", "x")
            await taken.wait()
            if how == "the body raises":
                raise ValueError(how)
            if how == "the body is cancelled":
                await _hang()

    running = asyncio.create_task(run())
    async with asyncio.timeout(60):
        await taken.wait()
    if "cancelled" in how:
        await asyncio.sleep(0.1)
        running.cancel()
    if "twice" in how:
        async with asyncio.timeout(60):
            await in_hook.wait()
        running.cancel()
    if "ignore" in how:
        await eventually(lambda: "second" in ran)
        release.set()
    await asyncio.wait({running}, timeout=60)
    assert running.done()
    expected = ["first", "first to its end", "second"]
    assert ran == [one for one in expected if "twice" not in how or "end" not in one]
    assert running.cancelled() == ("cancelled" in how)
    if not running.cancelled():
        assert isinstance(running.exception(), ValueError) == (how == "the body raises")
    if "leaving" not in how:
        assert app.drained is not None
        assert app.drained.in_time == ("deadline" not in how)


@pytest.mark.parametrize("how", ["leaving is cancelled", "the body is cancelled"])
async def test_a_hook_that_raises_does_not_hide_a_cancellation(server, client, how, caplog):
    app, taken = make_worker(server, drain_timeout=60), asyncio.Event()

    @app.channel("a")
    async def handle(message: Any) -> None:
        taken.set()
        await _hang()

    app.on_shutdown(_raises)

    async def run() -> None:
        async with app:
            await client.publish("a", "x")
            await taken.wait()
            if how == "the body is cancelled":
                await _hang()

    running = asyncio.create_task(run())
    async with asyncio.timeout(60):
        await taken.wait()
    await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.wait({running}, timeout=60)
    assert running.cancelled()
    assert "shutdown_hook_failed" in caplog.text


async def test_hooks_run_when_the_start_is_cancelled_in_another_hook(server):
    app, ran, begun = make_worker(server), [], asyncio.Event()
    app.channel("a")(_take)
    app.on_startup(lambda: None)

    @app.on_startup
    async def hangs() -> None:
        begun.set()
        await _hang()

    @app.on_shutdown
    async def closed() -> None:
        await asyncio.sleep(0)
        ran.append("closed")

    starting = asyncio.create_task(app.__aenter__())
    async with asyncio.timeout(60):
        await begun.wait()
    starting.cancel()
    await asyncio.wait({starting}, timeout=60)
    assert starting.cancelled()
    assert ran == ["closed"]


@pytest.mark.parametrize(("signals", "code"), [(1, 4), (2, 143)])
async def test_hooks_of_a_process_run_after_its_deadline_and_after_a_second_signal(
    server, tmp_path, signals, code
):
    text = f"""
app = Worker(drain_timeout={0.3 if signals == 1 else 60}, shutdown_timeout=10, probe_interval=None)
@app.channel("work")
async def work(message):
    print("in hand", flush=True)
    await asyncio.sleep(3600)
@app.on_shutdown
async def close():
    print("closing", flush=True)
    await asyncio.sleep(2.5)
    print("closed", flush=True)
"""
    write_app(tmp_path, text)
    async with mailslot("run", "shop:app", "--url", server.url, cwd=tmp_path) as program:
        await program.says("running", timeout=60)
        ask(server, "PUBLISH", "work", "x")
        await program.says("in hand", timeout=60)
        program.signal(signal.SIGTERM)
        if signals == 2:
            await asyncio.sleep(0.3)
            program.signal(signal.SIGTERM)
        assert await program.ends(60) == code
    assert "closed" in program.out
