"""valkey-glide: a client in Rust; its threads' processor time counts like all else."""

from __future__ import annotations

import asyncio
from typing import Any

import glide

from tests.footprint.jobs import Job, Received, channel_names


async def consume(job: Job, received: Received) -> None:
    """A callback for all channels."""

    def on_message(message: Any, context: Any) -> None:
        received()

    make = glide.GlideClusterClientConfiguration
    channels = {make.PubSubChannelModes.Sharded: set(channel_names(job.channels))}
    client = await glide.GlideClusterClient.create(
        make(
            [glide.NodeAddress(job.host, job.port)],
            read_from=glide.ReadFrom.PREFER_REPLICA if job.replicas else glide.ReadFrom.PRIMARY,
            pubsub_subscriptions=make.PubSubSubscriptions(channels, on_message, None),
            request_timeout=10_000,
        )
    )
    await asyncio.Event().wait()
    await client.close()  # never: but a client that nobody holds disconnects
