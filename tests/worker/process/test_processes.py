"""Several processes of one worker: each name in one of them, and what a death costs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time

import msgspec
import pytest

from actors import Redis
from actors.worker.observe.snapshot import WorkerSnapshot
from actors.worker.run.partition import owner
from tests.pubsub.helpers import numsub
from tests.support import eventually
from tests.worker.program import Program, mailslot, write_app
from tests.worker.web import get

pytestmark = pytest.mark.embedded_only

CHANNELS = [f"c{number}" for number in range(9)]

# Each process writes what it handles, and its gaps, to a file of its own.
APP = f"""
import os, time
app = Worker(drain_timeout=10, probe_interval=2.0)
out = open(f"{{os.getpid()}}.log", "w", buffering=1)
def on_gap(gap):
    out.write(f"gap {{gap.name}} {{gap.since}} {{gap.until}} {{gap.reason}}" + chr(10))
for name in {CHANNELS!r}:
    @app.channel(name, on_gap=on_gap)
    async def handle(message):
        out.write(f"{{message['channel']}} {{message['data']}}" + chr(10))
"""


class Stats(msgspec.Struct):
    worker: WorkerSnapshot


async def stats(program: Program) -> WorkerSnapshot:
    return msgspec.json.decode((await get(program.http, "/stats")).body, type=Stats).worker


async def not_ready(program: Program) -> bool:
    return not await ready(program)


async def ready(program: Program) -> bool:
    return (await get(program.http, "/ready")).status == 200


async def test_processes_start_side_by_side(server, tmp_path):
    text = """
from pathlib import Path
app = Worker()
@app.on_startup
async def begin():
    Path(f"begun-{app.process}").touch()
    while len(list(Path().glob("begun-*"))) < 3:
        await asyncio.sleep(0.01)
@app.channel("a")
async def a(message): ...
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 3)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running", times=3)
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0


async def test_a_process_that_fails_to_start_stops_those_that_are_still_starting(server, tmp_path):
    text = """
app = Worker()
@app.on_startup
async def begin():
    if app.process == 1:
        raise SystemExit(7)
    await asyncio.sleep(600)
@app.channel("a")
async def a(message): ...
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 3)
    async with mailslot(*args, cwd=tmp_path) as program:
        assert await program.ends(60) == 7


async def test_a_process_that_is_killed_before_it_runs_is_replaced(server, tmp_path):
    text = """
import os, signal
from pathlib import Path
app = Worker()
@app.on_startup
async def begin():
    if app.process == 1 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
@app.channel("a")
async def a(message): ...
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running", times=2)
        assert (tmp_path / "killed").exists()
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0


async def test_one_of_three_is_killed_and_the_others_carry_on(server, tmp_path):
    write_app(tmp_path, APP)
    args = ("run", "shop:app", "--url", server.url, "--processes", 3, "--log-format", "json")
    sent: dict[str, list[tuple[float, int]]] = {name: [] for name in CHANNELS}
    stop = asyncio.Event()
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*args, "--http", "127.0.0.1:0", cwd=tmp_path) as program,
    ):
        await program.says("running", times=3)
        assert {numsub(server, name) for name in CHANNELS} == {1}
        await eventually(lambda: ready(program), 10)
        publishing = asyncio.create_task(publish_all(client, sent, stop))
        await asyncio.sleep(0.7)
        before = await stats(program)
        victim = before.processes[1]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        await eventually(lambda: not_all_subscribed(server))
        await eventually(lambda: not_ready(program), every=0.001)
        await program.says("running", times=4)
        await eventually(lambda: ready(program), 10)
        await asyncio.sleep(0.3)
        after = await stats(program)
        stop.set()
        await publishing
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0
    assert [p.restarts for p in after.processes] == [0, 1, 0]
    assert [p.pid for p in after.processes][::2] == [p.pid for p in before.processes][::2]

    handled, gaps = read_logs(tmp_path)
    hit = {name for name in CHANNELS if owner(name, 3, b"process") == 1}
    assert set(gaps) == hit
    for name in CHANNELS:
        missing = [(at, number) for at, number in sent[name] if number not in handled[name]]
        if name not in hit:
            # Messages on their way when it unsubscribed at the end are after all the others.
            assert missing == sent[name][len(sent[name]) - len(missing) :]
            continue
        since, until, reason = gaps[name]
        assert "was killed by signal 9 (SIGKILL)" in reason
        lost_at_end = [one for one in missing if one[1] > max(handled[name])]
        assert all(
            since <= at <= until for at, number in missing if (at, number) not in lost_at_end
        )


