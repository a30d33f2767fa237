"""No command prints control characters, or further lines, that came from outside."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator

import pytest

from actors import Redis
from actors.worker.cli import main as cli
from actors.worker.cli.commands import app
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer, ask
from tests.support import eventually
from tests.worker.program import mailslot, run_mailslot, write_app
from tests.worker.web import get

pytestmark = pytest.mark.embedded_only

#: Renames the window, clears the screen, forges a line, turns text around, looks like markup.
EVIL = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\x7f\r\nfake line\t\u202e [bold]b[/bold] [/nope]"

#: The same name for handlers, actors, channels and errors, as Python writes it.
APP = f"""
import os
EVIL = {EVIL!r}
app = Worker(os.environ.get("URL", "redis://localhost"), name="w" + EVIL, probe_interval=None)

def named(function):
    function.__name__ = function.__qualname__ = "handler" + EVIL
    return function

@app.pattern("p*")
@named
async def first(message):
    asyncio.current_task().set_name("task" + EVIL)
    try:
        raise KeyError(EVIL)
    except KeyError:
        raise ValueError("payload " + message["data"])

@app.channel("c" + EVIL)
@named
async def second(message): ...

from actors import Actor
@app.actor(name="a" + EVIL.replace("/", ""))
class Idle(Actor): ...
"""

BAD_APP = f"""
EVIL = {EVIL!r}
app = Worker("redis://h/" + EVIL, name="w" + EVIL)
@app.channel("c" + EVIL)
async def first(): ...
@app.channel("c" + EVIL)
async def second(message): ...
app.handle("topic" + EVIL, EVIL)(second)
"""


def assert_clean(*lines: str) -> None:
    for line in lines:
        assert line.isprintable(), ascii(line)
        assert not line.startswith("fake line"), line


@pytest.fixture
async def client(server: AnyServer) -> AsyncIterator[Redis]:
    async with Redis(server.host, server.port) as client:
        yield client


@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_tail(server, client, options):
    args = ("tail", server.url, "*", "--pattern", "--count", 3, *options)
    async with mailslot(*args) as program:
        await eventually(lambda: ask(server, "PUBSUB", "NUMPAT") == ":1", 60)
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await program.says("gap of", timeout=60)
        await client.publish("c" + EVIL, EVIL)
        await client.publish(b"\xff\x1b", b"\xff\x1b[2J")
        await client.publish("plain", '{"a": "b\\\\c"}')
        assert await program.ends(60) == 0
    assert_clean(*program.out, *program.err)
    assert len(program.out) == 3
    if not options:
        assert r"c\x1b]0;OWNED\x07" in program.out[0]
        assert program.out[1] == r"\xff\x1b \xff\x1b[2J"
        assert program.out[2] == r'plain {"a": "b\\c"}'


async def test_tail_tells_a_gap_in_a_channel_of_that_name(server):
    async with mailslot("tail", server.url, "c" + EVIL) as program:
        await eventually(lambda: numsub(server, "c" + EVIL) == 1, 60)
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await program.says("gap of", timeout=60)
        program.signal(signal.SIGTERM)
        assert await program.ends(60) == 143
    assert_clean(*program.out, *program.err)


@pytest.mark.parametrize(
    "args",
    [
        ["tail", f"redis://{EVIL}", "a"],
        ["tail", EVIL, "a"],
        ["tail", "redis://127.0.0.1:1", "a", "--" + EVIL],
        ["publish", f"redis://127.0.0.1:1/{EVIL}", "a", "b"],
        ["publish", "redis://127.0.0.1:1", EVIL, EVIL],
        ["check", "terminal_shop:app"],
        ["check", "terminal_bad:app"],
        ["check", f"terminal_shop:{EVIL}"],
        ["check", f"no{EVIL}:app"],
        ["check", "terminal_raises:app"],
        ["run", "a:b", "--partition", EVIL],
        ["run", "a:b", "--http", EVIL],
        ["run", "a:b", "--log-format", EVIL],
        ["run", "a:b", "--url", "redis://127.0.0.1:1", "--drain-timeout", EVIL],
        ["top", EVIL],
        [EVIL],
    ],
)
def test_what_ends_at_once(tmp_path, monkeypatch, capsys, args):
    write_app(tmp_path, APP, "terminal_shop")
    write_app(tmp_path, BAD_APP, "terminal_bad")
    write_app(tmp_path, f"raise ValueError({EVIL!r})", "terminal_raises")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mailslot", *args])
    assert cli._run(app) in (0, 2, 3)
    shown = capsys.readouterr()
    assert shown.out or shown.err
    assert_clean(*shown.out.split("\n"), *shown.err.split("\n"))


@pytest.mark.parametrize("text", [BAD_APP, f"raise ValueError({EVIL!r})"])
async def test_an_app_that_cannot_run(tmp_path, text):
    write_app(tmp_path, text)
    program = await run_mailslot("run", "shop:app", cwd=tmp_path)
    assert program.process.returncode == 2
    assert_clean(*program.out, *program.err)


@pytest.mark.parametrize("processes", [1, 2])
async def test_run_and_top(server, client, tmp_path, monkeypatch, processes):
    write_app(tmp_path, APP)
    monkeypatch.setenv("URL", server.url)
    args = ("run", "shop:app", "--http", "127.0.0.1:0", "--processes", processes)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("url=http://", timeout=60)
        await program.says("running", times=processes, timeout=60)
        (line,) = [line for line in program.err if "url=http://" in line]
        port = int(line.rpartition(":")[2])

        async def failed() -> bool:
            await client.publish("p" + EVIL, EVIL)
            return b"payload" in (await get(("127.0.0.1", port), "/stats")).body

        await eventually(failed, 60, every=0.1)
        await program.says("handler_failed", timeout=60)
        ask(server, "CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: numsub(server, "c" + EVIL) == 1, 60)

        async def gap_shown() -> bool:
            return b'"kind":"channel","name":"c' in (await get(("127.0.0.1", port), "/stats")).body

        await eventually(gap_shown, 60, every=0.1)
        monkeypatch.setenv("COLUMNS", "1000")
        top = await run_mailslot("top", port, cwd=tmp_path)
        assert top.process.returncode == 0
        program.signal(signal.SIGUSR1)
        await program.says("--- mailslot: end", timeout=60)
        program.signal(signal.SIGTERM)
        assert await program.ends(60) == 0
    assert_clean(*program.out, *program.err, *top.out, *top.err)
    assert any("payload" in line for line in program.err)
    shown = "\n".join(top.out)
    assert "[bold]b[/bold] [/nope]" in shown
    assert "payload" in shown


async def test_the_log_of_others(server, tmp_path):
    """What goes to Python's logging, and values that are no text."""
    text = f"""
import logging, structlog
EVIL = {EVIL!r}
class Odd:
    def __repr__(self):
        return EVIL
app = Worker({server.url!r}, probe_interval=None)
@app.channel("a")
async def a(message): ...
@app.on_startup
async def say():
    logging.getLogger("asyncio").error("task " + EVIL, exc_info=ValueError(EVIL))
    structlog.get_logger("mine").warning("hello " + EVIL, odd=Odd(), many=[Odd()], text=EVIL)
"""
    write_app(tmp_path, text)
    async with mailslot("run", "shop:app", cwd=tmp_path) as program:
        await program.says("running", timeout=60)
        program.signal(signal.SIGTERM)
        assert await program.ends(60) == 0
    assert_clean(*program.err)
    assert sum("hello" in line for line in program.err) == 1


def test_a_fault_of_its_own(capsys):
    def faulty(**options: object) -> int:
        raise RuntimeError(EVIL)

    assert cli._run(faulty) == 1
    err = capsys.readouterr().err
    assert_clean(*err.split("\n"))
    assert "RuntimeError" in err


async def test_a_terminal_that_does_not_know_all_characters(server, client, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    async with mailslot("tail", server.url, "a", "--count", 1) as program:
        await eventually(lambda: numsub(server, "a") == 1, 60)
        await client.publish("a", "ü")
        assert await program.ends(60) == 0
    assert program.out == [r"a \xfc"]
