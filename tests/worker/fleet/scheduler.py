"""A virtual clock: what is due next happens next, in one thread, the same way in each run."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count


class Scheduler:
    """Attributes: ``now``, the time in seconds; ``rng``, where all chance comes from."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self._order = count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def at(self, time: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._due, (max(time, self.now), next(self._order), do))

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        self.at(self.now + seconds, do)

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, do = heapq.heappop(self._due)
            do()
        self.now = until


class Wire:
    """Carries things one way, in order, each with a delay by chance. Some wires are slow."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._delay = scheduler.rng.choice([0.001, 0.001, 0.002, 0.03])
        self._last = 0.0

    def send(self, arrive: Callable[[], object]) -> None:
        rng = self._scheduler.rng
        delay = self._delay * (0.5 + rng.random())
        self._last = max(self._last, self._scheduler.now + delay)
        self._scheduler.at(self._last, arrive)
