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

__all__ = ["IMAGE_VARIABLE", "image_for"]

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
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(_DOCKERFILE)
        context.addfile(entry, io.BytesIO(_DOCKERFILE))
        _add(context, program, "rootfs/usr/bin/valkey-server")
        for library in _libraries(program):
            _add(context, library, f"rootfs{library}")
    packed.seek(0)
    return packed


def _add(context: tarfile.TarFile, file: Path, name: str) -> None:
    real = file.resolve()
    entry = context.gettarinfo(real, name)
    entry.mtime = 0  # else the engine's build cache never hits
    with real.open("rb") as content:
        context.addfile(entry, content)


def _libraries(program: Path) -> Iterator[Path]:
    """Yield what the program is linked with, the dynamic linker too; nothing if it is static."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    for path in re.findall(r"(/\S+) \(0x", listed.stdout):
        yield Path(path)
