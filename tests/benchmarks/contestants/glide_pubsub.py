"""valkey-glide: a client in Rust; its threads' processor time counts like all else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import glide

from tests.benchmarks.jobs import Job, target_names
from tests.benchmarks.meter import Meter, PaceMeter


async def connect(job: Job, callback: Callable[[Any, Any], None] | None = None) -> Any:
    where = urlsplit(job.url)
    config = glide.GlideClientConfiguration
    modes = config.PubSubChannelModes
    mode = modes.Pattern if job.by == "pattern" else modes.Exact
    subscriptions = config.PubSubSubscriptions({mode: set(target_names(job))}, callback, None)
    client = await glide.GlideClient.create(
        config(
            [glide.NodeAddress(where.hostname, where.port)],
            pubsub_subscriptions=subscriptions,
            request_timeout=10_000,
        )
    )
    names = target_names(job)
    numpat = ["PUBSUB", "NUMPAT"]
    question = numpat if job.by == "pattern" else ["PUBSUB", "NUMSUB", *names]
    missing = len(names)
    while missing > 0:
        await asyncio.sleep(0.02)
        reply = await client.custom_command(question)
        missing = len(names) - (reply if isinstance(reply, int) else sum(reply.values()))
    return client


async def get(meter: Meter) -> None:
    """get_pubsub_message() in a loop."""
    client = await connect(meter.job)
    left = meter.ready()
    while True:
        await client.get_pubsub_message()
        left -= 1
        if not left:
            left = meter.done()


async def callback(meter: Meter) -> None:
    """A callback for all messages."""
    left = 0

    def on_message(message: Any, context: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            left = meter.done()

    client = await connect(meter.job, on_message)
    left = meter.ready()
    await asyncio.Event().wait()
    await client.close()  # never: but a client that nobody holds disconnects


async def take_times(meter: PaceMeter) -> None:
    """A callback that looks how old its messages are."""

    def on_message(message: Any, context: Any) -> None:
        meter.sample(message.message)

    client = await connect(meter.job, on_message)
    meter.ready()
    await asyncio.Event().wait()
    await client.close()
