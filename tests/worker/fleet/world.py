"""A simulated world: processes of a fleet, servers, faults, and what must hold in spite of them.

One seed gives one run. Of a run that failed, ``python -m tests.worker.fleet --seed N`` shows every
step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from actors.worker.fleet.members import FleetSettings, Member
from tests.worker.fleet.process import Process
from tests.worker.fleet.scheduler import Scheduler
from tests.worker.fleet.server import EPOCH, Servers


class Broken(AssertionError):
    """What must hold does not."""


class World:
    """Attributes: ``processes``, all that ever ran; ``handled``, who handled each message."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 1,
        names: int = 24,
        gap: float = 0.005,
        settings: FleetSettings | None = None,
        on_trace: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings or FleetSettings()
        self.scheduler = Scheduler(seed)
        self.servers = Servers(self.scheduler, self.settings, nodes)
        self.names = frozenset(f"name-{n}" for n in range(names))
        self._in_order = sorted(self.names)
        self.homes = {name: self.rng.choice(self.servers.nodes) for name in self._in_order}
        self.processes: list[Process] = []
        self.published: list[tuple[float, str]] = []
        self.handled: dict[int, list[Process]] = defaultdict(list)
        self._on_trace = on_trace
        self.gap = gap
        self._incarnations = 0
        if on_trace is not None:
            self.servers.on_call = lambda *call: self.trace("server", *call)
        self.scheduler.after(0, self._publish)

    @property
    def rng(self) -> Any:
        return self.scheduler.rng

    @property
    def running(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    def trace(self, who: object, *what: object) -> None:
        if self._on_trace is not None:
            self._on_trace(f"{self.scheduler.now:10.6f} {who} {' '.join(map(str, what))}")

    # --- what happens ------------------------------------------------------------------------

    def start(self, id: str) -> Process:
        self._incarnations += 1
        process = Process(self, Member(id, str(self._incarnations)))
        self.trace(process.me, "starts")
        self.processes.append(process)
        return process

    def start_after(self, seconds: float, id: str) -> None:
        self.scheduler.after(seconds, lambda: self.start(id))

    def run(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds)

    def _publish(self) -> None:
        name = self.rng.choice(self._in_order) if len(self.published) % 3 else self._next_name()
        self.published.append((self.scheduler.now, name))
        if (node := self.homes[name]).is_up:
            node.publish(name, len(self.published) - 1)
        self.scheduler.after(self.gap, self._publish)

    def _next_name(self) -> str:
        return f"name-{len(self.published) // 3 % len(self.names)}"

    # --- what must hold ----------------------------------------------------------------------

    def delivered(self, process: Process, name: str, number: int) -> None:
        """``process`` delivers a message: nobody else has, and its lease holds."""
        self.handled[number].append(process)
        if len(self.handled[number]) > 1:
            who = " and ".join(str(each.me) for each in self.handled[number])
            raise Broken(f"{who} delivered message {number} of {name}: {self.replay}")
        ends = self.servers.lease_ends.get(process.me, 0)
        if (EPOCH + self.scheduler.now) * 1000 > ends:
            raise Broken(f"{process.me} delivered message {number} after its lease: {self.replay}")

    def lost(self, since: float, until: float) -> list[int]:
        """Return the messages of a time that nobody has delivered."""
        return [
            number
            for number, (time, _) in enumerate(self.published)
            if since <= time < until and not self.handled[number]
        ]

    def check_recovered(self, since: float, until: float) -> None:
        """Every name has an owner: of what was published in that time, nothing is lost."""
        if lost := self.lost(since, until):
            names = sorted({self.published[each][1] for each in lost})
            time = self.published[lost[0]][0]
            raise Broken(f"nobody owns {names} at {time:.3f} s and later: {self.replay}")

    @property
    def replay(self) -> str:
        return f"python -m tests.worker.fleet --seed {self.seed}"
