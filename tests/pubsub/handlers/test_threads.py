"""``in_thread=True``: as many at once as were asked for, and never more."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from actors import Handler
from actors.pubsub.handlers.worker_thread import WorkerThread
from tests.pubsub.handlers.test_concurrency import node_of
from tests.pubsub.helpers import client_of
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


class Blocks:
    """A plain function that blocks until it is let go, and counts how many of it run."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.done: list[Any] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, message: Any) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.current_thread())
        self.let_go.wait(10)
        with self.lock:
            self.now -= 1
            self.done.append(message["data"])

    def gone(self) -> bool:
        return not any(thread.is_alive() for thread in self.threads)


async def test_there_is_a_thread_for_each_worker(shared_server: AnyServer):
    blocks = Blocks()
    wanted = Handler(blocks, concurrency=24, in_thread=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(48):
            await client.publish("a", str(number))
        await eventually(lambda: blocks.now == 24)
        blocks.let_go.set()
        assert await p.drain(5)
    assert blocks.most == 24
    assert len(blocks.done) == 48
    await eventually(blocks.gone)


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_thread_past_its_time_limit_keeps_its_worker(
    shared_server: AnyServer, concurrency: int, caplog
):
    blocks, failures = Blocks(), []
    wanted = Handler(
        blocks,
        concurrency=concurrency,
        in_thread=True,
        timeout=0.05,
        on_failure=failures.append,
    )
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(4):
            await client.publish("a", str(number))
        await eventually(lambda: len(failures) == concurrency)
        assert {type(failure.error) for failure in failures} == {TimeoutError}
        await asyncio.sleep(0.15)  # there is nothing to wait for: no other message begins
        assert blocks.most == concurrency
        assert len(failures) == concurrency
        assert node_of(p, "a").detail["overdue_threads"] == concurrency
        assert "thread_goes_on" in caplog.text
        blocks.let_go.set()
        await eventually(lambda: len(blocks.done) == 4)
        assert "overdue_threads" not in node_of(p, "a").detail
    assert blocks.most == concurrency
    await eventually(blocks.gone)


async def test_a_worker_whose_thread_hangs_leaves_the_others_their_work(shared_server: AnyServer):
    hang, handled, failures = threading.Event(), [], []

    def handler(message: Any) -> None:
        if message["data"] == "hang":
            hang.wait(10)
        handled.append(message["data"])

    wanted = Handler(
        handler, concurrency=2, in_thread=True, timeout=0.05, on_failure=failures.append
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):
        await client.publish("a", "hang")
        await eventually(lambda: failures)
        for number in range(10):
            await client.publish("a", str(number))
        await eventually(lambda: len(handled) == 10)
        hang.set()


async def test_what_a_thread_raises_and_returns():
    thread, variable = WorkerThread("test"), contextvars.ContextVar("variable", default=0)
    variable.set(5)
    assert await thread.run(lambda: variable.get() + 1) == 6
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await thread.run(next, iter(()))
    assert await thread.run(threading.current_thread) is not threading.current_thread()
    thread.close()
    thread.close()
    assert await thread.run(int, "7") == 7  # it comes back when it is needed
    thread.close()