async def test_the_gap_of_a_killed_process_covers_what_it_had_in_hand(server, tmp_path):
    text = """
import os
app = Worker(probe_interval=None)
def told(gap):
    print("gap", gap.name, gap.since, flush=True)
@app.channel("slow", on_gap=told)
async def slow(message):
    print("in hand", os.getpid(), flush=True)
    await asyncio.sleep(60)
@app.channel("quick", on_gap=told)
async def quick(message):
    print("quick", message["data"], flush=True)
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2)
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*args, cwd=tmp_path) as program,
    ):
        await program.says("running", times=2)
        sent = time.time()
        await client.publish("slow", "x")
        await program.says("in hand")
        # It goes on to say that it lives, and handles what else comes.
        for number in range(8):
            await client.publish("quick", str(number))
            await program.says(f"quick {number}")
            await asyncio.sleep(0.2)
        (line,) = [line for line in program.out if line.startswith("in hand")]
        os.kill(int(line.split()[2]), signal.SIGKILL)
        await program.says("gap slow")
        (line,) = [line for line in program.out if line.startswith("gap slow")]
        assert sent - 2 < float(line.split()[2]) <= sent


async def test_a_process_whose_loop_is_held_is_not_live(server, tmp_path):
    text = """
import time
app = Worker(probe_interval=2.0)
@app.channel("a")
def a(message):
    print("held", flush=True)
    time.sleep(60)
@app.channel("b")
def b(message): ...
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2, "--log-format", "json")
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*args, "--http", "127.0.0.1:0", cwd=tmp_path) as program,
    ):
        await program.says("running", times=2)
        await eventually(lambda: ready(program), 10)
        assert (await get(program.http, "/live")).status == 200
        await client.publish("a", "x")
        await program.says("held")
        await program.says("process_silent")
        live = await get(program.http, "/live")
        assert live.status == 503
        index = owner("a", 2, b"process")
        assert f"process {index}: no sign of life for" in live.json()["reasons"][0]
        assert program.events("process_silent")[0]["process"] == index
        metrics = (await get(program.http, "/metrics")).body.decode()
        assert "mailslot_live 0.0" in metrics
        (line,) = re.findall(rf'mailslot_loop_lag_seconds{{process="{index}"}} (.*)', metrics)
        assert float(line) > 5
        for _ in range(3):
            program.signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        assert await program.ends(5) == 143


async def publish_all(client, sent, stop) -> None:
    number = 0
    while not stop.is_set():
        for name in CHANNELS:
            sent[name].append((time.time(), number))
            await client.publish(name, str(number))
        number += 1
        await asyncio.sleep(0.01)


def not_all_subscribed(server) -> bool:
    return any(numsub(server, name) == 0 for name in CHANNELS)


def read_logs(folder):
    handled: dict[str, set[int]] = {name: set() for name in CHANNELS}
    gaps: dict[str, tuple[float, float, str]] = {}
    for file in folder.glob("*.log"):
        for line in file.read_text().splitlines():
            first, _, rest = line.partition(" ")
            if first == "gap":
                name, since, until, reason = rest.split(" ", 3)
                gaps[name] = (float(since), float(until), reason)
            else:
                assert int(rest) not in handled[first], "handled twice"
                handled[first].add(int(rest))
    return handled, gaps


async def test_a_process_that_cannot_be_kept_alive_ends_them_all(server, tmp_path):
    text = """
import os
app = Worker()
@app.channel("a")
async def a(message): os._exit(5)
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2, "--log-format", "json")
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*args, "--http", "127.0.0.1:0", cwd=tmp_path) as program,
    ):
        await program.says("running", times=2)
        # A process that ends before its parent knows that it runs would count as a failed start.
        await eventually(lambda: ready(program), 20)
        while program.process.returncode is None:
            await client.publish("a", "die")
            await asyncio.sleep(0.05)
        assert await program.ends() == 1
        assert "exited with 5" in program.events("gave_up")[-1]["reason"]


async def test_children_end_when_their_parent_is_killed(server, tmp_path):
    write_app(tmp_path, APP)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running", times=2)
        program.signal(signal.SIGKILL)
        await eventually(lambda: all(numsub(server, name) == 0 for name in CHANNELS), 10)


async def test_a_second_signal_reaches_every_process(server, tmp_path):
    text = """
