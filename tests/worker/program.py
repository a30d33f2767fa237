"""``mailslot`` as a program of its own: started, watched, signalled, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.support import eventually

__all__ = ["Program", "mailslot", "run_mailslot", "write_app"]

ROOT = Path(__file__).parents[2]


class Program:
    """A running ``mailslot``; of a ``slow`` one nobody reads what it prints."""

    def __init__(self, process: asyncio.subprocess.Process, *, slow: bool = False) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._reading = [asyncio.create_task(self._read(process.stderr, self.err))]
        if not slow:
            self._reading.append(asyncio.create_task(self._read(process.stdout, self.out)))

    @staticmethod
    async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode().rstrip("\n"))

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    async def says(self, text: str, *, times: int = 1, timeout: float = 60.0) -> None:
        """Wait until ``text`` was in so many lines of stderr or stdout."""
        await eventually(
            lambda: sum(text in line for line in [*self.err, *self.out]) >= times, timeout
        )

    async def ends(self, timeout: float = 20.0) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(timeout):
            code = await self.process.wait()
            await asyncio.gather(*self._reading)
        return code

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of its JSON log that are called ``name``."""
        lines = [line for line in self.err if line.startswith("{")]
        return [e for line in lines if (e := msgspec.json.decode(line))["event"] == name]

    @property
    def http(self) -> tuple[str, int]:
        """Where it answers."""
        url = self.events("http")[0]["url"]
        host, _, port = url.removeprefix("http://").rpartition(":")
        return host, int(port)


@asynccontextmanager
async def mailslot(*args: Any, cwd: Path = ROOT, slow: bool = False) -> AsyncIterator[Program]:
    """Run ``mailslot`` with ``args``; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "actors.worker", *map(str, args)),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        limit=1 << 16 if slow else 1 << 24,
    )
    program = Program(process, slow=slow)
    try:
        yield program
    except BaseException:
        sys.stderr.write("\n".join(program.err[-50:]))
        raise
    finally:
        if process.returncode is None:
            process.kill()
        await program.ends()


async def run_mailslot(*args: Any, cwd: Path = ROOT) -> Program:
    """Run ``mailslot`` to its end."""
    async with mailslot(*args, cwd=cwd) as program:
        await program.ends()
    return program


def write_app(folder: Path, text: str, name: str = "shop") -> None:
    """Write a module with an app called ``app``."""
    start = "from __future__ import annotations\nimport asyncio\nfrom actors.worker import Worker\n"
    (folder / f"{name}.py").write_text(start + text)
