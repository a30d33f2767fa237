"""The two programs of the reference API, changed only in the import.

    python -m examples.quickstart                    # starts a server of its own
    python -m examples.quickstart redis://...        # uses yours

Somebody has to publish: a task in the background does, until the programs have what they wait for.
"""

# ruff: noqa: SIM117 - the two are as the API's text has them

from __future__ import annotations

import asyncio
import sys

import actors
from actors.testing.server import EmbeddedServer


async def first(url: str) -> None:
    """Subscribe on construction, and iterate."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        async with client.pubsub(
            ignore_subscribe_messages=True, channels=["channel-1", "channel-2"]
        ) as pubsub:
            seen = set()
            async for message in pubsub:
                match message["channel"]:
                    case "channel-1":
                        print("first", message["data"])
                    case "channel-2":
                        print("second", message["data"])
                seen.add(message["channel"])
                if len(seen) == 2:
                    break


async def second(url: str) -> None:
    """Subscribe explicitly."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("channel-1")
            acknowledged = await pubsub.get_message()
            assert acknowledged is not None
            assert acknowledged["channel"] == "channel-1"
            async for message in pubsub:
                print(message["data"])
                break


async def publish(url: str) -> None:
    """Say hello on both channels, again and again."""
    async with actors.Redis.from_url(url) as client:
        while True:
            await client.publish("channel-1", "hello")
            await client.publish("channel-2", "world")
            await asyncio.sleep(0.05)


async def main(url: str) -> None:
    """Run both programs beside a publisher."""
    publishing = asyncio.create_task(publish(url))
    try:
        await first(url)
        await second(url)
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with EmbeddedServer() as server:
            asyncio.run(main(server.url))
