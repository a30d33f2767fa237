"""The page at every width, by keyboard and screen reader; and what operators do there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from actors import Actor, Breaker, Redis
from actors.worker import Worker
from actors.worker.asyncapi.document import document
from actors.worker.http.endpoints import endpoints
from actors.worker.http.operator import Operator
from actors.worker.http.port import HttpPort
from actors.worker.http.recorder import Recorder
from actors.worker.run.controls import control
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

from .browser import browser_page, is_seen, needs_browser, one_browser, rows, shows

pytestmark = [pytest.mark.embedded_only, needs_browser]

TOKEN = "correct horse battery"
WIDTHS = (390, 768, 1280)
#: Nothing is wider than the window, or than the part of the page that it is in.
FITS = """document.documentElement.scrollWidth <= innerWidth
    && [...document.querySelectorAll(".wide")].every(one => one.scrollWidth <= one.clientWidth)"""
LONG = "warehouse.stock-levels.europe-central-1.updates"


@asynccontextmanager
async def shop(server: Any) -> AsyncIterator[tuple[Worker[Any], HttpPort]]:
    """A worker with something of everything on its page, and the port that serves it."""
    app = make_worker(
        server, on_failure=Failures(), name="shop", http_token=TOKEN, probe_interval=5.0
    )

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        """Ship an order."""

    @app.channel(LONG, breaker=Breaker(2, 3600))
    async def on_stock(order: Order) -> None:
        raise RuntimeError("the database does not answer")

    @app.pattern("audit.*")
    async def on_audit(message: Any) -> None: ...

    @app.actor
    class Keeper(Actor[Any]):
        async def receive(self, message: Any) -> None: ...

    recorder = Recorder(app.worker_snapshot, every=0.2)
    routes = endpoints(
        app.worker_snapshot,
        document=partial(document, app),
        operator=Operator(TOKEN, partial(control, app)),
        recorder=recorder,
    )
    async with (
        HttpPort(("127.0.0.1", 0), routes) as http,
        app,
        Redis(server.host, server.port) as client,
    ):
        recorder.begin()
        for channel in ("orders", LONG, LONG, "audit.x"):
            await client.publish(channel, '{"id": 1}')
        await eventually(lambda: app.snapshot().failed == 2)
        try:
            yield app, http
        finally:
            recorder.close()


def path_of(app: Worker[Any], name: str) -> str:
    (found,) = [one.path for one in app.snapshot().handlers if one.name == name]
    return found


def views(app: Worker[Any]) -> Sequence[tuple[str, str]]:
    """The address of each view, and what is seen when it is shown."""
    handler = f"/#/actor/0/{quote(path_of(app, LONG), safe='')}"
    return (
        ("/#/", "#handlers tbody tr"),
        (handler, "#actor-charts svg.chart"),
        ("/#/tree", "#tree li li li a"),
        ("/#/actor/0/shop%2FKeeper-1", "#actor-facts dd"),
        ("/#/messages", "#messages-parts td a"),
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_readable_at_every_width(server, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    async with shop(server) as (app, http), one_browser() as open_page:
        for width in WIDTHS:
            page = await open_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            await page.goto(http.url)
            await is_seen(page, "#charts svg.chart")
            for address, selector in views(app):
                await page.goto(http.url + address)
                await is_seen(page, selector)
                where = f"{address} at {width} pixels"
                assert await page.evaluate(FITS), where
                # Names and roles, contrast, landmarks, headings: what a program can check of them.
                found = await axe.run(page)
                assert found.violations_count == 0, f"{where}: {found.generate_report()}"
            assert page.errors == [], width
            await page.close()


async def test_long_names_have_room(server):
    async with shop(server) as (_, http), one_browser() as open_page:
        for width in WIDTHS:
            page = await open_page(viewport={"width": width, "height": 844})
            await page.goto(http.url)
            await is_seen(page, "#handlers tbody tr")
            name = page.locator("#handlers tbody td a", has_text=LONG)
            box = await name.bounding_box()
            assert box["height"] < 80, width  # three lines at the most
            # What tells the state is within the window, and a word, not only a colour.
            state = page.locator("#handlers tbody tr", has_text=LONG).locator("td").last
            assert await state.inner_text() == "breaker open"
            box = await state.bounding_box()
            assert box["x"] >= 0, width
            assert box["x"] + box["width"] <= width
            await page.close()


async def test_charts_show_the_history_and_say_it(server):
    async with shop(server) as (app, http), browser_page() as page:
        await page.goto(http.url)
        chart = page.locator("#charts svg.chart").first

        async def drawn() -> bool:
            return "M" in (await chart.locator("path.s0").get_attribute("d") or "")

        await is_seen(page, "#charts svg.chart")
        await eventually(drawn, 30, 0.2)
        label = await chart.get_attribute("aria-label")
        assert label.startswith("Messages a second, the last hour: handled ")
        assert await page.locator("#charts svg.chart").count() == 6
        await page.hover("#charts figure")
        await page.goto(f"{http.url}/#/actor/0/{quote(path_of(app, LONG), safe='')}")
        await is_seen(page, "#actor-charts svg.chart")
        await page.goto(f"{http.url}/#/actor/0/nobody")
        await shows(page, "#actor-facts", "gone")
        assert not await page.is_visible("#actor-charts")
    assert page.errors == []


async def test_a_search_finds_handlers_failures_and_gaps(server):
    async with shop(server) as (_, http), browser_page() as page:
        await page.goto(http.url)
        await is_seen(page, "#handlers tbody tr")
        await shows(page, "#failures", "the database does not answer")
        await page.get_by_label("Search").fill("ORDERS")
        assert await rows(page, 0) == [["orders"]]
        assert await page.inner_text("#found") == "1 of 3"
        assert await page.locator("#failures li").count() == 0
        await page.get_by_label("Search").fill("")
        assert len(await rows(page, 0)) == 3


async def test_everything_is_reached_by_keyboard_and_focus_stays_across_updates(server):
    async with shop(server) as (_, http), browser_page() as page:
        await page.goto(http.url)
        await is_seen(page, "#handlers tbody tr")
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the content"
        await page.keyboard.press("Enter")
        reached = []
        for _ in range(40):
            await page.keyboard.press("Tab")
            reached.append(await focused(page))
            if reached[-1] == LONG:
                break
        assert {"Search", "handler", "state"} <= set(reached)
        assert reached[-1] == LONG
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        for _ in range(2):  # rows are updated, and stay the same elements
            await next_update(page)
        assert await focused(page) == LONG
        await page.keyboard.press("Enter")
        await shows(page, "#actor-title", LONG)
        assert await page.evaluate("document.activeElement.id") == "actor-title"
        assert await page.title() == f"{LONG} - shop"
    assert page.errors == []


async def next_update(page: Any) -> None:
    """Wait until the page shows an answer that it asked for from now on."""
    await page.wait_for_event("response", lambda answer: answer.url.endswith("/stats"))
    await page.wait_for_event("response", lambda answer: answer.url.endswith("/stats"))


async def focused(page: Any) -> str:
    text: str = await page.evaluate(
        "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
    )
    return text


async def test_a_failure_opens_to_its_traceback_and_stays_open(server):
    async with shop(server) as (app, http), browser_page() as page:
        await page.goto(f"{http.url}/#/actor/0/{quote(path_of(app, LONG), safe='')}")
        await shows(page, "#actor-facts", "RuntimeError('the database does not answer')")
        await page.click("#actor-failures summary")
        await shows(page, "#actor-failures pre", "in on_stock")
        assert 'raise RuntimeError("the database' in await page.inner_text("#actor-failures pre")
        await next_update(page)
        assert await page.is_visible("#actor-failures pre")


async def test_an_operator_pauses_resumes_closes_a_breaker_and_drains(server):
    async with shop(server) as (app, http), browser_page() as page:

        def handler() -> Any:
            return next(one for one in app.snapshot().handlers if one.name == LONG)

        await page.goto(f"{http.url}/#/actor/0/{quote(handler().path, safe='')}")
        await page.click("#pause")
        await shows(page, "#said", "the token is missing or wrong")
        assert not handler().paused
        page.errors.clear()  # the browser logs the 401
        await page.fill("#actor-token", TOKEN)
        await page.click("#pause")
        await shows(page, "#said", "is paused")
        assert handler().paused
        await shows(page, "#actor-facts", "paused")
        await page.click("#pause")
        await eventually(lambda: not handler().paused)
        await page.click("#close-breaker")
        await eventually(lambda: handler().breaker == "closed")
        await page.click("nav >> text=Overview")
        await page.click("#drain")
        await page.keyboard.press("Escape")
        await page.click("#drain")
        assert not app._stop_asked.is_set()
        await page.click("dialog >> text=Yes")
        async with asyncio.timeout(20):
            await app.stop_requested()
    assert page.errors == []


async def test_without_a_token_there_are_no_buttons_and_without_a_document_no_tables(server):
    app = make_worker(server)
    app.channel("orders")(lambda message: None)
    async with (
        HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http,
        app,
        browser_page() as page,
    ):
        await page.goto(f"{http.url}/#/actor/0/{quote(path_of(app, 'orders'), safe='')}")
        await shows(page, "#actor-facts", "running")
        assert not await page.is_visible("#pause")
        await page.goto(f"{http.url}/#/messages")
        await shows(page, "#messages-about", "there is no AsyncAPI document here")


async def test_the_messages_of_a_worker_are_tables(server):
    async with shop(server) as (_, http), browser_page() as page:
        await page.goto(f"{http.url}/#/messages")
        await shows(page, "#messages-about", "shop, unversioned, at redis://")
        for text in ("audit.{part1}", "Ship an order.", "Any text, also none.", "integer"):
            await shows(page, "#messages-parts", text)
        await page.click("#messages-parts td a >> text=Order")
        assert await page.evaluate("document.activeElement.id") == "schema Order"
    assert page.errors == []
