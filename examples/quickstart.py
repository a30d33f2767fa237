"""Two programs from the documentation of coredis; only import and address are changed.

    python -m examples.quickstart                    # starts a server
    python -m examples.quickstart redis://...        # uses your server

A background task publishes some messages; each program runs until that task has finished.
"""

# The programs are kept as they are in that documentation.
# ruff: noqa: SIM117
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import actors
from actors.testing.servers.server import EmbeddedServer


async def first(url: str) -> None:
    """Subscribe in the constructor and iterate."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        async with client.pubsub(
            ignore_subscribe_messages=True, channels=["channel-1", "channel-2"]
        ) as pubsub:
            async for message in pubsub:
                match message["channel"]:
                    case "channel-1":
                        print("first", message["data"])
                    case "channel-2":
                        print("second", message["data"])


async def second(url: str) -> None:
    """Subscribe with a call and iterate."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("channel-1")
            assert (await pubsub.get_message())["channel"] == "channel-1"  # type: ignore[index]
            async for message in pubsub:
                print(message["data"])


async def publish(url: str) -> None:
    """Publish to both channels a few times, once the program is subscribed."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        while not (await client.pubsub_numsub("channel-1"))["channel-1"]:
            await asyncio.sleep(0.01)
        for number in range(3):
            await client.publish("channel-1", f"hello {number}")
            await client.publish("channel-2", f"world {number}")
            await asyncio.sleep(0.05)


async def play(program: Callable[[str], Coroutine[Any, Any, None]], url: str) -> None:
    """Run a program until ``publish`` has finished."""
    running = asyncio.create_task(program(url))
    publishing = asyncio.create_task(publish(url))
    await asyncio.wait([running, publishing], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, publishing):
        task.cancel()
    await asyncio.wait([running, publishing])
    for task in (running, publishing):
        if not task.cancelled():
            task.result()  # raises the error of a task that failed


async def main(url: str) -> None:
    """Run both programs."""
    await play(first, url)
    await play(second, url)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with EmbeddedServer() as server:
            asyncio.run(main(server.url))
