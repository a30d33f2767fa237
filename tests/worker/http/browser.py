"""A page of a real browser without a head, for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support import eventually

__all__ = ["BROWSER", "browser_page", "is_seen", "needs_browser", "one_browser", "rows", "shows"]

BROWSER = os.environ.get("MAILSLOT_TEST_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no browser on PATH: apt-get install chromium, for instance"
)


@asynccontextmanager
async def one_browser() -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """A function that opens a page in a window of its own, with the options of that window.

    ``errors`` of a page has what scripts raised and the console told.
    """
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])

        async def open_page(**options: Any) -> Any:
            page = await browser.new_page(**options)
            page.errors = []
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on(
                "console",
                lambda said: page.errors.append(said.text) if said.type == "error" else None,
            )
            return page

        try:
            yield open_page
        finally:
            await browser.close()


@asynccontextmanager
async def browser_page(**options: Any) -> AsyncIterator[Any]:
    """A page in a browser of its own."""
    async with one_browser() as open_page:
        yield await open_page(**options)


async def shows(page: Any, selector: str, what: str) -> None:
    """Wait until what the selector finds has ``what`` in its text."""

    async def seen() -> bool:
        return what in await page.inner_text(selector)

    await eventually(seen, 20, 0.05)


async def is_seen(page: Any, selector: str) -> None:
    """Wait until the selector finds something that is seen."""
    await page.wait_for_selector(selector, state="visible", timeout=20_000)


async def rows(page: Any, *columns: int) -> list[list[str]]:
    """The texts of some columns of the table of handlers."""
    cells = await page.locator("#handlers tbody tr").evaluate_all(
        "(rows, columns) => rows.map(row => columns.map(at => row.cells[at].textContent))",
        list(columns),
    )
    return [list(row) for row in cells]
