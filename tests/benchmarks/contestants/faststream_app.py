"""FastStream on Redis, its log lines off."""

from __future__ import annotations

import asyncio
from typing import Any

from faststream.redis import RedisBroker

from tests.benchmarks.jobs import target_names
from tests.benchmarks.meter import Meter, PaceMeter


async def handle(meter: Meter) -> None:
    """A subscriber for the channel."""
    broker = RedisBroker(meter.job.url, logger=None)
    left = 0

    if meter.job.sync:

        @broker.subscriber(target_names(meter.job)[0])
        def on_message_sync(body: bytes) -> None:
            nonlocal left
            left -= 1
            if not left:
                left = meter.done()
    else:

        @broker.subscriber(target_names(meter.job)[0])
        async def on_message(body: bytes) -> None:
            nonlocal left
            left -= 1
            if not left:
                left = meter.done()

    await broker.start()
    await asyncio.sleep(0.2)  # its subscription is sent by a task of its own
    left = meter.ready()
    await asyncio.Event().wait()


async def take_times(meter: PaceMeter) -> None:
    """A subscriber that looks how old its messages are."""
    broker = RedisBroker(meter.job.url, logger=None)

    @broker.subscriber(target_names(meter.job)[0])
    async def on_message(body: Any) -> None:
        meter.sample(body)

    await broker.start()
    await asyncio.sleep(0.2)
    meter.ready()
    await asyncio.Event().wait()
