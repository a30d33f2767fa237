"""What a worker has received: every message once, and no probe, over all reconnects."""

from __future__ import annotations

import asyncio
from typing import Any

from actors import Redis, Worker
from actors.testing import EmbeddedCluster
from tests.support import eventually
from tests.worker.helpers import make_worker


def is_back(app: Worker[Any], reconnects: int) -> bool:
    """Return whether there have been more reconnects, and everything is subscribed again."""
    now = app.snapshot()
    return now.reconnects > reconnects and not now.unconfirmed


async def test_messages_of_connections_that_ended_stay_counted_and_probes_do_not(server):
    app = make_worker(server, probe_interval=0.06)  # a probe every 20 ms
    handled: list[object] = []

    @app.channel("news")
    async def on_news(message: str) -> None:
        handled.append(message)

    async with app, Redis(server.host, server.port) as client:
        for round_ in range(1, 6):
            for _ in range(7):
                await client.publish("news", "x")
            await eventually(lambda n=round_: len(handled) == 7 * n)
            before = app.snapshot().reconnects
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(lambda n=before: is_back(app, n))
        # Looked at between any two steps of the event loop: a probe shows at no moment.
        seen = set()
        for _ in range(2000):
            seen.add(app.snapshot().received)
            await asyncio.sleep(0)
    assert seen == {35}


async def test_a_connection_that_ends_counts_nothing_of_the_other_nodes_twice():
    async with EmbeddedCluster(3, 0) as cluster:
        app = make_worker(cluster.url, cluster=True)
        handled: list[object] = []
        names = [f"news{number}" for number in range(12)]

        @app.channels(names, kind="shard_channel")
        async def on_news(message: str) -> None:
            handled.append(message)

        async with app:
            for name in names * 5:
                await app.client.spublish(name, "x")
            await eventually(lambda: len(handled) == 60)
            assert app.snapshot().received == 60
            first, *_ = await cluster.primaries()
            async with Redis(first.host, first.port) as direct:
                await direct.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(lambda: is_back(app, 0))
            assert app.snapshot().received == 60
