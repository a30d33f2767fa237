"""Signals and exit codes of real processes, under load."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from actors import Redis
from actors.worker.process.signals import StopStages
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer, ask
from tests.support import eventually
from tests.worker.program import mailslot, write_app

pytestmark = pytest.mark.embedded_only

# Writes a line for each message that came in, and one for each that it is through with.
COUNTING = """
app = Worker(drain_timeout=10)
out = open("handled", "w", buffering=1)
@app.channel("work")
async def work(number: str) -> None:
    await asyncio.sleep(0.001)
    out.write(number + chr(10))
@app.on_shutdown
def closed() -> None:
    out.write("closed" + chr(10))
"""

STUCK = """
app = Worker(drain_timeout={deadline})
@app.channel("work")
async def work(message) -> None:
    print("stuck", flush=True)
    await asyncio.sleep(60)
"""

STUBBORN = """
import time
app = Worker(drain_timeout=30)
@app.channel("work")
async def work(message) -> None:
    print("stuck", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("ignored", flush=True)
"""


def run_args(server: AnyServer, *more: Any) -> tuple[Any, ...]:
    return ("run", "shop:app", "--url", server.url, "--log-format", "json", *more)


async def publish_until(stop: asyncio.Event, client: Redis[Any], rate: int) -> int:
    """Publish numbers at ``rate`` a second; return how many were delivered to somebody."""
    loop = asyncio.get_running_loop()
    begun, sent, delivered = loop.time(), 0, 0
    while not stop.is_set():
        due = int((loop.time() - begun) * rate)
        while sent < due:
            delivered += await client.publish("work", str(sent))
            sent += 1
        await asyncio.sleep(0.002)
    return delivered


async def test_sigterm_under_load_leaves_nothing_unhandled(server, tmp_path):
    write_app(tmp_path, COUNTING)
    stop = asyncio.Event()
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*run_args(server), cwd=tmp_path) as program,
    ):
        await program.says("running")
        publishing = asyncio.create_task(publish_until(stop, client, 2000))
        try:
            await eventually(lambda: lines(tmp_path) > 1000, 20)
            program.signal(signal.SIGTERM)
            assert await program.ends() == 0
        finally:
            stop.set()
            delivered = await publishing
    *handled, last = (tmp_path / "handled").read_text().split()
    assert last == "closed"
    # All that the server delivered was handled, each once and in order.
    numbers = [int(number) for number in handled]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) == delivered
    assert program.events("drained")[0]["left"] == 0


def lines(folder: Path) -> int:
    file = folder / "handled"
    return file.read_text().count("\n") if file.exists() else 0


@contextlib.asynccontextmanager
async def stuck_worker(server: AnyServer, folder: Path, text: str):
    write_app(folder, text)
    async with mailslot(*run_args(server), cwd=folder) as program:
        await program.says("running")
        for _ in range(3):
            ask(server, "PUBLISH", "work", "x")
        await program.says("stuck")
        yield program


async def test_a_drain_deadline_that_passes_exits_4(server, tmp_path):
    async with stuck_worker(server, tmp_path, STUCK.format(deadline=0.5)) as program:
        program.signal(signal.SIGTERM)
        assert await program.ends() == 4
        assert program.events("drain_deadline_passed")[0]["left"] == 2
        assert program.events("drained") == []


@pytest.mark.parametrize(("last", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_cancels(server, tmp_path, last, code):
    async with stuck_worker(server, tmp_path, STUCK.format(deadline=30)) as program:
        program.signal(signal.SIGTERM)
        await eventually(lambda: numsub(server, "work") == 0)
        program.signal(last)
        assert await program.ends(5) == code


async def test_a_third_signal_exits(server, tmp_path):
    async with stuck_worker(server, tmp_path, STUBBORN) as program:
        program.signal(signal.SIGINT)
        await eventually(lambda: numsub(server, "work") == 0)
        program.signal(signal.SIGINT)
        await program.says("ignored")
        program.signal(signal.SIGINT)
        assert await program.ends(2) == 130


async def test_sigusr1_prints_the_tree_and_where_tasks_are(server, tmp_path):
    async with stuck_worker(server, tmp_path, STUCK.format(deadline=0.1)) as program:
        program.signal(signal.SIGUSR1)
        await program.says("--- mailslot: end")
        text = "\n".join(program.err)
        assert "work (actor) running mailbox=2" in text
        assert "shop.py:9 work" in text  # the line that it sleeps in
        program.signal(signal.SIGTERM)
        assert await program.ends() == 4


async def test_a_signal_while_it_starts_ends_it(tmp_path):
    write_app(tmp_path, 'app = Worker(start_timeout=None)\n@app.channel("a")\ndef a(m): ...\n')
    args = ("run", "shop:app", "--url", "redis://127.0.0.1:1", "--http", "0")
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("http")
        program.signal(signal.SIGTERM)
        assert await program.ends(3) == 0


@pytest.mark.parametrize(("error", "code"), [("RuntimeError()", 1), ("SystemExit(9)", 9)])
async def test_what_it_gives_up_on_is_its_exit_code(server, tmp_path, error, code):
    text = f"""
from actors import Actor
app = Worker(intensity=2)
@app.actor(restart="permanent")
class Broken(Actor):
    async def on_start(self):
        self.context.timers.after(0.1, "go")
    def receive(self, message):
        raise {error}
"""
    write_app(tmp_path, text)
    async with mailslot(*run_args(server), cwd=tmp_path) as program:
        assert await program.ends() == code


def test_each_signal_goes_one_step_further():
    steps: list[Any] = []
    stages = StopStages(lambda: steps.append("drain"), lambda: steps.append("cancel"), steps.append)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        stages(signum)
    assert steps == ["drain", "cancel", 143]
    assert stages.forced
