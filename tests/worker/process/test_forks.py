"""What a worker process forks or starts holds up neither its replacement nor its end."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.worker.run.partition import owner
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer
from tests.support import eventually
from tests.worker.program import Program, mailslot, write_app
from tests.worker.web import get

pytestmark = pytest.mark.embedded_only

CHANNELS = [f"c{number}" for number in range(8)]

APP = f"""
import concurrent.futures, multiprocessing, os, subprocess, sys, time
app = Worker(probe_interval=None, drain_timeout=10)
fork = multiprocessing.get_context("fork")
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def hush():
    # So that it holds up nobody who reads what this program prints.
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)

def here(pid):
    with open("descendants", "a") as file:
        file.write(f"{{os.getpid()}} {{pid}}" + chr(10))

def sleep():
    hush()
    time.sleep(600)

def start():
    {{start}}

@app.on_startup
def begin():
    start()

for name in {CHANNELS!r}:
    @app.channel(name)
    async def handle(message): ...
"""

#: How a worker process gets a descendant that lives on.
STARTS = {
    "a daemon": 'here(subprocess.Popen(["sleep", "600"], start_new_session=True, **quiet).pid)',
    "a program that inherits all": 'here(subprocess.Popen(["sleep", "600"], close_fds=False, '
    "**quiet).pid)",
    "a pool": "global pool; "
    "pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=fork, initializer=hush); "
    "here(pool.submit(os.getpid).result())",
    "a process": "one = fork.Process(target=sleep, daemon=True); one.start(); here(one.pid)",
    "a double fork": """
    pid = os.fork()
    if pid == 0:
        hush()
        os.setsid()
        pid = os.fork()
        if pid == 0:
            here(os.getpid())
            time.sleep(600)
        os._exit(0)
    os.waitpid(pid, 0)
""".strip(),
}


@asynccontextmanager
async def two_processes(server: AnyServer, folder: Path, how: str) -> AsyncIterator[Program]:
    """Run two processes with a descendant each."""
    write_app(folder, APP.replace("{start}", STARTS[how]))
    args = ("run", "shop:app", "--url", server.url, "--processes", 2, "--log-format", "json")
    try:
        async with mailslot(*args, "--http", "127.0.0.1:0", cwd=folder) as program:
            await eventually(lambda: program.events("http"), 60)
            await eventually(lambda: ready(program), 60)
            yield program
    finally:
        for line in (folder / "descendants").read_text().splitlines():
            try:
                os.kill(int(line.split()[1]), signal.SIGKILL)
            except ProcessLookupError:
                continue


async def ready(program: Program) -> bool:
    return (await get(program.http, "/ready")).status == 200


def all_subscribed_once(server: AnyServer) -> bool:
    return {numsub(server, name) for name in CHANNELS} == {1}


def pid_of_process(program: Program, index: int) -> int:
    """The process id of a worker process: the parent's child with that index."""
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children")
    for pid in map(int, children.read_text().split()):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if f'MAILSLOT_CHILD={{"index":{index},'.encode() in environment:
            return pid
    raise AssertionError(f"no process {index}")


@pytest.mark.parametrize("how", STARTS)
async def test_descendants_hold_up_neither_a_replacement_nor_a_stop(server, tmp_path, how):
    async with two_processes(server, tmp_path, how) as program:
        assert all_subscribed_once(server)
        index = owner(CHANNELS[0], 2, b"process")
        os.kill(pid_of_process(program, index), signal.SIGKILL)
        # Its connection ends, too: the server would count two subscribers otherwise.
        await program.says('"running"', times=3, timeout=60)
        await eventually(lambda: all_subscribed_once(server), 60)
        # Those of both processes live, and that of the killed one.
        program.signal(signal.SIGTERM)
        assert await program.ends(60) == 0


async def test_processes_end_when_their_parent_is_killed_though_descendants_live(server, tmp_path):
    async with two_processes(server, tmp_path, "a double fork") as program:
        program.signal(signal.SIGKILL)
        await eventually(lambda: all(numsub(server, name) == 0 for name in CHANNELS), 60)
        await program.process.wait()
