"""mailslot as a publisher."""

from __future__ import annotations

from typing import Any

from actors import History, Redis, RedisCluster
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
    async with Redis.from_url(meter.job.url) as client:
        await publish_one_by_one(meter, lambda: client.publish(channel, payload))


async def at_once(meter: Meter) -> None:
    channel, payload = message_of(meter.job)
    async with Redis.from_url(meter.job.url) as client:
        await publish_at_once(meter, lambda: client.publish(channel, payload))


async def at_once_shards(meter: Meter) -> None:
    async with RedisCluster.from_url(meter.job.url) as client:
        await publish_at_once(meter, sharded(meter.job, client.spublish))


async def together(meter: Meter) -> None:
    """publish_many()."""
    message = message_of(meter.job)
    async with Redis.from_url(meter.job.url) as client:
        await publish_together(meter, lambda count: client.publish_many([message] * count))


async def one_by_one_history(meter: Meter) -> None:
    """Each message is kept in the history, too."""
    channel, payload = message_of(meter.job)
    kept = History()
    async with Redis.from_url(meter.job.url) as client:
        await publish_one_by_one(meter, lambda: client.publish(channel, payload, history=kept))


async def at_once_history(meter: Meter) -> None:
    """Each message is kept in the history, too."""
    channel, payload = message_of(meter.job)
    kept = History()
    async with Redis.from_url(meter.job.url) as client:
        await publish_at_once(meter, lambda: client.publish(channel, payload, history=kept))


async def together_history(meter: Meter) -> None:
    """publish_many(history=)."""
    message = message_of(meter.job)
    kept = History()
    async with Redis.from_url(meter.job.url) as client:
        await publish_together(
            meter, lambda count: client.publish_many([message] * count, history=kept)
        )


async def pipeline(meter: Meter) -> None:
    """A pipeline of PUBLISH."""
    channel, payload = message_of(meter.job)
    async with Redis.from_url(meter.job.url) as client:

        async def publish(count: int) -> Any:
            async with client.pipeline() as pipe:
                for _ in range(count):
                    pipe.publish(channel, payload)
            return pipe.results

        await publish_together(meter, publish)
