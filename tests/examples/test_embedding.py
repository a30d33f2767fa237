"""The programs of docs/embedding.md run as they stand, under uvicorn, with each framework."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples.web import uvicorn
from tests.pubsub.helpers import numsub
from tests.servers import ask
from tests.support import eventually

pytestmark = pytest.mark.embedded_only

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
DJANGO_SETTINGS = """
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
"""
DJANGO_URLS = """
from django.http import JsonResponse
from django.urls import path
urlpatterns = [path("hello", lambda request: JsonResponse({"path": request.path}))]
"""


def programs() -> dict[str, str]:
    """The complete programs of the page, by the framework that each one imports last."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    whole = [text for text in found if "status_app(worker)" in text]
    return {
        next(n for n in ("django", "litestar", "fastapi", "starlette") if n in text): text
        for text in whole
    }


@pytest.mark.parametrize("framework", ["django", "litestar", "fastapi", "starlette"])
async def test_the_page_s_program_consumes_and_shows_its_worker(server, tmp_path, framework):
    (tmp_path / "program.py").write_text(programs()[framework])
    (tmp_path / "settings.py").write_text(DJANGO_SETTINGS)
    (tmp_path / "urls.py").write_text(DJANGO_URLS)
    options = ("--app-dir", str(tmp_path))
    async with uvicorn("program:api", *options, cwd=tmp_path, env={"REDIS_URL": server.url}) as web:
        channel = "changed" if framework == "fastapi" else "news"
        await eventually(lambda: numsub(server, channel) == 1, 30)
        await eventually(web.is_ready, 30, 0.05)
        assert await web.status("/worker/live") == 200
        assert (await web.get("/worker/tree"))["id"] == "worker"
        page = await web.client.get("/worker/", follow_redirects=True)
        assert page.headers["content-type"].startswith("text/html")
        assert page.url.path == "/worker/"
        if framework != "django":  # which answers that path itself, as all that is not mounted
            bare = await web.client.get("/worker", follow_redirects=True)
            assert bare.text == page.text
        assert await web.status("/worker/nothing") == 404
        if framework == "django":
            assert await web.get("/hello") == {"path": "/hello"}


GIVES_UP = """
from fastapi import FastAPI
from actors import Actor, Worker
import os
worker = Worker(os.environ["REDIS_URL"], intensity=1, on_give_up="exit", fan_out=True)
@worker.actor(name="fragile")
class Fragile(Actor):
    def receive(self, message):
        raise RuntimeError("a bad message")
@worker.channel("news")
async def on_news(text: str):
    worker.system.lookup("fragile").tell(text)
api = FastAPI(lifespan=worker.lifespan)
"""


@pytest.mark.parametrize("processes", [1, 2])
async def test_exit_ends_the_process_and_uvicorn_replaces_it_among_several(
    server, tmp_path, processes
):
    (tmp_path / "program.py").write_text(GIVES_UP)
    options, env = ("--app-dir", str(tmp_path)), {"REDIS_URL": server.url}
    async with uvicorn("program:api", *options, env=env, processes=processes) as web:
        await eventually(lambda: numsub(server, "news") == processes, 30)
        for _ in range(2):
            ask(server, "PUBLISH", "news", "x")
        await web.says("worker_ends_program", times=processes)
        if processes == 1:
            assert await web.ends() != 0
        else:
            await web.says("Application startup complete", times=2 * processes)
            await eventually(lambda: numsub(server, "news") == processes, 30)
