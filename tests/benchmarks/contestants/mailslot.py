"""Mailslot, with the defaults that its users run."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import perf_counter, process_time
from typing import Any

import actors
from actors import Redis
from tests.benchmarks.contestants.memory import rss
from tests.benchmarks.contestants.words import Order
from tests.benchmarks.jobs import Job, target_names
from tests.benchmarks.meter import Meter, PaceMeter


def client_of(job: Job) -> Any:
    if job.by != "shard":
        return Redis.from_url(job.url, decode_responses=job.decode)
    return _public("RedisCluster").from_url(job.url, decode_responses=job.decode)


def _public(name: str) -> Any:
    try:
        return getattr(actors, name)
    except AttributeError:
        raise NotImplementedError(f"actors.{name} is not available yet") from None


def pubsub_of(client: Any, job: Job, handler: Any = None, **more: Any) -> Any:
    """Return the pub/sub object of ``job``, all its names with ``handler``."""
    targets = dict.fromkeys(target_names(job), handler)
    kind = "pattern" if job.by == "pattern" else "channel"
    option = {f"{kind}s": list(targets)} if handler is None else {f"{kind}_handlers": targets}
    make = client.sharded_pubsub if job.by == "shard" else client.pubsub
    return make(ignore_subscribe_messages=True, subscription_timeout=10, **option, **more)


async def iterate(meter: Meter) -> None:
    """``async for`` over all channels."""
    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job) as pubsub:
        left = meter.ready()
        async for _ in pubsub:
            left -= 1
            if not left:
                left = meter.done()


async def iterate_recovering(meter: Meter) -> None:
    """The same, with recovery."""
    job = meter.job
    names = target_names(job)
    async with (
        client_of(job) as client,
        pubsub_of(client, job.with_(channels=0), recover=True) as pubsub,
    ):
        await pubsub.subscribe(*names)
        while pubsub.stats().behind:  # until it knows where each history ends
            await asyncio.sleep(0.01)
        left = meter.ready()
        async for _ in pubsub:
            left -= 1
            if not left:
                left = meter.done()


async def iterate_batches(meter: Meter) -> None:
    """``async for`` over batches of all channels."""
    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job) as pubsub:
        left = meter.ready()
        async for messages in pubsub.batches():
            for _ in messages:
                left -= 1
                if not left:
                    left = meter.done()


async def handle(meter: Meter) -> None:
    """A handler for each channel."""
    await _handle(meter, lambda: None)


async def handle_shared(meter: Meter) -> None:
    """One handler for all channels."""
    await _handle(meter, lambda: None, lambda one: _public("Handler")(one, shared=True))


async def handle_frozen(meter: Meter) -> None:
    """The same, and what there is after the subscribe is out of garbage collection.

    ``mailslot run`` does so, too.
    """

    def freeze() -> None:
        gc.collect()
        gc.freeze()

    await _handle(meter, freeze)


async def _handle(
    meter: Meter, subscribed: Callable[[], None], wrap: Callable[[Any], Any] = lambda one: one
) -> None:
    left = 0

    async def on_message(message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            left = meter.done()

    def on_message_sync(message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            left = meter.done()

    job = meter.job
    handler = wrap(on_message_sync if job.sync else on_message)
    async with client_of(job) as client, pubsub_of(client, job, handler):
        await asyncio.sleep(0)
        subscribed()
        left = meter.ready()
        await asyncio.Event().wait()


async def decode_struct(meter: Meter) -> None:
    """A handler that gets Structs."""
    left = 0

    async def on_order(order: Order) -> None:
        nonlocal left
        left -= 1
        if not left:
            left = meter.done()

    job = meter.job
    handler = _public("Handler")(on_order, decode=Order)
    async with client_of(job) as client, pubsub_of(client, job, handler):
        await asyncio.sleep(0)
        left = meter.ready()
        await asyncio.Event().wait()


async def take_times(meter: PaceMeter) -> None:
    """A handler that looks how old its messages are."""

    async def on_message(message: Any) -> None:
        meter.sample(message["data"])

    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job, on_message):
        await asyncio.sleep(0)
        meter.ready()
        await asyncio.Event().wait()


async def subscribe(meter: Meter) -> None:
    """All in one call."""
    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job.with_(channels=0)) as pubsub:
        begun = perf_counter()
        await pubsub.subscribe(*target_names(job))
        meter.results = {"seconds": [perf_counter() - begun]}
        meter.finish()


async def resubscribe(meter: Meter) -> None:
    """Iterate until a message comes, whatever happens to the connection."""
    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job) as pubsub:
        meter.ready()
        async for _ in pubsub:
            meter.finish()


async def hold(meter: Meter) -> None:
    """Memory of subscriptions."""
    await _hold(meter, None)


async def hold_handlers(meter: Meter) -> None:
    """Memory of subscriptions with a handler."""

    async def on_message(message: Any) -> None:
        pass

    await _hold(meter, on_message)


async def _hold(meter: Meter, handler: Any) -> None:
    job = meter.job
    async with client_of(job) as client, pubsub_of(client, job.with_(channels=0)) as pubsub:
        names = target_names(job)
        before = rss()
        if handler is None:
            await pubsub.subscribe(*names)
        else:
            await pubsub.subscribe(**dict.fromkeys(names, handler))
        meter.results = {"bytes": [(rss() - before) / len(names)]}
        meter.finish()


async def idle(meter: Meter) -> None:
    """Processor time of connections on which nothing happens."""
    job = meter.job.with_(channels=1)
    async with AsyncExitStack() as stack:
        for number in range(meter.job.channels):
            client = await stack.enter_async_context(client_of(job))
            await stack.enter_async_context(pubsub_of(client, job.with_(player=number)))
        await asyncio.sleep(0.5)
        begun = process_time()
        await asyncio.sleep(4)
        meter.results = {"cpu_ms": [(process_time() - begun) / 4 * 1000]}
        meter.finish()
