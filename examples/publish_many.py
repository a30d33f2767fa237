"""Publishing many messages: all tasks share one connection, batches and pipelines.

python -m examples.publish_many                    # starts a server
python -m examples.publish_many redis://...        # uses your server
"""

from __future__ import annotations

import asyncio
import sys

import actors
from actors.testing.servers.server import EmbeddedServer


async def publish(url: str) -> None:
    """Publish in four ways to a subscriber that counts."""
    received = 0
    done = asyncio.Event()

    def count(_: actors.PubSubMessage) -> None:
        nonlocal received
        received += 1
        if received == 3002:
            done.set()

    async with (
        actors.Redis.from_url(url, decode_responses=True) as client,
        client.pubsub(channel_handlers={"orders": count}),
    ):
        print("one message, receivers:", await client.publish("orders", "0"))

        # A thousand tasks: their commands leave together, over one connection.
        counts = await asyncio.gather(*(client.publish("orders", str(n)) for n in range(1000)))
        print("a thousand tasks, receivers:", sum(counts))

        # Messages are taken from the generator as the ones before them are published.
        counts = await client.publish_many(("orders", f"order {n}") for n in range(2000))
        print("publish_many, receivers:", sum(counts))

        # Any commands, together; here between MULTI and EXEC.
        async with client.pipeline(transaction=True) as pipe:
            number = pipe.execute_command("INCR", "example:orders")
            pipe.publish("orders", "the last one")
            pipe.execute_command("DEL", "example:orders")
        print("pipeline:", await number, pipe.results)

        await asyncio.wait_for(done.wait(), 10)
        print("received:", received)


async def main() -> None:
    """Use the server of the first argument, or start one."""
    if len(sys.argv) > 1:
        await publish(sys.argv[1])
    else:
        async with EmbeddedServer() as server:
            await publish(server.url)


if __name__ == "__main__":
    asyncio.run(main())
