"""What tests of ClusterPubSub need: a stream of numbers, and who serves it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from actors import ClusterPubSub
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import client_of
from tests.pubsub.helpers import QUICK, Gaps, Heard
from tests.support import eventually

__all__ = ["DEADLINE", "Stream", "serving"]

#: Seconds in which a node must answer a PING.
DEADLINE = 0.3


def serving(cluster: EmbeddedCluster, pubsub: ClusterPubSub[Any]) -> ClusterNode:
    """The node that ``pubsub`` listens on."""
    connection = pubsub.connection
    assert connection is not None
    return next(node for node in cluster.nodes if node.location == connection.location)


class Stream:
    """A pubsub with a channel, a pattern and a handler, to which numbers are published.

    Attributes:
        got: the numbers that arrived, by target.
        sent: when each number was sent, by the wall clock.
    """

    TARGETS = ("a", "h", "p*")

    def __init__(self, cluster: EmbeddedCluster, **options: Any) -> None:
        self.cluster = cluster
        self.options = options
        self.gaps = Gaps()
        self.handled = Heard()
        self.got: dict[str, list[int]] = {"a": [], "p*": []}
        self.sent: list[float] = []
        self.pubsub: ClusterPubSub[str]
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        client = client_of(self.cluster, stream_timeout=DEADLINE)
        await self._exit.enter_async_context(client)
        options = {"retry_policy": QUICK, **self.options}
        self.pubsub = await self._exit.enter_async_context(
            client.pubsub(
                channels=["a"],
                channel_handlers={"h": self.handled},
                patterns=["p*"],
                on_gap=self.gaps,
                ignore_subscribe_messages=True,
                **options,
            )
        )
        consumer = asyncio.create_task(self._consume())
        self._exit.push_async_callback(self._end, consumer)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exit.aclose()

    async def _consume(self) -> None:
        async for one in self.pubsub:
            self.got[one["pattern"] or one["channel"]].append(int(one["data"]))

    @asynccontextmanager
    async def numbers(self, node: ClusterNode) -> AsyncIterator[None]:
        """Publish at ``node`` until the context is left, and then wait for the last numbers."""
        publisher = asyncio.create_task(self._publish(node))
        try:
            await eventually(lambda: len(self.sent) > 20)
            yield
            reached = len(self.sent)
            await eventually(lambda: publisher.done() or len(self.sent) > reached + 20)
        finally:
            await self._end(publisher)
        last = len(self.sent) - 1
        await eventually(lambda: all(numbers[-1] == last for numbers in self.numbers_got()))

    def numbers_got(self) -> list[list[int]]:
        return [self.got["a"], [int(number) for number in self.handled], self.got["p*"]]

    async def _publish(self, node: ClusterNode) -> None:
        for number in itertools.count():
            self.sent.append(time.time())
            commands: list[tuple[str | bytes | int, ...]] = [
                ("PUBLISH", channel, number) for channel in ("a", "h", "pattern")
            ]
            assert set(await node.execute_all(commands)) <= {0, 1}
            await asyncio.sleep(0.003)

    async def _end(self, task: asyncio.Task[None]) -> None:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def check(self, *, gaps: int = 1, slack: float = 0.05) -> None:
        """Each target had that many gaps; what it missed lies in them; nothing came twice."""
        assert self.gaps.names() == sorted(self.TARGETS * gaps)
        for target, numbers in zip(self.TARGETS, self.numbers_got(), strict=True):
            assert numbers == sorted(set(numbers)), f"twice, or out of order, at {target}"
            own = [gap for gap in self.gaps if gap.name == target]
            for number in set(range(len(self.sent))) - set(numbers):
                # A gap begins early, for what was on the bus. On a busy machine that takes longer.
                sent = self.sent[number]
                assert any(g.since - slack <= sent <= g.until + slack for g in own), (number, own)

    def others(self, *than: ClusterNode) -> list[ClusterNode]:
        return [node for node in self.cluster.alive if node not in than]
