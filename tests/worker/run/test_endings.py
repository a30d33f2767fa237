"""A worker that is told to be gone is gone in time, whatever its handlers and threads do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.worker.process.child import ChildProcess
from actors.worker.process.hard_exit import HardEnd
from actors.worker.run.partition import Partition
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer, ask
from tests.support import eventually
from tests.worker.program import Program, mailslot, write_app

pytestmark = pytest.mark.embedded_only

#: What a handler does that does not let go of its message, by how it holds on to it.
HOLDS = {
    "a thread": "time.sleep(60)",
    "the loop": "time.sleep(60)",
    # No signal handler of Python's runs before it returns.
    "C code": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "its cancellation": """
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("ignored")
""",
}

APP = """
import hashlib, os, time
app = Worker(drain_timeout={deadline})
@app.channel("work", in_thread={threaded})
{is_async}def work(message):
    print("stuck", os.getpid(), flush=True)
    print("and not flushed")
    {body}
"""


def holding(how: str, deadline: float = 0.5) -> str:
    return APP.format(
        deadline=deadline,
        threaded=how == "a thread",
        is_async="async " if how == "its cancellation" else "",
        body=HOLDS[how].strip(),
    )


@asynccontextmanager
async def stuck(server: AnyServer, folder: Path, text: str, *more: object):
    """Run ``text`` until its handler has a message in hand; yields the program."""
    write_app(folder, text)
    processes = 2 if "--processes" in more else 1
    args = ("run", "shop:app", "--url", server.url, "--log-format", "json", *more)
    async with mailslot(*args, cwd=folder) as program:
        await program.says("running", times=processes)
        ask(server, "PUBLISH", "work", "x")
        await program.says("stuck")
        yield program


def pid_of(program: Program) -> int:
    """The process that is stuck."""
    (line,) = [line for line in program.out if line.startswith("stuck")]
    return int(line.split()[1])


def gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("how", HOLDS)
async def test_the_deadline_ends_it(server, tmp_path, how):
    async with stuck(server, tmp_path, holding(how)) as program:
        program.signal(signal.SIGTERM)
        assert await program.ends(4) == 4  # half a second, and the grace of two
    if how in ("the loop", "C code"):
        assert program.events("forced_end")[0]["code"] == 4
    else:
        assert program.events("drain_deadline_passed")
    assert "and not flushed" in program.out


@pytest.mark.parametrize("how", HOLDS)
async def test_three_signals_end_it_at_once(server, tmp_path, how):
    async with stuck(server, tmp_path, holding(how, 60)) as program:
        for _ in range(2):
            program.signal(signal.SIGTERM)
            await asyncio.sleep(0.05)  # what the kernel has not delivered yet, it merges
        # On a busy machine the second one may have come late, and be the first that is seen.
        with contextlib.suppress(ProcessLookupError):
            program.signal(signal.SIGTERM)
        assert await program.ends(2) == 143
    assert "and not flushed" in program.out


async def test_a_late_signal_changes_nothing(server, tmp_path):
    """While Python takes its last steps: built-ins go, and objects with what they do then."""
    text = """
import builtins, os, signal
class Late:
    def __del__(self, kill=os.kill, write=os.write, pid=os.getpid(), signum=signal.SIGTERM):
        kill(pid, signum)
        write(1, b"late")
builtins.late = Late()
app = Worker()
@app.channel("work")
def work(message):
    print("stuck", flush=True)
