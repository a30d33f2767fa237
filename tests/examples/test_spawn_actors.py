"""examples/spawn_actors.py as a user meets it: as a process, by its output."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_spawn_actors_tells_its_story_in_two_seconds():
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-m", "examples.spawn_actors"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < 10  # two, on a machine that does nothing else
    lines = [line.strip() for line in done.stdout.splitlines()]
    story = [
        "in the till: 1050 cents",
        "prep opens (incarnation 1)",
        "grill opens (incarnation 1)",
        "pass opens (incarnation 1)",
        "served: steak from the grill",
        "failed: Order(dish='fire') at shop/kitchen/grill: the pan is on fire",
        "grill opens (incarnation 2)",
        "pass opens (incarnation 2)",
        "served by the same reference: salad from the grill",
        "the manager is told: shop/till ended (shutdown)",
        "ticks: some",
        "shop (supervisor) running",
        "stopped in order",
    ]
    assert [line for line in lines if line in story] == story
    assert "prep opens (incarnation 2)" not in lines
    (grill,) = [line for line in lines if "grill (actor)" in line]
    assert re.search(r"running restarts=1 mailbox=0 processed=3 \[crashed: ", grill)
