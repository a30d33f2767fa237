"""Mailslot, with the defaults that its users run."""

from __future__ import annotations

import asyncio

from actors import RedisCluster
from tests.footprint.jobs import Job, Received, channel_names


async def consume(job: Job, received: Received) -> None:
    """``async for`` over all channels."""
    client = RedisCluster.from_url(job.url)
    async with (
        client,
        client.sharded_pubsub(
            channels=channel_names(job.channels),
            ignore_subscribe_messages=True,
            subscription_timeout=20,
            read_from_replicas=job.replicas,
        ) as pubsub,
    ):
        if job.channels:
            async for _ in pubsub:
                received()
        await asyncio.Event().wait()
