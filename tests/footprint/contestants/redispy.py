"""redis-py, asyncio: a task for each node, as its method waits for one node at a time."""

from __future__ import annotations

import asyncio

from redis.asyncio.cluster import RedisCluster

from tests.footprint.jobs import Job, Received, channel_names


async def consume(job: Job, received: Received) -> None:
    """``get_sharded_message()`` for each node in a loop."""
    async with RedisCluster.from_url(job.url) as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        await pubsub.ssubscribe(*channel_names(job.channels))

        async def listen(name: str) -> None:
            node = client.get_node(node_name=name)
            while True:
                if await pubsub.get_sharded_message(target_node=node, timeout=None) is not None:
                    received()

        async with asyncio.TaskGroup() as tasks:
            for name in list(pubsub.node_pubsub_mapping):
                tasks.create_task(listen(name))
