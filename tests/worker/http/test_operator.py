"""Actions over HTTP: for whoever has the token, and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from actors.worker import Worker
from actors.worker.http.of_worker import endpoints_of
from actors.worker.http.port import HttpPort
from supervisor import SpecError
from tests.support import eventually
from tests.worker.helpers import make_worker
from tests.worker.program import mailslot, write_app
from tests.worker.web import Reply, get, post

pytestmark = pytest.mark.embedded_only

TOKEN = "correct horse battery"
BEARER = f"Bearer {TOKEN}"


@asynccontextmanager
async def serving(app: Worker[Any]) -> AsyncIterator[HttpPort]:
    @app.channel("orders/new")
    async def on_order(message: Any) -> None: ...

    async with HttpPort(("127.0.0.1", 0), endpoints_of(app)) as http, app:
        yield http


def action(app: Worker[Any], name: str) -> str:
    (handler,) = app.snapshot().handlers
    return f"/actions/{name}?process=0&path={quote(handler.path, safe='')}"


async def test_with_the_token_a_handler_is_paused_and_resumed(server):
    app = make_worker(server, http_token=TOKEN)
    async with serving(app) as http:
        assert (await get(http.address, "/stats")).json()["actions"] is True
        reply = await post(http.address, action(app, "pause"), BEARER)
        assert (reply.status, reply.body) == (200, b"orders_new is paused: its messages wait\n")
        assert app.snapshot().handlers[0].paused
        ready = (await get(http.address, "/ready")).json()
        assert ready["ok"]
        assert "is paused" in ready["degraded"][0]
        assert (await post(http.address, action(app, "resume"), BEARER)).status == 200
        assert not app.snapshot().handlers[0].paused


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xe9\xff",
    ],
)
async def test_without_the_token_nothing_happens(server, authorization):
    app = make_worker(server, http_token=TOKEN)
    async with serving(app) as http:
        for name in ("pause", "resume", "close-breaker", "drain"):
            reply = await post(http.address, action(app, name), authorization)
            assert (reply.status, reply.body) == (401, b"the token is missing or wrong\n")
        assert not app.snapshot().handlers[0].paused
        assert not app._stop_asked.is_set()


async def test_where_no_token_is_configured_there_are_no_actions(server):
    app = make_worker(server)
    async with serving(app) as http:
        assert (await get(http.address, "/stats")).json()["actions"] is False
        for authorization in (None, "Bearer ", "Bearer None", BEARER):
            reply = await post(http.address, action(app, "drain"), authorization)
            assert reply.status == 404
            assert b"--http-token" in reply.body
        assert not app._stop_asked.is_set()


async def test_only_a_post_acts_and_other_paths_take_none(server):
    app = make_worker(server, http_token=TOKEN)
    async with serving(app) as http:
        assert (await get(http.address, action(app, "pause"))).status == 405
        assert (await post(http.address, "/stats", BEARER)).status == 405
        unknown = await post(http.address, "/actions/kill", BEARER)
        assert unknown.status == 404
        assert "there is /actions/pause" in unknown.body.decode()
        assert not app.snapshot().handlers[0].paused


async def test_what_cannot_be_done_says_why(server):
    app = make_worker(server, http_token=TOKEN)

    async def refused(path: str) -> Reply:
        return await post(http.address, path, BEARER)

    async with serving(app) as http:
        reply = await refused("/actions/pause?path=nowhere%0A")
        assert (reply.status, reply.body) == (409, b"there is no handler 'nowhere\\n'\n")
        assert (await refused("/actions/pause?process=x&path=a")).status == 400
        reply = await refused(action(app, "close-breaker"))
        assert (reply.status, reply.body[-10:]) == (409, b"is closed\n")


@pytest.mark.parametrize(
    "token", ["", "short", 1234567890123456, "with a line\nbreak in it", "é" * 16]
)
def test_a_token_that_is_no_good_is_refused_at_the_start(token):
    app = make_worker(http_token=token)
    app.channel("orders")(lambda message: None)
    with pytest.raises(SpecError, match="http_token must be"):
        app.validate()


APP = """
app = Worker(drain_timeout=10, probe_interval=None)
for name in ("a", "b", "c", "d"):
    @app.channel(name)
    async def handle(message): ...
"""


@pytest.mark.parametrize("processes", [1, 2])
async def test_mailslot_run_takes_the_token_and_acts_in_the_right_process(
    server, tmp_path, monkeypatch, processes
):
    monkeypatch.setenv("MAILSLOT_HTTP_TOKEN", TOKEN)
    write_app(tmp_path, APP)
    args = ["run", "shop:app", "--url", server.url, "--http", "127.0.0.1:0"]
    args += ["--log-format", "json", "--processes", processes]
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says('"running"', times=processes)

        async def handlers() -> list[tuple[int, dict[str, Any]]]:
            stats = (await get(program.http, "/stats")).json()
            found = stats["worker"]["snapshots"]
            return [(one["process"], handler) for one in found for handler in one["handlers"]]

        async def paused(expected: list[str]) -> bool:
            return [one["name"] for _, one in await handlers() if one["paused"]] == expected

        async def all_there() -> bool:
            return len(await handlers()) == 4

        await eventually(all_there, 20)
        process, handler = (await handlers())[-1]
        where = f"process={process}&path={quote(handler['path'], safe='')}"
        assert (await post(program.http, f"/actions/pause?{where}", BEARER)).status == 200
        await eventually(lambda: paused([handler["name"]]), 20)
        assert (await post(program.http, f"/actions/resume?{where}", BEARER)).status == 200
        await eventually(lambda: paused([]), 20)
        for wrong in ("process=7&path=a", "process=0&path=nowhere"):
            assert (await post(program.http, f"/actions/pause?{wrong}", BEARER)).status == 409
        assert (await post(program.http, "/actions/drain", "Bearer wrong")).status == 401
        assert (await post(program.http, "/actions/drain", BEARER)).status == 200
        assert await program.ends(60) == 0
    assert not any(TOKEN in line for line in [*program.err, *program.out])
