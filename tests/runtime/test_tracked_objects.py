"""How many objects stay for the garbage collector of each actor, handler and subscription.

With ten thousand handlers, each object of a handler makes a full collection, and so a stop of the
event loop, milliseconds longer. The limits leave room for what other versions of Python add.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

from actors import Actor, ActorSystem, Redis
from actors.testing import EmbeddedServer

_COUNT = 200


class _Idle(Actor[Any]):
    async def receive(self, message: Any) -> None: ...


async def _ignore(message: Any) -> None: ...


async def _objects_each(make: Callable[[int, int], Awaitable[Any]]) -> float:
    """Return how many objects stay of each that ``make(first, count)`` makes."""
    # In debug mode, each task and future keeps the stack at which it was made.
    asyncio.get_running_loop().set_debug(False)
    kept = [await make(0, 20)]  # what is made once for all
    await _settle()
    before = len(gc.get_objects())
    kept.append(await make(20, _COUNT))
    await _settle()
    return (len(gc.get_objects()) - before) / _COUNT


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()


async def test_an_actor():
    async with ActorSystem() as system:

        async def spawn(first: int, count: int) -> Any:
            refs = [system.spawn(_Idle) for _ in range(count)]
            for ref in refs:
                await ref.started()
            return refs

        assert await _objects_each(spawn) <= 31


async def test_a_handler_and_a_subscription():
    async with (
        EmbeddedServer() as server,
        Redis.from_url(server.url) as client,
        client.pubsub(subscription_timeout=30) as pubsub,
    ):

        async def handle(first: int, count: int) -> None:
            names = [f"handled:{number}" for number in range(first, first + count)]
            await pubsub.subscribe(**dict.fromkeys(names, _ignore))

        async def subscribe(first: int, count: int) -> None:
            await pubsub.subscribe(*(f"read:{number}" for number in range(first, first + count)))

        assert await _objects_each(handle) <= 42
        assert await _objects_each(subscribe) <= 7
