"""What one of very many costs: microseconds of processor time for each channel, handler or actor.

Where the figure for 100,000 is that for 1,000, the cost is linear in the number. Python's garbage
collector alone makes it grow: bare tasks show by how much.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

from actors import Actor, ActorSystem, Redis
from tests.benchmarks.jobs import target_names
from tests.benchmarks.meter import Meter

# Seconds: far more than any of these takes.
_PATIENCE = 300


async def channels(meter: Meter) -> None:
    """All in one call, consumed by the iterator."""
    await _subscribe(meter, None)


async def handlers(meter: Meter) -> None:
    """All in one call, a handler each."""

    async def on_message(message: Any) -> None:
        pass

    await _subscribe(meter, on_message)


async def _subscribe(meter: Meter, handler: Any) -> None:
    names = target_names(meter.job)
    async with (
        Redis.from_url(meter.job.url) as client,
        client.pubsub(subscription_timeout=_PATIENCE) as pubsub,
    ):

        async def subscribe() -> None:
            if handler is None:
                await pubsub.subscribe(*names)
            else:
                await pubsub.subscribe(**dict.fromkeys(names, handler))

        await _measure(meter, subscribe)


class _Idle(Actor[Any]):
    def __init__(self, started: Callable[[], None]) -> None:
        self._started = started

    async def on_start(self) -> None:
        self._started()

    async def receive(self, message: Any) -> None:
        pass


async def spawn(meter: Meter) -> None:
    """Actors, until all of them have started."""
    count = meter.job.channels
    async with ActorSystem() as system:

        async def spawn_all() -> None:
            all_started = _Countdown(count)
            kept.extend(system.spawn(_Idle, all_started.one) for _ in range(count))
            await all_started.zero

        kept: list[Any] = []
        await _measure(meter, spawn_all)


async def tasks(meter: Meter) -> None:
    """Bare tasks, each waiting at a queue of its own, until all of them wait."""
    count = meter.job.channels

    async def consume(queue: asyncio.Queue[Any], started: Callable[[], None]) -> None:
        started()
        while True:
            await queue.get()

    async def start_all() -> None:
        all_started = _Countdown(count)
        for _ in range(count):
            queue: asyncio.Queue[Any] = asyncio.Queue()
            kept.append((queue, asyncio.create_task(consume(queue, all_started.one))))
        await all_started.zero

    kept: list[Any] = []
    await _measure(meter, start_all)


class _Countdown:
    """Wakes its waiter when so many have been counted."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.zero = asyncio.get_running_loop().create_future()

    def one(self) -> None:
        """Count one."""
        self._left -= 1
        if not self._left:
            self.zero.set_result(None)


async def _measure(meter: Meter, do: Callable[[], Awaitable[None]]) -> None:
    gc.collect()
    begun = process_time()
    await do()
    meter.results = {"cpu_us": [(process_time() - begun) / meter.job.channels * 1e6]}
    meter.finish()