app = Worker(drain_timeout=30)
@app.channel("a")
async def a(message):
    print("stuck", flush=True)
    await asyncio.sleep(60)
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2)
    async with (
        Redis(server.host, server.port) as client,
        mailslot(*args, cwd=tmp_path) as program,
    ):
        await program.says("running", times=2)
        await client.publish("a", "x")
        await program.says("stuck")
        program.signal(signal.SIGTERM)
        await eventually(lambda: numsub(server, "a") == 0)
        program.signal(signal.SIGINT)
        assert await program.ends(10) == 130


async def test_sigusr1_has_every_process_print_where_it_is(server, tmp_path):
    write_app(tmp_path, APP)
    args = ("run", "shop:app", "--url", server.url, "--processes", 2, "--log-format", "json")
    async with mailslot(*args, "--http", "127.0.0.1:0", cwd=tmp_path) as program:
        await eventually(lambda: program.events("http"), 10)
        await eventually(lambda: ready(program), 20)
        program.signal(signal.SIGUSR1)
        await program.says("--- mailslot: end", times=3)
        assert sum("--- mailslot: tree of process" in line for line in program.err) == 3
        # The parent's own has what each process said last.
        assert any("c0 (actor) running" in line for line in program.err)
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0


async def test_an_actor_with_once_lives_in_one_process(server, tmp_path):
    text = """
import os
from actors import Actor
app = Worker()
for number in range(6):
    @app.actor(once=True, name=f"single-{number}")
    class Single(Actor):
        async def on_start(self):
            path = self.context.path
            # One write: the processes share the pipe.
            os.write(1, f"{path} here {app.owns(path.split('/')[-1])}{chr(10)}".encode())
@app.actor
class Each(Actor):
    async def on_start(self):
        os.write(1, f"each {app.process}{chr(10)}".encode())
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", server.url, "--processes", 3)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running", times=3)
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0
    singles = [line for line in program.out if line.startswith("worker/single")]
    assert sorted(singles) == [f"worker/single-{number} here True" for number in range(6)]
    assert sorted(line for line in program.out if "each" in line) == ["each 0", "each 1", "each 2"]


async def test_machines_share_by_partition(server, tmp_path):
    write_app(tmp_path, APP)
    args = ("run", "shop:app", "--url", server.url, "--log-format", "json")
    async with (
        mailslot(*args, "--partition", "0/2", "--processes", 2, cwd=tmp_path) as first,
        mailslot(*args, "--partition", "1/2", cwd=tmp_path) as second,
    ):
        await first.says("running", times=2)
        await second.says("running")
        assert {numsub(server, name) for name in CHANNELS} == {1}


async def test_reload_starts_anew_when_a_file_changes(server, tmp_path):
    text = 'app = Worker()\n@app.channel("{}")\nasync def handler(message): ...\n'
    write_app(tmp_path, text.format("before"))
    args = ("run", "shop:app", "--url", server.url, "--reload")
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running")
        write_app(tmp_path, text.format("after"))
        await eventually(lambda: numsub(server, "after") == 1, 15)
        assert numsub(server, "before") == 0
        write_app(tmp_path, "1 / 0\n")
        await program.says("division by zero")
        write_app(tmp_path, text.format("again"))
        await eventually(lambda: numsub(server, "again") == 1, 15)
        program.signal(signal.SIGTERM)
        assert await program.ends() == 0


async def test_a_reload_that_cannot_watch_says_so_and_ends(server, tmp_path):
    (tmp_path / "watchfiles.py").write_text("""
PythonFilter = object
async def awatch(*args, **options):
    raise OSError("no inotify left")
    yield
""")
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    args = ("run", "shop:app", "--url", server.url, "--reload", "--log-format", "json")
    async with mailslot(*args, cwd=tmp_path) as program:
        assert await program.ends(20) == 1
        assert program.events("gave_up")[0]["reason"] == "OSError: no inotify left"
