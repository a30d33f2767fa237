"""What tests of slots on the move share: a subscriber, a publisher that follows, who has what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.redis.exceptions import MovedError
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import client_of, connect
from tests.pubsub.helpers import Gaps

__all__ = ["Publisher", "Sent", "is_subscribed_only_at", "sharded", "subscribers_at"]

#: Seconds by which the clock of a gap and that of the publisher's notes may be apart.
_SLACK = 0.02


async def subscribers_at(node: ClusterNode, channel: str = "a") -> int:
    """Return how many connections have ``channel`` at ``node``."""
    return (await node.execute("PUBSUB", "SHARDNUMSUB", channel))[1]


async def is_subscribed_only_at(node: ClusterNode, other: ClusterNode, channel: str = "a") -> bool:
    """Return whether one connection has ``channel`` at ``node``, and none at ``other``."""
    return await subscribers_at(node, channel) == 1 and await subscribers_at(other, channel) == 0


@asynccontextmanager
async def sharded(
    cluster: EmbeddedCluster, *channels: str, gaps: Gaps, **options: Any
) -> AsyncIterator[BasePubSub[Any]]:
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(
            channels=channels, ignore_subscribe_messages=True, on_gap=gaps, **options
        ) as p,
    ):
        yield p


class Sent(msgspec.Struct, frozen=True):
    """A message that a node accepted, and between which times (Unix) it did so."""

    channel: str
    data: str
    since: float
    until: float

    def is_in(self, gaps: Gaps) -> bool:
        """Return whether a gap of its channel tells of it."""
        return any(
            gap.name == self.channel
            and gap.since - _SLACK <= self.until
            and self.since <= gap.until + _SLACK
            for gap in gaps
        )


class Publisher:
    """Publishes numbers to channels of one slot, in turn, at whichever of two nodes owns it.

    Attributes:
        sent: what was accepted.
        slowest: seconds of the longest round trip.
    """

    def __init__(self, channels: list[str], source: ClusterNode, target: ClusterNode) -> None:
        self.channels = channels
        self.sent: list[Sent] = []
        self.slowest = 0.0
        self._nodes = [source, target]
        self._done = False

    async def __aenter__(self) -> Self:
        self._connections = [await connect(node) for node in self._nodes]
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._done = True
        await self._task
        for connection in self._connections:
            connection.close()

    async def _publish(self) -> None:
        number = 0
        while not self._done:
            for channel in self.channels:
                await self._say(channel, f"m{number}")
                number += 1
            await asyncio.sleep(0.002)

    async def _say(self, channel: str, data: str) -> None:
        since = time.time()
        try:
            await self._connections[0].execute("SPUBLISH", channel, data)
        except MovedError:
            self._connections.reverse()
        else:
            self.sent.append(Sent(channel, data, since, time.time()))
        self.slowest = max(self.slowest, time.time() - since)

    async def more(self, count: int = 20) -> bool:
        """Wait until so many more messages were accepted on each channel."""
        wanted = len(self.sent) + count * len(self.channels)
        while len(self.sent) < wanted:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.002)
        return True
