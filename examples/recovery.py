"""Consuming with recovery: what was missed is read from the channel's history.

python -m examples.recovery                    # starts a server
python -m examples.recovery redis://...        # uses your server
"""

from __future__ import annotations

import asyncio
import sys

import actors
from actors.testing.servers.server import EmbeddedServer

ORDERS = actors.History(maxlen=100)


async def consume(url: str) -> None:
    """Lose the connection, come late, and come too late."""
    async with actors.Redis.from_url(url, decode_responses=True) as client:
        await client.execute_command("DEL", "{orders}:history")
        async with client.pubsub(
            channels=["orders"], recover=True, ignore_subscribe_messages=True
        ) as pubsub:
            await client.publish("orders", "order 1", history=ORDERS)
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await client.publish("orders", "order 2", history=ORDERS)  # nobody is subscribed
            print("connection lost:", [(await anext(pubsub))["data"] for _ in range(2)])

        async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(orders=actors.Recover(since="all"))
            first = await anext(pubsub)
            entry = first.get("id", "")
            print("a late joiner:", first["data"], "is number", entry.split("-")[1])
            await client.publish("orders", "order 3", history=ORDERS)
            print("and goes on:", [(await anext(pubsub))["data"] for _ in range(2)])

        await client.publish_many((("orders", f"order {n}") for n in range(4, 8)), history=ORDERS)
        await client.execute_command("XTRIM", "{orders}:history", "MAXLEN", 2)

        def tell(gap: actors.Gap) -> None:
            print(gap.name, "has lost", gap.lost, "and recovered", gap.recovered)

        late = actors.Recover(since=entry)
        async with client.pubsub(
            channels=["orders"], recover=late, on_gap=tell, ignore_subscribe_messages=True
        ) as pubsub:
            print("came too late:", [(await anext(pubsub))["data"] for _ in range(2)])


async def main() -> None:
    """Use the server of the first argument, or start one."""
    if len(sys.argv) > 1:
        await consume(sys.argv[1])
    else:
        async with EmbeddedServer() as server:
            await consume(server.url)


if __name__ == "__main__":
    asyncio.run(main())
