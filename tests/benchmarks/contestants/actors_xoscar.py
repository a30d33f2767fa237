"""xoscar: actors in one process's pool, all local."""

from __future__ import annotations

import asyncio

import xoscar

from tests.benchmarks.contestants.queues import Countdown
from tests.benchmarks.meter import Meter

_COUNTED = Countdown()


class Counter(xoscar.Actor):
    async def count(self, number: int) -> None:
        _COUNTED.left -= 1
        if not _COUNTED.left:
            _COUNTED.zero.set_result(None)


class Echo(xoscar.Actor):
    async def echo(self, number: int) -> int:
        return number


async def _pool() -> tuple[object, str]:
    pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=0)
    return pool, pool.external_address


async def tell(meter: Meter) -> None:
    pool, address = await _pool()
    ref = await xoscar.create_actor(Counter, address=address, uid="counter")
    count = meter.ready()
    while pool:
        zero = _COUNTED.of(count)
        for number in range(count):
            await ref.count.tell(number)
        await zero
        count = meter.done()


async def ask(meter: Meter) -> None:
    pool, address = await _pool()
    ref = await xoscar.create_actor(Echo, address=address, uid="echo")
    count = meter.ready()
    while pool:
        for number in range(count):
            await asyncio.wait_for(ref.echo(number), 5)
        count = meter.done()


async def spawn_stop(meter: Meter) -> None:
    pool, address = await _pool()
    count = meter.ready()
    while pool:
        refs = [
            await xoscar.create_actor(Echo, address=address, uid=f"echo-{number}")
            for number in range(count)
        ]
        for ref in refs:
            await ref.echo.tell(1)
        for ref in refs:
            await xoscar.destroy_actor(ref)
        count = meter.done()
