"""A consumer's process: ``python -m tests.footprint.consumer FD JOB``.

Its parent writes a byte to the socket FD, and the process answers with one line of JSON: a sample,
or an error after which it ends.
"""

from __future__ import annotations

import asyncio
import importlib
import resource
import socket
import sys
import time
import traceback

import msgspec

from tests.footprint.jobs import Job

__all__ = ["Sample"]


class Sample(msgspec.Struct, frozen=True):
    """What the process has used and received since it started.

    Attributes:
        cpu: seconds of processor time, all threads.
        at: seconds of the monotonic clock.
        messages: how many the client delivered.
        error: why there is nothing to measure; empty where there is.
    """

    cpu: float = 0.0
    at: float = 0.0
    messages: int = 0
    error: str = ""


class _Samples:
    """Counts messages, and answers the parent."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._messages = 0

    def received(self) -> None:
        """Count a message."""
        self._messages += 1

    def answer(self) -> None:
        """Answer a byte with a sample; stop where the parent is gone."""
        if not self._control.recv(1):
            sys.exit(0)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        self.send(Sample(cpu, time.monotonic(), self._messages))

    def send(self, sample: Sample) -> None:
        """Send a line."""
        self._control.sendall(msgspec.json.encode(sample) + b"\n")


async def _run(job: Job, samples: _Samples, control: socket.socket) -> None:
    contestant = importlib.import_module(f"tests.footprint.contestants.{job.module}")
    asyncio.get_running_loop().add_reader(control, samples.answer)
    await contestant.consume(job, samples.received)


def main(fd: str, text: str) -> None:
    """Consume until the parent is gone."""
    control = socket.socket(fileno=int(fd))
    samples = _Samples(control)
    try:
        asyncio.run(_run(msgspec.json.decode(text, type=Job), samples, control))
    except ImportError as error:
        samples.send(Sample(error=f"not installed: {error}"))
    except Exception as error:
        traceback.print_exc()
        samples.send(Sample(error=f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
