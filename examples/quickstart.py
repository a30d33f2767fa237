"""The two programs of the reference API, changed only in the import and the server's address.

    python -m examples.quickstart                    # starts a server of its own
    python -m examples.quickstart redis://...        # uses yours

Somebody has to publish: a task in the background does, and ends the programs when it is through.
"""

# ruff: noqa: SIM117 - the two are as the API's text has them

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import actors
from actors.testing.servers.server import EmbeddedServer


async def first(url: str) -> None:
    """Subscribe on construction, and iterate."""
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
    """Subscribe explicitly."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("channel-1")
            assert (await pubsub.get_message())["channel"] == "channel-1"  # type: ignore[index]
            async for message in pubsub:
                print(message["data"])


async def publish(url: str) -> None:
    """Say hello on both channels a few times, once somebody listens."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        while not (await client.pubsub_numsub("channel-1"))["channel-1"]:
            await asyncio.sleep(0.01)
        for number in range(3):
            await client.publish("channel-1", f"hello {number}")
            await client.publish("channel-2", f"world {number}")
            await asyncio.sleep(0.05)


async def play(program: Callable[[str], Coroutine[Any, Any, None]], url: str) -> None:
    """Run a program for as long as somebody publishes."""
    running = asyncio.create_task(program(url))
    publishing = asyncio.create_task(publish(url))
    await asyncio.wait([running, publishing], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, publishing):
        task.cancel()
    await asyncio.wait([running, publishing])
    for task in (running, publishing):
        if not task.cancelled():
            task.result()  # it ended by itself: raises why, if not for the best


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
