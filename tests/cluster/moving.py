"""What tests of slots on the move share: subscribers, a publisher that does not need our loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from actors.pubsub.api.base import BasePubSub
from actors.redis.exceptions import MovedError
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.cluster.clusters import client_of, connect
from tests.pubsub.helpers import Gaps


async def waits_at(node: ClusterNode) -> bool:
    """Whether a subscriber's tries wait at ``node``."""
    clients = (await node.execute("CLIENT", "LIST")).decode().splitlines()
    return any("flags=b" in line or "cmd=wait" in line for line in clients)


async def subscribers_at(node: ClusterNode, channel: str = "a") -> int:
    return (await node.execute("PUBSUB", "SHARDNUMSUB", channel))[1]


@asynccontextmanager
async def sharded(
    cluster: EmbeddedCluster,
    *channels: str,
    gaps: Gaps,
    max_connections: int = 32,
    max_connections_per_node: bool = False,
    **options: Any,
) -> AsyncIterator[BasePubSub[Any]]:
    async with (
        client_of(
            cluster,
            max_connections=max_connections,
            max_connections_per_node=max_connections_per_node,
        ) as client,
        client.sharded_pubsub(
            channels=channels, ignore_subscribe_messages=True, on_gap=gaps, **options
        ) as p,
    ):
        yield p


class Elsewhere(threading.Thread):
    """A publisher that does not need our event loop: it publishes at the source, then follows.

    From the moment before the slot changes hands until messages came to the target, it keeps our
    event loop from doing anything. Subclasses say how the slot does so.
    """

    def __init__(self, source: ClusterNode, target: ClusterNode, ours: asyncio.AbstractEventLoop):
        super().__init__()
        self.source, self.target, self.ours = source, target, ours
        self.accepted: list[str] = []
        self.moved = False
        self._done = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(asyncio.wait_for(self._publish(), 10.0))
        finally:
            self._done.set()

    async def begin(self, source: Connection, target: Connection) -> None:
        """Return when the slot is about to change hands."""

    async def end(self, source: Connection, target: Connection) -> None:
        """Have it change hands."""

    async def _publish(self) -> None:
        source, target = await connect(self.source), await connect(self.target)
        try:
            # A server that does nothing looks at no timeouts: as elsewhere, others use it, too.
            others = asyncio.create_task(self._keep_busy(target))
            await self.begin(source, target)
            self.ours.call_soon_threadsafe(self._done.wait, 10.0)
            await self.end(source, target)
            while not self.moved:
                await self._say(source)
            others.cancel()
            for _ in range(3):
                await self._say(target)
        finally:
            source.close()
            target.close()

    async def _keep_busy(self, target: Connection) -> None:
        while True:
            await target.execute("PING")

    async def _say(self, node: Connection) -> None:
        data = f"m{len(self.accepted)}"
        try:
            await node.execute("SPUBLISH", "a", data)
        except MovedError:
            self.moved = True
        else:
            self.accepted.append(data)


@contextmanager
def running_thread(thread: threading.Thread) -> Iterator[None]:
    thread.start()
    try:
        yield
    finally:
        thread.join()
