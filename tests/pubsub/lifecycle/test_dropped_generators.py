"""P13: an async generator over a pub/sub object that is dropped leaves the context of the object.

The interpreter closes a generator that nobody refers to. So nothing that goes on running, neither
an actor nor a finished task, may refer to the generator.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from actors import ActorSystem, exceptions
from tests.pubsub.helpers import Heard, client_of, numsub
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


async def in_task(generator: AsyncIterator[Any]) -> Any:
    return await asyncio.create_task(anext(generator))  # type: ignore[arg-type]


async def in_wait_for(generator: AsyncIterator[Any]) -> Any:
    return await asyncio.wait_for(anext(generator), 5)


async def in_gather(generator: AsyncIterator[Any]) -> Any:
    return (await asyncio.gather(anext(generator)))[0]


async def here(generator: AsyncIterator[Any]) -> Any:
    return await anext(generator)


STEPS = [in_task, in_wait_for, in_gather, here]


async def dropped(server: AnyServer, before: set[asyncio.Task[Any]]) -> None:
    """No subscription is left at the server, and no task but those of ``before``."""
    gc.collect()
    await eventually(lambda: numsub(server, "a") == 0)
    await eventually(lambda: asyncio.all_tasks() <= before)


@pytest.mark.parametrize("system", ["its own", "around it", "inside"])
@pytest.mark.parametrize("step", STEPS)
async def test_p13_a_dropped_generator(server: AnyServer, step, system: str):
    async with AsyncExitStack() as stack, client_of(server) as client:
        if system == "around it":
            await stack.enter_async_context(ActorSystem("around"))

        async def messages() -> AsyncIterator[Any]:
            async with AsyncExitStack() as inner:
                if system == "inside":
                    await inner.enter_async_context(ActorSystem("inside"))
                pubsub = client.pubsub(
                    channels="a", channel_handlers={"b": Heard()}, ignore_subscribe_messages=True
                )
                await inner.enter_async_context(pubsub)
                async for message in pubsub:
                    yield message["data"]

        before = asyncio.all_tasks()
        generator = messages()
        first = asyncio.create_task(step(generator))
        await eventually(lambda: numsub(server, "a") == 1)
        await client.publish("a", "1")
        assert await first == "1"
        await client.publish("a", "2")
        assert await step(generator) == "2"
        del generator, first
        await dropped(server, before)
        await eventually(lambda: client.connection_pool.in_use == 0)


async def test_p13_an_abandoned_loop_over_a_generator(server: AnyServer):
    """The usual way: a loop that is left early, in a task that goes on."""
    async with client_of(server) as client:

        async def messages() -> AsyncIterator[Any]:
            async with client.pubsub(channels="a", ignore_subscribe_messages=True) as pubsub:
                async for message in pubsub:
                    yield message["data"]

        async def first() -> Any:
            async for one in messages():
                return one
            return None

        before = asyncio.all_tasks()
        reading = asyncio.create_task(first())
        await eventually(lambda: numsub(server, "a") == 1)
        await client.publish("a", "1")
        assert await reading == "1"
        await dropped(server, before)


@pytest.mark.parametrize("step", STEPS)
async def test_p13_a_generator_whose_pubsub_has_failed(server: AnyServer, step):
    """The failure reaches whoever takes the next step; a task that has ended is left alone."""
    async with client_of(server) as client:

        async def messages() -> AsyncIterator[Any]:
            async with client.pubsub(
                channels="a", ignore_subscribe_messages=True, retry_policy=None
            ) as pubsub:
                async for message in pubsub:
                    yield message["data"]

        before = asyncio.all_tasks()
        generator = messages()
        first = asyncio.create_task(step(generator))
        await eventually(lambda: numsub(server, "a") == 1)
        await client.publish("a", "1")
        assert await first == "1"
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        with pytest.raises(exceptions.ConnectionError):
            await here(generator)
        with pytest.raises(StopAsyncIteration):
            await here(generator)
        await dropped(server, before)
