"""A contestant's process: ``python -m tests.benchmarks.child FD JOB``."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import traceback

import msgspec

from tests.benchmarks.jobs import Job
from tests.benchmarks.meter import make_meter


def main(fd: str, text: str) -> None:
    """Play; every way to end but the good one is reported as ``absent`` or ``error``."""
    job = msgspec.json.decode(text, type=Job)
    meter = make_meter(job, socket.socket(fileno=int(fd)))
    try:
        try:
            module = importlib.import_module(f"tests.benchmarks.contestants.{job.module}")
            play = getattr(module, job.play)
            factory = None
            if job.loop == "uvloop":
                factory = importlib.import_module("uvloop").new_event_loop
        except ImportError as error:
            meter.results = {"absent": str(error)}
            return
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(play(meter))
    except NotImplementedError as error:
        meter.results = {"absent": str(error)}
    except BaseException as error:
        traceback.print_exc()
        meter.results = {"error": f"{type(error).__name__}: {error}"}
    finally:
        meter.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
