"""The page at ``/`` in a real browser, without a head: what it shows."""

from __future__ import annotations

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

from .browser import browser_page, needs_browser, rows, shows

pytestmark = [pytest.mark.embedded_only, needs_browser]


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    async with browser_page() as page:
        yield page


async def test_the_page_shows_a_worker_and_updates_itself(server, page):
    app = make_worker(server, on_failure=Failures(), probe_interval=5.0, name="shop")

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    @app.channel("<b>bold", breaker=Breaker(1, 60))
    async def markup(order: Order) -> None:
        raise RuntimeError("<i>no</i>")

    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        await page.goto(http.url)
        await shows(page, "#ready", "ready")
        await shows(page, "#name", "shop")
        assert await page.title() == "shop"
        await shows(page, "#paths", "server")
        for _ in range(3):
            await client.publish("orders", '{"id": 1}')
        await client.publish("<b>bold", '{"id": 1}')
        await shows(page, "#totals", "1 failed")
        await shows(page, "#handlers tbody", "breaker open")
        await shows(page, "#failures", "RuntimeError('<i>no</i>')")  # as text, not as markup
        assert await page.locator("#failures i, #handlers td b").count() == 0
        assert await rows(page, 0, 2) == [["<b>bold", "1"], ["orders", "3"]]
        await page.click("th[data-sort=handled] button")
        assert await rows(page, 0) == [["orders"], ["<b>bold"]]
        await page.keyboard.press("Enter")
        assert await rows(page, 0) == [["<b>bold"], ["orders"]]
        await page.click("nav >> text=Tree")
        await shows(page, "#tree", "orders")
        server.kill()
        await shows(page, "#ready", "not ready")
        await shows(page, "#reasons", "not subscribed")
        await server.start()
        await eventually(lambda: app.snapshot().gaps > 0, 15)
        await page.click("nav >> text=Overview")
        await shows(page, "#gaps", "channel orders")
        assert page.errors == []  # later, the port is closed


async def test_the_page_shows_the_first_error_of_a_handler_that_fails_everything(server, page):
    app = make_worker(server, on_failure=Failures(), probe_interval=None)
    errors = iter([OSError("no database"), KeyError("a"), KeyError("b")])

    @app.channel("bad")
    async def fails(order: Order) -> None:
        raise next(errors)

    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        for number in range(3):
            await client.publish("bad", f'{{"id": {number}}}')
        await page.goto(http.url)
        await shows(page, "#ready", "degraded")
        await shows(page, "#reasons", "handler bad failed on 3 of its 3")
        await shows(page, "#reasons", "OSError('no database')")
        await shows(page, "#failures", "OSError('no database')")
        await shows(page, "#failures", "KeyError('b') (2 times since")
        assert page.errors == []  # later, the port is closed


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
        await page.goto(f"{http.url}/#/tree")
        await shows(page, "#tree", "recovery=live")
        assert page.errors == []  # later, the port is closed
