"""asyncio.Queue and a task: what one uses without actors."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.benchmarks.contestants.memory import rss
from tests.benchmarks.meter import Meter


class Countdown:
    """Wakes its waiter when so many have been counted."""

    def __init__(self) -> None:
        self.left = 0
        self.zero: asyncio.Future[None]

    def of(self, count: int) -> asyncio.Future[None]:
        self.left = count
        self.zero = asyncio.get_running_loop().create_future()
        return self.zero


async def tell(meter: Meter) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    counted = Countdown()

    async def consume() -> None:
        while True:
            await queue.get()
            counted.left -= 1
            if not counted.left:
                counted.zero.set_result(None)

    task = asyncio.ensure_future(consume())
    count = meter.ready()
    while not task.done():
        zero = counted.of(count)
        for number in range(count):
            queue.put_nowait(number)
        await zero
        count = meter.done()


async def ask(meter: Meter) -> None:
    """A future an ask, and ``asyncio.timeout``."""
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def answer() -> None:
        while True:
            number, reply = await queue.get()
            reply.set_result(number)

    task = asyncio.ensure_future(answer())
    count = meter.ready()
    while not task.done():
        for number in range(count):
            reply: asyncio.Future[int] = loop.create_future()
            queue.put_nowait((number, reply))
            async with asyncio.timeout(5):
                await reply
        count = meter.done()


async def ping_pong(meter: Meter) -> None:
    await _pass_around(meter, 2)


async def ring(meter: Meter) -> None:
    await _pass_around(meter, 100)


async def _pass_around(meter: Meter, size: int) -> None:
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(size)]
    arrived: asyncio.Future[None]

    async def pass_on(own: asyncio.Queue[int], following: asyncio.Queue[int]) -> None:
        while True:
            left = await own.get()
            if left:
                following.put_nowait(left - 1)
            else:
                arrived.set_result(None)

    pairs = zip(queues, queues[1:] + queues[:1], strict=True)
    tasks = [asyncio.ensure_future(pass_on(*pair)) for pair in pairs]
    await asyncio.sleep(0)
    count = meter.ready()
    while tasks:
        arrived = asyncio.get_running_loop().create_future()
        queues[0].put_nowait(count - 1)
        await arrived
        count = meter.done()


async def fan_out(meter: Meter) -> None:
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(100)]
    counted = Countdown()

    async def consume(queue: asyncio.Queue[int]) -> None:
        while True:
            await queue.get()
            counted.left -= 1
            if not counted.left:
                counted.zero.set_result(None)

    tasks = [asyncio.ensure_future(consume(queue)) for queue in queues]
    await asyncio.sleep(0)
    count = meter.ready()
    while tasks:
        zero = counted.of(count)
        for number in range(count // 100):
            for queue in queues:
                queue.put_nowait(number)
        await zero
        count = meter.done()


async def spawn_stop(meter: Meter) -> None:
    """A task and a queue; one message; cancelled."""

    async def consume(queue: asyncio.Queue[int]) -> None:
        while True:
            await queue.get()

    count = meter.ready()
    while True:
        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(count)]
        tasks = [asyncio.ensure_future(consume(queue)) for queue in queues]
        for queue in queues:
            queue.put_nowait(1)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        del queues, tasks
        count = meter.done()


async def hold(meter: Meter) -> None:
    async def consume(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    held: list[Any] = []
    before = rss()
    for _ in range(meter.job.channels):
        queue: asyncio.Queue[int] = asyncio.Queue()
        held.append((queue, asyncio.ensure_future(consume(queue))))
    await asyncio.sleep(0.01)
    meter.results = {"bytes": [(rss() - before) / meter.job.channels]}
    meter.finish()
