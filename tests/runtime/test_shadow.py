"""A foreign package called ``supervisor`` is told at import, in one clear sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _import_actors(*path: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path[:0] = {[str(p) for p in path]}; import actors"
    return subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=30
    )


def test_shadow_a_foreign_supervisor_is_named_with_what_to_do(tmp_path):
    package = tmp_path / "supervisor"
    package.mkdir()
    (package / "__init__.py").write_text("# supervisord's\n")
    done = _import_actors(tmp_path, ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: the package 'supervisor' at {package}")
    assert "is not mailslot's: supervisord" in last
    assert "virtual environment of its own" in last


def test_shadow_a_broken_supervisor_is_named_with_what_to_do(tmp_path):
    package = tmp_path / "supervisor"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_module\n")
    done = _import_actors(tmp_path, ROOT)
    assert "ImportError: mailslot's package 'supervisor' cannot be imported" in done.stderr
    assert "no_such_module" in done.stderr


def test_shadow_our_own_supervisor_imports():
    done = _import_actors(ROOT)
    assert (done.returncode, done.stderr) == (0, "")
