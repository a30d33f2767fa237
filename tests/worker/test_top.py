"""``mailslot top``: what it shows, and how it behaves in a real terminal (tmux)."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import uuid

import msgspec
import pytest
from rich.console import Console

from actors import Redis
from actors.worker.endpoints import Stats, endpoints
from actors.worker.health import Verdict
from actors.worker.http import HttpServer
from actors.worker.snapshot import HandlerState
from actors.worker.top_view import rendered
from actors.worker.watching import Look, Sort, View, keys_of, pressed
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker
from tests.worker.program import ROOT, run_mailslot
from tests.worker.test_health import HEALTHY, worker

pytestmark = pytest.mark.embedded_only

YES = Verdict(True)


def handler(name: str, **changes) -> HandlerState:
    known = {"depth": 0, "age": 0.0, "handled": 0, "failed": 0, "shed": 0, "restarts": 0}
    return HandlerState(
        name=name, pubsub="p", path=f"w/p/handlers/{name}", status="running", **(known | changes)
    )


def look(at: float, *handlers: HandlerState, before: Look | None = None) -> Look:
    snapshot = msgspec.structs.replace(HEALTHY, at=at, handlers=handlers)
    return Look.of(Stats(YES, YES, worker(snapshot)), before)


def test_rates_are_of_two_looks():
    first = look(10.0, handler("a", handled=5), handler("b", handled=100))
    assert [row.rate for row in first.rows] == [0.0, 0.0]
    second = look(12.0, handler("a", handled=25), handler("b", handled=3), before=first)
    assert [row.rate for row in second.rows] == [10.0, 0.0]  # b came back with new counters
    again = look(12.0, handler("a", handled=25), before=second)  # nothing new from that process
    assert [row.rate for row in again.rows] == [10.0]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (Sort.NAME, "abc"),
        (Sort.DEPTH, "cab"),
        (Sort.AGE, "bac"),
        (Sort.FAILED, "acb"),
        (Sort.RESTARTS, "abc"),
    ],
)
def test_sorts(sort, order):
    seen = look(
        1.0,
        handler("b", depth=0, age=9.0, failed=0),
        handler("a", depth=1, age=1.0, failed=7),
        handler("c", depth=5, age=0.5, failed=1),
    )
    assert "".join(row.handler.name for row in seen.sorted(sort)) == order


def test_keys():
    view = View()
    assert pressed(view, "j", 3).cursor == 1
    assert pressed(view, "\x1b[B", 1).cursor == 0
    assert pressed(pressed(view, "j", 3), "k", 3).cursor == 0
    assert pressed(view, "f", 3).sort is Sort.FAILED
    assert pressed(view, "\r", 3).detail
    assert not pressed(pressed(view, "\r", 3), "\x1b", 3).detail
    assert pressed(view, "t", 3).tree
    assert pressed(view, "q", 3).done
    assert pressed(view, "?", 3) == view
    assert keys_of("j\x1b[B\r\x1b[5~\x1b") == ["j", "\x1b[B", "\r", "\x1b[5~", "\x1b"]


@pytest.mark.parametrize("view", [View(), View(detail=True)], ids=["rows", "detail"])
def test_a_breaker_that_is_open_is_seen(view):
    def text(breaker: str) -> str:
        console = Console(width=120, file=io.StringIO(), record=True)
        console.print(
            rendered(look(1.0, handler("a", breaker=breaker)), view, height=40, problem="")
        )
        return console.export_text()

    assert "half_open" in text("half_open")
    assert "half_open" not in text("closed")


async def test_without_a_terminal_it_prints_one_look(server):
    app = make_worker(server, name="shop")

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    async with HttpServer(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http, app:
        host, port = http.address
        program = await run_mailslot("top", f"{host}:{port}")
    assert program.process.returncode == 0
    text = "\n".join(program.out)
    assert "shop  ready" in text
    assert "orders" in text


async def test_nobody_to_watch_is_one_sentence():
    program = await run_mailslot("top", "127.0.0.1:1")
    assert program.process.returncode == 2
    assert program.err == [
        "mailslot: nobody to watch at 127.0.0.1:1: [Errno 111] Connection refused"
    ]


class Tmux:
    """A terminal of its own."""

    def __init__(self) -> None:
        self.name = f"mailslot-{uuid.uuid4().hex}"

    async def run(self, *args: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "tmux", "-L", self.name, "-f", "/dev/null", *args,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return out.decode()

    async def shows(self, *texts: str) -> str:
        screen = ""

        async def seen() -> bool:
            nonlocal screen
            screen = await self.run("capture-pane", "-p")
            return all(text in screen for text in texts)

        try:
            await eventually(seen, 15, 0.05)
        except AssertionError:
            raise AssertionError(f"{texts} is not all on the screen:\n{screen}") from None
        return screen

    async def press(self, *keys: str) -> None:
        await self.run("send-keys", *keys)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux: apt-get install tmux")
async def test_it_lives_in_a_terminal(server):
    app = make_worker(server, name="shop", on_failure=Failures(), probe_interval=5.0)

    @app.channel("alpha")
    async def alpha(order: Order) -> None: ...

    @app.channel("beta")
    async def beta(order: Order) -> None:
        raise RuntimeError("out of tea")

    tmux = Tmux()
    async with (
        HttpServer(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        host, port = http.address
        top = f"{sys.executable} -m actors.worker top {host}:{port} --interval 0.2"
        env = f"PYTHONPATH={ROOT}"
        try:
            await tmux.run(
                *("new-session", "-d", "-x", "110", "-y", "30", "-e", env),
                *("-c", os.fspath(ROOT), f"{top}; echo DONE $?; sleep 60"),
            )
            await tmux.shows("shop  ready", "alpha", "beta", "q quit")
            for _ in range(7):
                await client.publish("alpha", '{"id": 1}')
            await client.publish("beta", '{"id": 1}')
            await tmux.shows("received", "failed 1", "beta: RuntimeError")
            await tmux.press("f")
            screen = await tmux.shows("beta")
            await eventually(lambda: on_top(tmux, "beta"), 5, 0.05)
            await tmux.press("n")
            await eventually(lambda: on_top(tmux, "alpha"), 5, 0.05)
            await tmux.press("Down", "Enter")
            await tmux.shows("path       shop/", "/handlers/beta", "failure")
            await tmux.press("Escape")
            await tmux.press("t")
            screen = await tmux.shows("readers running")
            assert "per second" not in screen
            await tmux.press(*"jjjjjjjjjjjj")
            await tmux.shows("probe running")  # it scrolls
            await tmux.press("t")
            server.kill()
            await tmux.shows("not ready", "not subscribed")
            await server.start()
            await tmux.shows("shop  ready", "gap ")
            await tmux.press("q")
            await tmux.shows("DONE 0")
        finally:
            await tmux.run("kill-server")


async def on_top(tmux: Tmux, name: str) -> bool:
    lines = [line.split() for line in (await tmux.run("capture-pane", "-p")).splitlines()]
    names = [line[0] for line in lines if line and line[0] in ("alpha", "beta")]
    return names[:1] == [name]
