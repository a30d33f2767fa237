"""Runs a web application of examples/ under uvicorn, as a user does, and asks it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support import eventually

__all__ = ["WebProgram", "uvicorn"]

ROOT = Path(__file__).parents[2]


class WebProgram:
    """A running ``uvicorn``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.client: httpx.AsyncClient
        self.port = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))

    async def says(self, text: str, *, times: int = 1, timeout: float = 60.0) -> None:
        """Wait until ``text`` was in so many lines."""
        await eventually(lambda: sum(text in line for line in self.lines) >= times, timeout, 0.05)

    async def listens(self, processes: int) -> None:
        """Wait until so many processes serve its port, and make a client of it."""
        await self.says("Uvicorn running on")
        await self.says("Application startup complete", times=processes)
        found = re.search(r"Uvicorn running on http://127\.0\.0\.1:(\d+)", "\n".join(self.lines))
        assert found is not None
        self.port = int(found[1])
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=30,
            limits=httpx.Limits(max_keepalive_connections=0),  # each request may reach any process
        )

    async def get(self, path: str) -> Any:
        """Return the JSON at ``path``."""
        return (await self.client.get(path)).json()

    async def status(self, path: str) -> int:
        """Return the status of the answer at ``path``."""
        return (await self.client.get(path)).status_code

    async def is_ready(self) -> bool:
        """Whether the worker of the process that answers is ready."""
        return await self.status("/worker/ready") == 200

    async def stats(self, processes: int) -> list[dict[str, Any]]:
        """Return the statistics of so many processes, by asking until each has answered."""
        found: dict[int, dict[str, Any]] = {}

        async def all_answered() -> bool:
            for answer in await asyncio.gather(*(self.get("/worker/stats") for _ in range(8))):
                found[answer["worker"]["snapshots"][0]["pid"]] = answer
            return len(found) == processes

        await eventually(all_answered, 60, 0.05)
        return list(found.values())

    async def ends(self, timeout: float = 30.0) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(timeout):
            code = await self.process.wait()
            await self._reading
        return code


@asynccontextmanager
async def uvicorn(
    target: str, *options: str, env: Mapping[str, str], processes: int = 1, cwd: Path = ROOT
) -> AsyncIterator[WebProgram]:
    """Run ``uvicorn target`` on a free port; it is gone afterwards."""
    if processes > 1:
        # On a busy machine a process may be late: uvicorn would kill it.
        options = ("--workers", str(processes), "--timeout-worker-healthcheck", "60", *options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", target, "--port", "0", *options),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
        start_new_session=True,
        limit=1 << 20,
    )
    program = WebProgram(process)
    try:
        await program.listens(processes)
        async with program.client:
            yield program
    except BaseException:
        sys.stderr.write("\n".join(program.lines[-80:]))
        raise
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)  # its worker processes, too
        await program.ends()
