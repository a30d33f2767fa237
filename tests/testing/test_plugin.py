"""The fixtures for users' tests, in a pytest of their own; and what docs/testing.md shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "actors.testing.plugin"
#: The plugin itself and the packages above it, each an `__init__` that imports next to nothing.
LOADED_WITH_THE_PLUGIN = {
    "actors",
    "actors._shadow",
    "actors.testing",
    PLUGIN,
    "supervisor",
    "supervisor.lazy_names",
}
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)

ALL_FIXTURES = """
import asyncio, pytest
from actors import Redis, RedisCluster
from actors.testing import EmbeddedCluster, EmbeddedServer, Probe, VirtualClock

pytestmark = MARK

@pytest.mark.parametrize("turn", [1, 2])
async def test_the_shared_server_is_emptied(turn, mailslot_url, mailslot_server):
    assert mailslot_server.url == mailslot_url
    async with Redis.from_url(mailslot_url) as client:
        assert await client.execute_command("DBSIZE") == 0
        await client.execute_command("SET", "a", "b")

@pytest.mark.parametrize("turn", [1, 2])
async def test_the_shared_cluster_outlives_the_loop(turn, mailslot_cluster_url):
    async with RedisCluster.from_url(mailslot_cluster_url, decode_responses=True) as client:
        assert await client.execute_command("GET", "a") is None
        await client.execute_command("SET", "a", "b")

async def test_an_own_cluster(embedded_cluster):
    assert isinstance(embedded_cluster, EmbeddedCluster)
    embedded_cluster.kill(await embedded_cluster.primary_for("orders"))

async def test_an_own_server(embedded_server, mailslot_server):
    embedded_server.kill()
    await embedded_server.start()
    assert embedded_server.port != mailslot_server.port

async def test_probe_and_clock(mailslot_probe, mailslot_clock):
    assert mailslot_probe.messages == []
    mailslot_clock.call_later(60, lambda: mailslot_probe("late"))
    await mailslot_clock.advance(60)
    assert await mailslot_probe.expect("late") == "late"

def test_in_a_plain_test(embedded_server):
    assert embedded_server.running
"""


def run_pytest(folder: Path, *args: str) -> str:
    """Run pytest in ``folder`` with our plugin, as a user has it; return what it says."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:valkey", "-W", "error"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not entry_points(group="pytest11", name="mailslot"):  # installed before there was one
        env["PYTEST_PLUGINS"] = PLUGIN
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_entry_point_names_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"mailslot": PLUGIN}
    assert "actors" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_every_fixture_works(tmp_path, mode):
    mark = "[]" if mode == "auto" else "pytest.mark.asyncio"
    text = ALL_FIXTURES.replace("MARK", mark)
    if mode == "strict":
        text = text.replace("pytestmark = pytest.mark.asyncio\n", "").replace(
            "async def", "@pytest.mark.asyncio\nasync def"
        )
    (tmp_path / "test_all.py").write_text(text)
    said = run_pytest(tmp_path, "-o", f"asyncio_mode={mode}")
    assert "8 passed" in said


def test_what_the_docs_show_runs_and_is_ten_lines(tmp_path):
    worker, test = SNIPPETS[:2]
    (tmp_path / "shop.py").write_text(worker)
    (tmp_path / "test_shop.py").write_text(test)
    assert len([line for line in test.splitlines() if line.strip()]) <= 10
    # Twice: the worker of the module runs for each test that enters it.
    again = test.partition("async def ")[2].replace("is_billed", "is_billed_again")
    with (tmp_path / "test_shop.py").open("a") as file:
        file.write(f"\n\nasync def {again}")
    assert "2 passed" in run_pytest(tmp_path, "-o", "asyncio_mode=auto")


def test_who_does_not_use_it_pays_nothing(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    heavy = {'hiredis', 'msgspec', 'structlog'}\n"
        f"    assert {PLUGIN!r} in sys.modules\n"
        "    assert not heavy & sys.modules.keys()\n"
        "    ours = {m for m in sys.modules if m.partition('.')[0] in {'actors', 'supervisor'}}\n"
        f"    assert ours == {LOADED_WITH_THE_PLUGIN!r}\n"
    )
    assert "1 passed" in run_pytest(tmp_path)


def test_the_library_needs_no_pytest():
    code = "import sys, actors.worker.process.runner; from actors.testing import *"
    code += "; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
