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
from actors.worker.cli.top_state import Look, Sort, View, keys_of, pressed
from actors.worker.cli.top_view import rendered
from actors.worker.http.endpoints import Stats, endpoints
from actors.worker.http.port import HttpPort
from actors.worker.observe.health import Verdict
from actors.worker.observe.snapshot import FailureNote, GapNote, HandlerState
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker
from tests.worker.observe.test_health import HEALTHY, worker
from tests.worker.program import ROOT, run_mailslot

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
    view, three = View(), "xyz"
    assert pressed(view, "j", three).cursor == 1
    assert pressed(view, "\x1b[B", "x").cursor == 0
    assert pressed(pressed(view, "j", three), "k", three).cursor == 0
    assert pressed(view, "j", "").cursor == 0
    assert pressed(view, "f", three).sort is Sort.FAILED
    assert pressed(view, "\r", three).detail
    assert not pressed(pressed(view, "\r", three), "\x1b", three).detail
    assert pressed(view, "t", three).tree
    assert pressed(view, "q", three).done
    assert pressed(view, "?", three) == view
    assert keys_of("j\x1b[B\r\x1b[5~\x1b") == ["j", "\x1b[B", "\r", "\x1b[5~", "\x1b"]


def test_what_was_chosen_is_followed():
    view = pressed(View(), "j", "abc")
    assert (view.chosen, view.at("abc"), view.at("bca")) == ("b", 1, 0)
    assert view.at("ac") == 1  # it is gone: what is in its row now
    assert pressed(view, "k", "bca").chosen == "b"
    assert pressed(view, "j", "bca").chosen == "c"
    assert pressed(view, "n", "bca").at("bca") == 0
    assert View().at("cab") == 0  # nothing chosen: whatever comes to be first


def shown(seen: Look, view: View) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rendered(seen, view, height=30, problem=""))
    return console.export_text()


def test_a_detail_stays_with_its_handler():
    seen = look(1.0, handler("aaa", depth=2), handler("bbb", depth=1))
    view = pressed(View(), "\r", [row.key for row in seen.sorted(Sort.DEPTH)])
    later = look(2.0, handler("aaa", depth=2), handler("bbb", depth=9), before=seen)
    for one in (seen, later):
        assert "w/p/handlers/aaa" in shown(one, view)
    gone = look(3.0, handler("bbb", depth=9), before=later)
    assert "handlers/" not in shown(gone, view)  # the list again, and nobody else's detail
    assert "bbb" in shown(gone, view)


def test_a_detail_shows_what_happened_to_its_handler():
    failed = [
        FailureNote("on_p", "pp.1", "KeyError('of the pattern')", 1.0, "w/p/handlers/pp.*"),
        FailureNote("on_q", "pp.1", "KeyError('of the channel')", 1.0, "w/p/handlers/pp.1"),
    ]
    gaps = [
        GapNote("pattern", name, 1.0, 2.0, f"about {name}", f"w/p/handlers/{of}")
        for name, of in (("pp.*", "pp.*"), ("pp.1", "pp.1"), ("a/b", "a_b"), ("c", "a_b"))
    ]
    snapshot = msgspec.structs.replace(
        HEALTHY,
        handlers=(handler("pp.*"), handler("pp.1"), handler("a_b")),
        recent_failures=tuple(failed),
        recent_gaps=tuple(gaps),
    )
    seen = Look.of(Stats(YES, YES, worker(snapshot)), None)
    pattern, channel, slashed = seen.rows
    assert [note.handler for note in seen.failures(pattern)] == ["on_p"]
    assert [note.handler for note in seen.failures(channel)] == ["on_q"]
    assert [gap.reason for gap in seen.gaps(pattern)] == ["about pp.*"]
    # A handler of several channels has the gaps of all of them.
    assert [gap.reason for gap in seen.gaps(slashed)] == ["about a/b", "about c"]
    text = shown(seen, View(detail=True, chosen=pattern.key))
    assert "failure    " in text
    assert "of the pattern" in text


async def test_a_failure_knows_its_handler(server):
    app = make_worker(server, on_failure=Failures())

    @app.pattern("pp.*")
    async def on_p(message) -> None:
        raise RuntimeError("out of tea")

    async with app, Redis(server.host, server.port) as client:
        await client.publish("pp.1", "x")
        await eventually(lambda: app.snapshot().recent_failures)
        snapshot = app.snapshot()
    seen = Look.of(Stats(YES, YES, worker(snapshot)), None)
    (row,) = seen.rows
    assert [note.error for note in seen.failures(row)] == ["RuntimeError('out of tea')"]


async def test_without_a_terminal_it_prints_one_look(server):
    app = make_worker(server, name="shop")

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    async with HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http, app:
        host, port = http.address
        program = await run_mailslot("top", f"{host}:{port}")
    assert program.process.returncode == 0
    text = "\n".join(program.out)
    assert "shop  ready" in text
    assert "orders" in text


async def test_no_worker_to_watch_is_one_sentence():
    program = await run_mailslot("top", "127.0.0.1:1")
    assert program.process.returncode == 3
    assert program.err == [
        "mailslot: no worker answers at 127.0.0.1:1: [Errno 111] Connection refused"
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
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
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
            await tmux.shows("shop  degraded", "handler beta failed on 1 of its 1", "gap ")
            await tmux.press("q")
            await tmux.shows("DONE 0")
        finally:
            await tmux.run("kill-server")


async def on_top(tmux: Tmux, name: str) -> bool:
    lines = [line.split() for line in (await tmux.run("capture-pane", "-p")).splitlines()]
    names = [line[0] for line in lines if line and line[0] in ("alpha", "beta")]
    return names[:1] == [name]