"""
    async with stuck(server, tmp_path, text) as program:
        program.signal(signal.SIGTERM)
        assert await program.ends(5) == 0
        assert "late" in program.out


async def test_a_second_signal_ends_what_does_not_let_itself_be_cancelled(server, tmp_path):
    async with stuck(server, tmp_path, holding("the loop", 60)) as program:
        program.signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        program.signal(signal.SIGINT)
        assert await program.ends(4) == 130


async def test_a_process_that_does_not_drain_is_the_parents_exit_code(server, tmp_path):
    async with stuck(server, tmp_path, holding("the loop"), "--processes", 2) as program:
        program.signal(signal.SIGTERM)
        assert await program.ends(6) == 4


async def test_a_process_that_is_killed_while_it_drains_did_not_drain(server, tmp_path):
    text = holding("its cancellation", 60)
    async with stuck(server, tmp_path, text, "--processes", 2) as program:
        program.signal(signal.SIGTERM)
        await eventually(lambda: numsub(server, "work") == 0)
        os.kill(pid_of(program), signal.SIGKILL)
        assert await program.ends(5) == 4
    assert "SIGKILL" in program.events("not_drained")[0]["reason"]


async def test_a_process_that_stopped_is_killed_at_its_deadline(server, tmp_path):
    text = holding("its cancellation")
    async with stuck(server, tmp_path, text, "--processes", 2) as program:
        os.kill(pid_of(program), signal.SIGSTOP)
        program.signal(signal.SIGTERM)
        assert await program.ends(10) == 4
        await eventually(lambda: gone(pid_of(program)))


async def test_a_parent_that_is_forced_takes_its_processes_along(server, tmp_path):
    async with stuck(server, tmp_path, holding("C code", 60), "--processes", 2) as program:
        for _ in range(3):
            program.signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        assert await program.ends(2) == 143
        await eventually(lambda: gone(pid_of(program)))


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_signal_during_the_import_ends_it_with_0(server, tmp_path, processes):
    text = """
import os, time
app = Worker()
@app.channel("a")
def a(message): ...
if {several} == (os.getpid() == os.getsid(0)):  # which the parent is not
    print("importing", flush=True)
    time.sleep(60)
"""
    write_app(tmp_path, text.format(several=processes > 1))
    args = ("run", "shop:app", "--url", server.url, "--processes", processes)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("importing")
        program.signal(signal.SIGTERM)
        assert await program.ends(3) == 0
    assert program.err == []


async def test_a_signal_while_its_handler_is_installed_ends_it_with_0(tmp_path):
    text = """
import os, signal, sys, threading
from actors.worker.process.launch import launch
from actors.worker.process.runner import RunOptions
begin = threading.Thread.start
def start(thread):
    if thread.name == "mailslot-signals":
        os.kill(os.getpid(), signal.SIGTERM)
    begin(thread)
threading.Thread.start = start
sys.exit(launch(RunOptions("shop:app")))
"""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_process_that_ends_before_it_has_a_worker_has_nothing_to_drain():
    process = ChildProcess(0, Partition(), [])
    for code in (-signal.SIGTERM, 143):  # in Python's own start, and in that of the command
        process.code = code
        assert process.exit_code() == 0
    process.seen_at = 1.0
    assert process.exit_code() == 143


async def test_signals_of_others_do_not_get_in_the_way(server, tmp_path):
    """A loop with handlers of its own, and a fork that is told to end."""
    text = """
import os, signal
app = Worker()
@app.on_startup
async def own_handler():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: print("hung up", flush=True))
@app.channel("work")
def work(message):
    if message["data"] == "fork":
        pid = os.fork()
        if pid == 0:
            signal.pause()
        os.kill(pid, signal.SIGTERM)
        print("ended by", os.waitpid(pid, 0)[1], flush=True)
    else:
        print("alive", flush=True)
"""
    write_app(tmp_path, text)
    async with mailslot("run", "shop:app", "--url", server.url, cwd=tmp_path) as program:
        await program.says("running")
        ask(server, "PUBLISH", "work", "fork")
        await program.says("ended by 15")
        program.signal(signal.SIGHUP)
        await program.says("hung up")
        ask(server, "PUBLISH", "work", "x")
        await program.says("alive")
        program.signal(signal.SIGTERM)
        assert await program.ends(5) == 0


@pytest.mark.parametrize(("exits", "code"), [("0", 0), ("", 0), ("7", 7), ("'no'", 1)])
async def test_what_a_handler_exits_with_is_the_exit_code(server, tmp_path, exits, code):
    text = f"""
import sys
app = Worker()
@app.channel("work")
async def work(message):
    print("stuck", flush=True)
    sys.exit({exits})
@app.on_shutdown
def closed():
    print("closed", flush=True)
"""
    async with stuck(server, tmp_path, text) as program:
        assert await program.ends(5) == code
    assert "closed" in program.out


def test_the_earliest_end_counts_and_the_latest_code():
    end = HardEnd()
    end.within(10, 4)
    at = end.at
    end.within(60, 143)
    assert (end.at, end.code) == (at, 143)


def test_what_comes_first_does_not_hold_up_the_end():
    ended: list[int] = []
    end = HardEnd(ended.append)
    end.first = lambda: 1 / 0
    end.now(4, "a test")
    assert ended == [4]
