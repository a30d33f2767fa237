"""The clocks inside a contestant's process."""

from __future__ import annotations

import gc
import os
import socket
from time import perf_counter_ns, process_time_ns
from typing import Any, NoReturn

import msgspec

from tests.benchmarks.jobs import Job

__all__ = ["BurstMeter", "Meter", "PaceMeter", "StreamMeter", "make_meter"]

READY, DONE, GO, END = b"R", b"D", b"G", b"E"


class Meter:
    """Talks to the driver over ``control`` and reports ``results``."""

    def __init__(self, job: Job, control: socket.socket) -> None:
        self.job = job
        self.results: dict[str, Any] = {}
        self._control = control

    def ready(self) -> int:
        """Say that messages may come, and wait until they do; return when ``done()`` is due."""
        self._control.sendall(READY)
        self._await_go()
        return self.job.burst

    def done(self) -> int:
        """Take note that so many messages came; return after how many more to call again."""
        raise NotImplementedError

    def _await_go(self) -> None:
        # It blocks the whole process on purpose: nobody may read ahead.
        if self._control.recv(1) != GO:
            self.finish()

    def finish(self) -> NoReturn:
        """Report, and end the process where it stands: how it would stop is not measured here."""
        self._control.sendall(msgspec.json.encode(self.results))
        self._control.close()
        os._exit(0)


class BurstMeter(Meter):
    """Each burst waits at the socket before the clocks start."""

    def ready(self) -> int:
        burst = super().ready()
        self.results = {"cpu_us": [], "rate": []}
        if self.job.collections:
            self.results["collection_ms"] = []
            gc.callbacks.append(self._on_collection)
        self._start()
        return burst

    def _start(self) -> None:
        self._longest = self._collecting = 0
        self._wall = perf_counter_ns()
        self._cpu = process_time_ns()

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now = perf_counter_ns()
        if phase == "start":
            self._collecting = now
        else:
            self._longest = max(self._longest, now - self._collecting)

    def done(self) -> int:
        cpu = process_time_ns()
        wall = perf_counter_ns()
        burst = self.job.burst
        if self.job.collections:
            self.results["collection_ms"].append(self._longest / 1e6)
            self._longest = 0
        self.results["cpu_us"].append((cpu - self._cpu) / 1000 / burst)
        self.results["rate"].append(burst / ((wall - self._wall) / 1e9))
        self._cpu = cpu  # what other threads of the process read ahead counts too
        self._control.sendall(DONE)
        self._await_go()
        self._wall = perf_counter_ns()
        return burst


class StreamMeter(Meter):
    """The publisher is told of each chunk, and nobody waits."""

    def ready(self) -> int:
        chunk = super().ready()
        self._left = self.job.bursts
        self._warm = self.job.warm
        self._start()
        return chunk

    def _start(self) -> None:
        self._wall = perf_counter_ns()
        self._cpu = process_time_ns()

    def done(self) -> int:
        self._control.sendall(DONE)
        if self._warm:
            self._warm -= 1
            if not self._warm:
                self._start()
            return self.job.burst
        self._left -= 1
        if not self._left:
            messages = self.job.burst * self.job.bursts
            self.results = {
                "cpu_us": [(process_time_ns() - self._cpu) / 1000 / messages],
                "rate": [messages / ((perf_counter_ns() - self._wall) / 1e9)],
            }
            self.finish()
        return self.job.burst


class PaceMeter(Meter):
    """Every message carries the time at which it was published."""

    def ready(self) -> int:
        burst = super().ready()
        self._latencies: list[int] = []
        self._total = burst * (self.job.warm + self.job.bursts)
        self._cpu = process_time_ns()
        return burst

    def sample(self, sent: bytes | str) -> None:
        """Take the latency of a message with the payload ``sent``."""
        latencies = self._latencies
        latencies.append(perf_counter_ns() - int(sent))
        if len(latencies) == self._total:
            cpu = (process_time_ns() - self._cpu) / 1000 / self._total
            kept = latencies[self.job.burst * self.job.warm :]
            self.results = {"cpu_us": [cpu], "latencies_us": [ns / 1000 for ns in kept]}
            self.finish()


def make_meter(job: Job, control: socket.socket) -> Meter:
    """Return the meter of the job's mode."""
    return _METERS.get(job.mode, Meter)(job, control)


_METERS = {
    **dict.fromkeys(("bursts", "turns", "publish"), BurstMeter),
    "stream": StreamMeter,
    "pace": PaceMeter,
}
