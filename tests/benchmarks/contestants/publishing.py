"""What all publishers do: one by one, at once, together in a batch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks.jobs import Job, channel_names
from tests.benchmarks.meter import Meter

# Publishes under way at the same time.
_AT_ONCE = 1000


def message_of(job: Job) -> tuple[str, str]:
    """Return the channel and the payload."""
    return channel_names(job)[0], "x" * job.size


def sharded(job: Job, publish: Callable[[str, str], Awaitable[Any]]) -> Callable[[], Any]:
    """Return a publish to the shard channels of ``job``, one after another."""
    names, payload = itertools.cycle(channel_names(job)), "x" * job.size
    return lambda: publish(next(names), payload)


async def publish_one_by_one(meter: Meter, publish: Callable[[], Awaitable[Any]]) -> None:
    """Await each publish before the next one."""
    await publish()
    left = meter.ready()
    while True:
        for _ in range(left):
            await publish()
        left = meter.done()


async def publish_at_once(meter: Meter, publish: Callable[[], Awaitable[Any]]) -> None:
    """Have a thousand tasks publish at the same time."""
    await publish()
    left = meter.ready()
    while True:
        for _ in range(left // _AT_ONCE):
            await asyncio.gather(*(publish() for _ in range(_AT_ONCE)))
        left = meter.done()


async def publish_together(meter: Meter, publish: Callable[[int], Awaitable[Any]]) -> None:
    """Publish a thousand messages with one call of the client's."""
    await publish(1)
    left = meter.ready()
    while True:
        for _ in range(left // _AT_ONCE):
            await publish(_AT_ONCE)
        left = meter.done()
