"""The image that containers run: named by ``MAILSLOT_TEST_IMAGE``, or built from scratch.

The built one has the wheel's program and the libraries that it is linked with, and nothing else, so
that no registry is needed.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.testing.servers.binary import wheel_binary

__all__ = ["IMAGE_VARIABLE", "add_file", "add_text", "image_for", "libraries"]

IMAGE_VARIABLE = "MAILSLOT_TEST_IMAGE"

_DOCKERFILE = b"""FROM scratch
COPY rootfs/ /
ENTRYPOINT ["/usr/bin/valkey-server"]
"""


def image_for(client: Any) -> str:
    """Return the image to run, built now unless one is named; ``client`` is the Docker SDK's."""
    named = os.environ.get(IMAGE_VARIABLE)
    if named:
        return named
    binary = wheel_binary()
    assert binary is not None
    tag = "mailslot-tests/valkey:" + ".".join(map(str, binary.version))
    client.images.build(fileobj=_build_context(binary.path), custom_context=True, tag=tag, rm=True)
    return tag


def _build_context(program: Path) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as context:
        add_text(context, "Dockerfile", _DOCKERFILE)
        add_file(context, program, "rootfs/usr/bin/valkey-server")
        for library in libraries(program):
            add_file(context, library, f"rootfs{library}")
    packed.seek(0)
    return packed


def add_text(context: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Put a file that exists nowhere into a build context."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    context.addfile(entry, io.BytesIO(content))


def add_file(context: tarfile.TarFile, file: Path, name: str) -> None:
    """Put the content and the rights of ``file`` into a build context, as ``name``."""
    real = file.resolve()
    entry = context.gettarinfo(real, name)
    entry.mtime = 0  # else the engine's build cache never hits
    with real.open("rb") as content:
        context.addfile(entry, content)


def libraries(program: Path) -> Iterator[Path]:
    """Yield what the program is linked with, the dynamic linker too; nothing if it is static."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    for path in re.findall(r"(/\S+) \(0x", listed.stdout):
        yield Path(path)
