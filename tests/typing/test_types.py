"""What users write is typed: examples, the programs in README and docs, and cases of our own.

In the cases a line that a checker must refuse ends with an ignore comment: both checkers complain
of one that is not needed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.typing.checkers import PATIENCE, ROOT, mypy, pyright
from tests.typing.snippets import MODULES, UNTYPED, modules, snippets

pytestmark = pytest.mark.timeout(PATIENCE)

CHECKERS = [mypy, pyright]


@pytest.fixture
def snippet_files(tmp_path: Path) -> list[Path]:
    files = []
    for name, text in modules():
        files.append(tmp_path / f"{name}.py")
        files[-1].write_text(text)
    return files


@pytest.mark.parametrize("check", CHECKERS)
def test_programs_of_users_are_typed(check, snippet_files, tmp_path):
    examples = sorted((ROOT / "examples").rglob("*.py"))
    cases = sorted(Path(__file__).with_name("cases").glob("*.py"))
    assert examples
    assert cases
    assert check([*examples, *cases, *snippet_files], tmp_path) == []


@pytest.mark.parametrize("check", CHECKERS)
def test_a_checker_finds_what_is_wrong(check, tmp_path):
    """Otherwise the other test proves nothing."""
    (wrong := tmp_path / "wrong.py").write_text(
        "from actors import Redis, Worker\n\n"
        "async def publish(client: Redis[str]) -> str:\n"
        "    return await client.publish('a', 'b')\n\n"
        "def name(app):\n    return app.name\n"
    )
    found = check([wrong], tmp_path)
    assert any("wrong.py:4" in line for line in found), found
    assert any("wrong.py:6" in line for line in found), found


def test_no_program_is_left_out():
    for page in {page for page, _, _ in MODULES.values()}:
        checked = [n for where, numbers, _ in MODULES.values() if where == page for n in numbers]
        assert sorted([*checked, *UNTYPED.get(page, ())]) == list(range(snippets(page))), page
