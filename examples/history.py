"""Publishing with a history: the server keeps the messages for consumers that miss some.

python -m examples.history                    # starts a server
python -m examples.history redis://...        # uses your server
"""

from __future__ import annotations

import asyncio
import sys

import actors
from actors.testing.servers.server import EmbeddedServer

ORDERS = actors.History(maxlen=1000, max_age=3600)


async def publish(url: str) -> None:
    """Publish while nobody listens, while somebody does, and many at once."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        await client.execute_command("DEL", "{orders}:history")
        entry_id = await client.publish("orders", "order 1", history=ORDERS)
        print("nobody listens; number", entry_id.split("-")[1])

        # A subscriber of the channel gets what it always got.
        async with client.pubsub(channels=["orders"], ignore_subscribe_messages=True) as pubsub:
            await client.publish("orders", "order 2", history=ORDERS)
            message = await anext(pubsub)
            print("received:", message["data"])

        ids = await client.publish_many(
            (("orders", f"order {n}") for n in range(3, 6)), history=ORDERS
        )
        print("publish_many; numbers", [int(one.split("-")[1]) for one in ids])

        async with client.pipeline(transaction=True) as pipe:
            pipe.execute_command("INCR", "example:orders")
            pipe.publish("orders", "order 6", history=ORDERS)
            pipe.execute_command("DEL", "example:orders")

        entries = await client.execute_command("XRANGE", "{orders}:history", "-", "+")
        print("the history:", [fields[1] for _, fields in entries])

        try:
            await client.publish("a}b", "x", history=ORDERS)
        except actors.exceptions.DataError as error:
            print("refused:", error)


async def main() -> None:
    """Use the server of the first argument, or start one."""
    if len(sys.argv) > 1:
        await publish(sys.argv[1])
    else:
        async with EmbeddedServer() as server:
            await publish(server.url)


if __name__ == "__main__":
    asyncio.run(main())
