"""Builds the image of examples/deploy on a base image that is made from scratch.

Nothing is pulled: the base image holds the Python that runs the suite, its pip and a shell, as
python:3.13-slim would, and the packages that the image installs.
"""

from __future__ import annotations

import io
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pip
import pytest

from tests.servers.image import add_file, add_text, libraries

__all__ = ["build", "build_base", "download_packages"]

ROOT = Path(__file__).parents[3]
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_BASE = "mailslot-tests/python:base"
_SHOP = "mailslot-tests/shop:1.0"

_BASE_DOCKERFILE = b"""FROM scratch
COPY rootfs/ /
ENV PATH=/usr/local/bin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/packages
"""
_PIP = b"""#!/bin/sh
exec python /usr/local/lib/pip "$@"
"""
#: Libraries that wheels for Linux may take for granted; they lie beside the C library.
_GRANTED = ("libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "librt.so.1")
_LEFT_OUT = {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data"}
_LEFT_OUT |= {"site-packages", "test", "tests", "tkinter", "turtledemo"}


def download_packages(folder: Path) -> None:
    """Put what the image is built of into ``folder``; skip the test where pip gets nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = [*project["project"]["dependencies"], *extras["cli"], *extras["metrics"]]
    needed += project["build-system"]["requires"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", folder, *needed], capture_output=True, text=True, timeout=150
    )
    if done.returncode != 0:
        pytest.skip(f"pip downloads no packages: {done.stderr.strip().splitlines()[-1]}")


def build_base(client: Any, packages: Path) -> str:
    """Build the base image; return its tag. ``client`` is the Docker SDK's."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        add_text(tar, "Dockerfile", _BASE_DOCKERFILE)
        needed = set()
        for file, name in _base_files(packages):
            add_file(tar, file, f"rootfs{name}")
            if _is_elf(file):
                needed |= set(libraries(file))
        (c_library,) = [library for library in needed if library.name.startswith("libc.")]
        needed |= {path for name in _GRANTED if (path := c_library.with_name(name)).exists()}
        for library in sorted(needed):
            add_file(tar, library, f"rootfs{library}")
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"rootfs/usr/local/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, _VERSION
            tar.addfile(link)
        add_text(tar, "rootfs/usr/local/bin/pip", _PIP, mode=0o755)
        for name, mode in (("tmp", 0o1777), ("proc", 0o755), ("dev", 0o755), ("sys", 0o755)):
            folder = tarfile.TarInfo(f"rootfs/{name}")
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
    context.seek(0)
    return _built(client, _BASE, fileobj=context)


def _is_elf(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _base_files(packages: Path) -> Iterator[tuple[Path, str]]:
    """Yield files of this machine, and where the base image has them."""
    yield Path(sys.executable).resolve(), f"/usr/local/bin/{_VERSION}"
    yield Path("/bin/sh"), "/bin/sh"
    for path in packages.iterdir():
        yield path, f"/packages/{path.name}"
    folders = [(Path(pip.__file__).parent, "/usr/local/lib/pip")]
    folders.append((Path(sysconfig.get_path("stdlib")), f"/usr/local/lib/{_VERSION}"))
    for folder, to in folders:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and path.suffix != ".a" and not _LEFT_OUT.intersection(inside.parts):
                yield path, f"{to}/{inside}"


def build(client: Any, base: str) -> str:
    """Build the Dockerfile of examples/deploy on ``base``, without a network; return the tag."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name in ("pyproject.toml", "README.md", "LICENSE", "actors", "supervisor", "examples"):
            tar.add(ROOT / name, name, filter=_source)
    context.seek(0)
    return _built(
        client,
        _SHOP,
        fileobj=context,
        dockerfile="examples/deploy/Dockerfile",
        buildargs={"BASE": base},
        network_mode="none",
    )


def _built(client: Any, tag: str, **options: Any) -> str:
    import docker.errors

    try:
        client.images.build(custom_context=True, tag=tag, rm=True, **options)
    except docker.errors.BuildError as error:
        print("".join(part.get("stream", "") for part in error.build_log))
        raise
    return tag


def _source(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith("__pycache__") else entry
