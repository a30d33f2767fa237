"""redis-py, asyncio."""

from __future__ import annotations

import asyncio
from time import perf_counter, process_time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError  # noqa: A004

from tests.benchmarks.contestants.memory import rss
from tests.benchmarks.jobs import Job, target_names
from tests.benchmarks.meter import Meter, PaceMeter


async def pubsub_of(job: Job, handler: Any = None) -> Any:
    client = Redis.from_url(job.url, decode_responses=job.decode)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await _subscribe(pubsub, job, handler)
    return pubsub


async def _subscribe(pubsub: Any, job: Job, handler: Any) -> None:
    names = target_names(job)
    subscribe = pubsub.psubscribe if job.by == "pattern" else pubsub.subscribe
    if handler is None:
        await subscribe(*names)
    else:
        await subscribe(**dict.fromkeys(names, handler))
    for _ in names:
        await pubsub.get_message(timeout=5)  # the acknowledgements


async def listen(meter: Meter) -> None:
    """``async for`` over listen()."""
    pubsub = await pubsub_of(meter.job)
    left = meter.ready()
    async for _ in pubsub.listen():
        left -= 1
        if not left:
            left = meter.done()


async def get_message(meter: Meter) -> None:
    """get_message() in a loop."""
    pubsub = await pubsub_of(meter.job)
    left = meter.ready()
    while True:
        if await pubsub.get_message(timeout=None) is not None:
            left -= 1
            if not left:
                left = meter.done()


async def handle(meter: Meter) -> None:
    """Handlers, run by run()."""
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

    pubsub = await pubsub_of(meter.job, on_message_sync if meter.job.sync else on_message)
    left = meter.ready()
    await pubsub.run()


async def take_times(meter: PaceMeter) -> None:
    """A handler that looks how old its messages are."""

    async def on_message(message: Any) -> None:
        meter.sample(message["data"])

    pubsub = await pubsub_of(meter.job, on_message)
    meter.ready()
    await pubsub.run()


async def subscribe(meter: Meter) -> None:
    """All in one call, and get_message() for the acknowledgements."""
    job = meter.job
    client = Redis.from_url(job.url)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    begun = perf_counter()
    await _subscribe(pubsub, job, None)
    meter.results = {"seconds": [perf_counter() - begun]}
    meter.finish()


async def resubscribe(meter: Meter) -> None:
    """listen() until a message comes; started again when it raises."""
    pubsub = await pubsub_of(meter.job)
    meter.ready()
    while True:
        try:
            async for _ in pubsub.listen():
                meter.finish()
        except ConnectionError:
            continue


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
    pubsub = Redis.from_url(job.url).pubsub(ignore_subscribe_messages=True)
    await pubsub.subscribe("first")
    before = rss()
    await _subscribe(pubsub, job, handler)
    meter.results = {"bytes": [(rss() - before) / job.channels]}
    meter.finish()


async def idle(meter: Meter) -> None:
    """Processor time of connections on which nothing happens."""
    job = meter.job.with_(channels=1)

    async def listen(player: int) -> None:
        async for _ in (await pubsub_of(job.with_(player=player))).listen():
            pass

    tasks = [asyncio.ensure_future(listen(number)) for number in range(meter.job.channels)]
    await asyncio.sleep(0.5)
    begun = process_time()
    await asyncio.sleep(4)
    meter.results = {"cpu_ms": [(process_time() - begun) / 4 * 1000]}
    del tasks
    meter.finish()
