"""valkey-glide as a publisher; its threads' processor time counts like all else."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import glide

from tests.benchmarks.contestants.publishing import (
    message_of,
    publish_at_once,
    publish_one_by_one,
    publish_together,
    sharded,
)
from tests.benchmarks.jobs import Job
from tests.benchmarks.meter import Meter


async def _connect(job: Job) -> Any:
    where = urlsplit(job.url)
    config = glide.GlideClientConfiguration(
        [glide.NodeAddress(where.hostname, where.port)], request_timeout=10_000
    )
    return await glide.GlideClient.create(config)


async def one_by_one(meter: Meter) -> None:
    channel, payload = message_of(meter.job)
    client = await _connect(meter.job)
    await publish_one_by_one(meter, lambda: client.publish(payload, channel))


async def at_once(meter: Meter) -> None:
    channel, payload = message_of(meter.job)
    client = await _connect(meter.job)
    await publish_at_once(meter, lambda: client.publish(payload, channel))


async def at_once_shards(meter: Meter) -> None:
    where = urlsplit(meter.job.url)
    config = glide.GlideClusterClientConfiguration(
        [glide.NodeAddress(where.hostname, where.port)], request_timeout=10_000
    )
    client = await glide.GlideClusterClient.create(config)

    async def publish(channel: str, payload: str) -> Any:
        return await client.publish(payload, channel, sharded=True)

    await publish_at_once(meter, sharded(meter.job, publish))


async def together(meter: Meter) -> None:
    """A batch that is not atomic."""
    channel, payload = message_of(meter.job)
    client = await _connect(meter.job)

    async def publish(count: int) -> Any:
        batch = glide.Batch(is_atomic=False)
        for _ in range(count):
            batch.publish(payload, channel)
        return await client.exec(batch, raise_on_error=True)

    await publish_together(meter, publish)
