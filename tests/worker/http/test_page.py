"""The page at ``/`` in a real browser, without a head."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Breaker, Redis
from actors.worker.http.endpoints import endpoints
from actors.worker.http.port import HttpPort
from tests.pubsub.helpers import kill_subscribers
from tests.pubsub.recovery.helpers import publish
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

BROWSER = os.environ.get("MAILSLOT_TEST_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = [
    pytest.mark.embedded_only,
    pytest.mark.skipif(
        BROWSER is None, reason="no browser on PATH: apt-get install chromium, for instance"
    ),
]


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        try:
            page = await browser.new_page()
            page.errors = []
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on(
                "console",
                lambda said: page.errors.append(said.text) if said.type == "error" else None,
            )
            yield page
        finally:
            await browser.close()


async def test_the_page_shows_a_worker_and_updates_itself(server, page):
    app = make_worker(server, on_failure=Failures(), probe_interval=5.0, name="shop")

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    @app.channel("<b>bold", breaker=Breaker(1, 60))
    async def markup(order: Order) -> None:
        raise RuntimeError("<i>no</i>")

    async def text(selector: str) -> str:
        return await page.inner_text(selector)

    async def shows(selector: str, what: str) -> None:
        async def seen() -> bool:
            return what in await text(selector)

        await eventually(seen, 10, 0.05)

    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        await page.goto(http.url)
        await eventually(lambda: is_ready(page), 10)
        assert await page.title() == "shop"
        assert await text("#name") == "shop"
        await shows("#tree", "orders")
        await shows("#paths", "server")
        for _ in range(3):
            await client.publish("orders", '{"id": 1}')
        await client.publish("<b>bold", '{"id": 1}')
        await shows("#totals", "1 failed")
        await shows("#handlers tbody", "open")
        await shows("#failures", "RuntimeError('<i>no</i>')")  # as text, not as markup
        assert await page.locator("#failures i, #handlers td b").count() == 0
        assert await rows(page) == [["<b>bold", "1"], ["orders", "3"]]
        await page.click("th[data-sort=handled]")
        assert [row[0] for row in await rows(page)] == ["orders", "<b>bold"]
        await page.focus("th[data-sort=handled]")
        await page.keyboard.press("Enter")
        assert [row[0] for row in await rows(page)] == ["<b>bold", "orders"]
        server.kill()
        await shows("#ready", "not ready")
        await shows("#reasons", "not subscribed")
        await server.start()
        await eventually(lambda: app.snapshot().gaps > 0, 15)
        await shows("#gaps", "channel orders")
    assert page.errors == []


async def test_the_page_shows_the_first_error_of_a_handler_that_fails_everything(server, page):
    app = make_worker(server, on_failure=Failures(), probe_interval=None)
    errors = iter([OSError("no database"), KeyError("a"), KeyError("b")])

    @app.channel("bad")
    async def fails(order: Order) -> None:
        raise next(errors)

    async def shows(selector: str, *what: str) -> None:
        async def seen() -> bool:
            text = await page.inner_text(selector)
            return all(one in text for one in what)

        await eventually(seen, 20, 0.05)

    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        for number in range(3):
            await client.publish("bad", f'{{"id": {number}}}')
        await page.goto(http.url)
        await shows("#ready", "degraded")
        await shows("#reasons", "handler bad failed on 3 of its 3", "OSError('no database')")
        await shows("#failures", "OSError('no database')", "KeyError('b') (2 times since")
    assert page.errors == []


async def test_the_page_shows_what_recovers(server, page):
    app = make_worker(server, probe_interval=None)

    @app.channel("orders", recover=True)
    async def on_order(message: Any) -> None: ...

    async def shown(*cells: str) -> bool:
        rows: list[list[str]] = await page.locator("#recoveries tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].slice(1).map(cell => cell.innerText))"
        )
        return rows == [list(cells)]

    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        await page.goto(http.url)
        await eventually(lambda: shown("1", "0", "0", "0", "0", "0", "0"), 20, 0.05)
        await publish(client, "orders", "before")
        kill_subscribers(server)
        await publish(client, "orders", *range(10), maxlen=4)
        await eventually(lambda: shown("1", "0", "0", "4", "0", "6", "0"), 20, 0.05)
        assert "recovery=live" in await page.inner_text("#tree")
    assert page.errors == []


async def is_ready(page: Any) -> bool:
    return bool(await page.inner_text("#ready") == "ready")


async def rows(page: Any) -> list[list[str]]:
    """Name and count of each handler, in the order of the table."""
    cells = await page.locator("#handlers tbody tr").evaluate_all(
        "rows => rows.map(row => [row.cells[0].innerText, row.cells[2].innerText])"
    )
    return [list(row) for row in cells]
