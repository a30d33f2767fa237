"""docs/actors.md: its program runs, its other snippets at least parse."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "actors.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_docs_the_first_snippet_runs():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", SNIPPETS[0]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "42"
    assert lines[1:] == [
        "system (supervisor) running",
        "└─ counter (actor) running mailbox=0 processed=2",
    ]


@pytest.mark.parametrize("number", range(1, len(SNIPPETS)))
def test_docs_the_other_snippets_parse(number):
    ast.parse("async def snippet():\n" + re.sub("^", "    ", SNIPPETS[number], flags=re.MULTILINE))


def test_docs_every_rule_is_there_and_has_a_test():
    tests = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for number in range(1, 9):
        assert f"**A{number} " in PAGE
        assert f"def test_a{number}_" in tests
