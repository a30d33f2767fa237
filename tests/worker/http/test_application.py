"""The ASGI application by itself, with what different servers and frameworks give to it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.worker.asgi import status_app
from actors.worker.http.answer import Answer, Request, Route
from actors.worker.http.application import Application
from actors.worker.http.hosts import may_ask
from tests.worker.helpers import make_worker


async def call(application: Application, path: str, **scope: Any) -> list[dict[str, Any]]:
    """Return what ``application`` sends for a request."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    full = {"type": "http", "method": "GET", "path": path, "headers": [], **scope}
    await application(full, receive, send)
    return sent


async def status(application: Application, path: str, **scope: Any) -> int:
    return int((await call(application, path, **scope))[0]["status"])


def broken(_: Request) -> Answer:
    raise RuntimeError("no snapshot")


@pytest.fixture
def application() -> Application:
    return Application(
        {
            "/": Route(lambda _: Answer(b"page")),
            "/a": Route(lambda _: Answer(b"a")),
            "/b": Route(broken),
        }
    )


@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        ("", "/a"),
        ("/worker", "/worker/a"),  # the path with the mount at its beginning
        ("/worker", "/a"),  # the framework has taken the mount away
        ("/worker/", "/worker/a"),
        ("", "/a/"),
        ("/a", "/a/a"),
        ("/deep/er", "/deep/er/a"),
    ],
)
async def test_paths_are_below_the_mount(application, root_path, path):
    start, body = await call(application, path, root_path=root_path)
    assert (start["status"], body["body"]) == (200, b"a")


async def test_a_path_that_only_begins_like_the_mount_is_another_one(application):
    assert await status(application, "/workers/a", root_path="/worker") == 404


@pytest.mark.parametrize(
    ("scope", "location"),
    [
        ({"path": "/worker", "root_path": "/worker"}, b"worker/"),
        ({"path": "/", "raw_path": b"/worker"}, b"worker/"),
        ({"path": "/a b", "root_path": "/a b"}, b"a%20b/"),
        ({"path": "/x//evil", "root_path": "/x//evil"}, b"evil/"),
    ],
)
async def test_the_page_without_its_slash_leads_to_it(application, scope, location):
    start, _ = await call(application, **scope)
    assert start["status"] == 307
    assert dict(start["headers"])[b"location"] == location


async def test_head_has_the_length_and_no_body(application):
    start, body = await call(application, "/a", method="HEAD")
    assert dict(start["headers"])[b"content-length"] == b"1"
    assert body["body"] == b""


async def test_other_methods_are_refused(application):
    assert await status(application, "/a", method="POST") == 405


async def test_an_answer_that_fails_is_an_error_of_the_server(application):
    start, body = await call(application, "/b")
    assert (start["status"], body["body"]) == (500, b"RuntimeError\n")


async def test_websockets_are_refused_and_lifespans_are_not_known(application):
    assert await call(application, "/a", type="websocket") == [{"type": "websocket.close"}]
    with pytest.raises(ValueError, match="speaks http, not lifespan"):
        await call(application, "/a", type="lifespan")


async def test_what_is_mounted_shows_its_worker():
    application = status_app(make_worker())
    assert await status(application, "/any/live", root_path="/any") == 200
    assert await status(application, "/any/ready", root_path="/any") == 503


@pytest.mark.parametrize(
    ("host", "listens_on", "name", "may"),
    [
        ("127.0.0.1:80", "127.0.0.1", "127.0.0.1", True),
        ("LocalHost", "127.0.0.1", "127.0.0.1", True),
        ("[::1]:80", "::1", "::1", True),
        ("worker.local:80", "127.0.0.1", "Worker.local", True),
        ("worker.local", "127.0.0.1", "127.0.0.1", False),
        ("evil.example", "::1", "::1", False),
        ("evil.example", "10.0.0.1", "10.0.0.1", True),
        ("a:b:c", "127.0.0.1", "127.0.0.1", False),
        ("", "127.0.0.1", "127.0.0.1", False),
        (None, "127.0.0.1", "127.0.0.1", True),
    ],
)
def test_whose_host_may_ask(host, listens_on, name, may):
    assert may_ask(host, listens_on=listens_on, name=name) is may
