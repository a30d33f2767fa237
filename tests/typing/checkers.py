"""Runs mypy and pyright, both strict, over files; returns what they complain of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Seconds that a checker may take on a machine that is busy with other tests.
PATIENCE = 300

_PYRIGHT_OPTIONS = {
    "typeCheckingMode": "strict",
    # What a checker must refuse has an ignore comment: one that is not needed is an error.
    "reportUnnecessaryTypeIgnoreComment": "error",
    "enableTypeIgnoreComments": True,
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT)],
}


def mypy(files: Sequence[Path], folder: Path) -> list[str]:
    """Return the complaints of mypy --strict about ``files``; ``folder`` is where modules are."""
    (config := folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\npython_version = 3.11\nmypy_path = {ROOT}:{folder}\n"
        "explicit_package_bases = True\nnamespace_packages = True\n"
    )
    done = _run(
        *("mypy", "--config-file", str(config), "--no-error-summary"),
        *("--cache-dir", str(ROOT / ".mypy_cache" / "strict")),
        *map(str, files),
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout.splitlines()


def pyright(files: Sequence[Path], folder: Path) -> list[str]:
    """Return the complaints of pyright in strict mode about ``files``.

    It runs as basedpyright, whose wheel has everything in it: nothing is fetched when it runs.
    """
    config = folder / "pyrightconfig.json"
    include = [os.path.relpath(one, folder) for one in files]
    config.write_text(json.dumps({**_PYRIGHT_OPTIONS, "include": include}))
    done = _run(
        *("basedpyright", "--project", str(config)),
        *("--pythonpath", sys.executable, "--outputjson"),
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files), report["summary"]
    return [
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']} ({one.get('rule')})"
        for one in report["generalDiagnostics"]
    ]


def _run(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
