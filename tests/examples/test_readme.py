"""Programs in README.md and docs/worker.md run as they stand; links and file names are right."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import actors
from actors import Redis
from actors.testing import EmbeddedServer
from actors.worker import Next
from tests.support import eventually

ROOT = Path(__file__).parents[2]
DOCS = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "CHANGELOG.md", "examples/deploy/README.md", *DOCS]


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in link]
    assert links or not page.endswith("README.md")
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page):
    names = re.findall(r"`([\w*.-]+/[\w/*.-]+\.(?:py|md|toml))`", prose(page))
    for name in names:
        assert any([*ROOT.glob(name), *(ROOT / "actors").glob(name)]), name


def prose(page):
    return re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)


def anchors(path):
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


async def test_the_snippet_prints_messages_and_gaps():
    snippet, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    async with EmbeddedServer() as server:
        program = snippet.replace("Redis(", f"Redis(port={server.port}, ")
        assert program != snippet
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-c", program), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(20), Redis(port=server.port) as client:
                await eventually(lambda: subscribed(client), timeout=10)
                await client.publish("news", "hello")
                await client.publish("orders", "one pie")
                said = {await line(process) for _ in range(2)}
                assert said == {"news hello", "order one pie"}
                await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                gaps = [await line(process) for _ in range(2)]
                assert all(gap.startswith("Gap(") for gap in gaps), gaps
        finally:
            process.kill()
            await process.communicate()


async def subscribed(client):
    counts = await client.pubsub_numsub("news", "orders")
    return all(counts.values())


async def line(process):
    return (await process.stdout.readline()).decode().strip()


def test_the_worker_that_it_shows_is_the_one_in_examples():
    _, shown, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = [line.strip() for line in (ROOT / "examples/worker.py").read_text().splitlines()]
    assert [line for line in shown.splitlines() if line.strip() not in program] == []


def test_what_the_worker_page_declares_can_run():
    snippet, *_ = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/worker.md").read_text(), re.DOTALL
    )
    names = {name: getattr(actors, name) for name in actors.__all__}
    for name in ("Order", "Entry", "Rate", "Click", "Payment"):
        names[name] = msgspec.defstruct(name, [("customer", str)])
    names |= {"Shop": type("Shop", (), {}), "Next": Next, "Any": Any}
    exec(compile(snippet, "docs/worker.md", "exec"), names)
    app = names["app"]
    app.validate()
    kinds = [route.kind for route in app.routes]
    assert kinds == ["channel", "pattern", "channel", "channel", "shard_channel"]
    assert [len(group.names) for group in app.groups] == [2]
    assert (len(app.actors), len(app.startup_hooks), len(app.shutdown_hooks)) == (1, 1, 1)
    assert len(app.middlewares) == 1
