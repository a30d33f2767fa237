"""The consumer and the publisher, as their parent sees them."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

import msgspec

from tests.footprint.consumer import Sample
from tests.footprint.jobs import Job
from tests.footprint.publisher import Plan

__all__ = ["Consumer", "ConsumerError", "consuming", "publishing"]

_PATIENCE = 30.0


class ConsumerError(Exception):
    """The consumer cannot be measured; the message says why."""


class Consumer:
    """A consumer's process that runs.

    Args:
        reader: what it answers.
        writer: what it is asked.
        errors: its standard error.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, errors: IO[bytes]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._errors = errors

    async def sample(self) -> Sample:
        """Ask the process what it has used and received so far.

        Raises:
            ConsumerError: it has ended, or does not answer.
        """
        try:
            self._writer.write(b"?")
            async with asyncio.timeout(_PATIENCE):
                line = await self._reader.readline()
        except (TimeoutError, ConnectionError) as error:
            raise ConsumerError(f"it does not answer: {error!r}") from error
        if not line:
            raise ConsumerError(f"it ended: {self._last_error()}")
        sample = msgspec.json.decode(line, type=Sample)
        if sample.error:
            raise ConsumerError(sample.error)
        return sample

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "nothing on stderr"


@asynccontextmanager
async def consuming(job: Job) -> AsyncIterator[Consumer]:
    """Run a consumer's process."""
    ours, theirs = socket.socketpair()
    text = msgspec.json.encode(job).decode()
    with tempfile.TemporaryFile() as errors:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.footprint.consumer", str(theirs.fileno()), text),
                pass_fds=[theirs.fileno()],
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            yield Consumer(reader, writer, errors)
        finally:
            writer.close()
            await _end(process)


@asynccontextmanager
async def publishing(plan: Plan) -> AsyncIterator[None]:
    """Run a publisher's process; none where the rate is 0."""
    if not plan.rate:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.footprint.publisher", msgspec.json.encode(plan).decode())
    )
    try:
        yield
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
