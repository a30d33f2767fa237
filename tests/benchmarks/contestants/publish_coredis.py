"""coredis as a publisher."""

from __future__ import annotations

from typing import Any

import coredis

from tests.benchmarks.contestants.publishing import (
    message_of,
    publish_at_once,
    publish_one_by_one,
    publish_together,
    sharded,
)
from tests.benchmarks.meter import Meter


async def one_by_one(meter: Meter) -> None:
    channel, payload = message_of(meter.job)
    async with coredis.Redis.from_url(meter.job.url) as client:
        await publish_one_by_one(meter, lambda: client.publish(channel, payload))


async def at_once(meter: Meter) -> None:
    channel, payload = message_of(meter.job)
    async with coredis.Redis.from_url(meter.job.url) as client:

        async def publish() -> Any:
            return await client.publish(channel, payload)

        await publish_at_once(meter, publish)


async def at_once_shards(meter: Meter) -> None:
    async with coredis.RedisCluster.from_url(meter.job.url) as client:

        async def publish(channel: str, payload: str) -> Any:
            return await client.spublish(channel, payload)

        await publish_at_once(meter, sharded(meter.job, publish))


async def together(meter: Meter) -> None:
    """A pipeline without a transaction."""
    channel, payload = message_of(meter.job)
    async with coredis.Redis.from_url(meter.job.url) as client:

        async def publish(count: int) -> Any:
            async with client.pipeline(transaction=False) as pipe:
                for _ in range(count):
                    pipe.publish(channel, payload)
            return pipe.results

        await publish_together(meter, publish)
