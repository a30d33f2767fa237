"""quickstart.py and background_consumer.py as a user meets them: as processes, by their output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_quickstart_runs_the_reference_programs():
    done = run("examples.quickstart")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "hello"
    assert {"first hello", "second world"} == set(lines[:-1])


def test_background_consumer_goes_on_after_a_lost_connection():
    done = run("examples.background_consumer")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "tea costs 3"
    assert lines[1].startswith("gap of ")
    assert lines[2] == "tea costs 4 after a lost connection"
    assert "app (supervisor) running" in lines


def test_an_example_without_a_server_ends_with_an_error():
    done = run("examples.quickstart", "redis://127.0.0.1:1")
    assert done.returncode != 0
    assert "127.0.0.1:1" in done.stderr
