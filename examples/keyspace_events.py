"""Keyspace notifications of a whole cluster: which keys were set, whichever node has them.

    python -m examples.keyspace_events               # starts a cluster
    python -m examples.keyspace_events redis://...   # a node of a cluster that notifies

A node tells what happens to its keys to its own subscribers alone. So the pattern is subscribed on
every primary, and each gap says of which node something may have been missed.
"""

from __future__ import annotations

import asyncio
import sys

from actors import Gap, PubSubMessage, RedisCluster
from actors.testing import EmbeddedCluster

KEYS = [f"city:{name}" for name in ("Accra", "Bergen", "Cusco", "Dakar", "Essen", "Fes")]


async def watch(url: str) -> None:
    """Set some keys, and print the events of all of them."""
    seen: set[str] = set()
    complete = asyncio.Event()

    def on_event(message: PubSubMessage) -> None:
        key = message["channel"].partition(":")[2]
        if message["data"] == "set" and key in KEYS:
            seen.add(key)
        if len(seen) == len(KEYS):
            complete.set()

    def on_gap(gap: Gap) -> None:
        print(f"missed events of {gap.node} for {gap.seconds:.2f} s: {gap.reason}")

    async with (
        RedisCluster.from_url(url, decode_responses=True) as client,
        client.pubsub(
            every_primary=True, pattern_handlers={"__keyspace@0__:*": on_event}, on_gap=on_gap
        ) as pubsub,
    ):
        print(f"subscribed on {len(pubsub.nodes())} primaries")
        for key in KEYS:
            await client.execute_command("SET", key, "1")
        await asyncio.wait_for(complete.wait(), 10)
        for key in sorted(seen):
            print(f"{key} was set")


async def main() -> None:
    if len(sys.argv) > 1:
        await watch(sys.argv[1])
        return
    async with EmbeddedCluster(3, 0, args={"notify-keyspace-events": "KEA"}) as cluster:
        await watch(cluster.url)


if __name__ == "__main__":
    asyncio.run(main())
