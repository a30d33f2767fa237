"""Where a fault is played: a cluster, a publisher, and a subscriber whose messages are noted."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.pubsub.model.types import Gap
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from tests.faults.load import Load, Report, even_channels
from tests.faults.verdict import Seen, Verdict, back_after, judge
from tests.faults.words import judge_words
from tests.support import eventually

__all__ = ["CHANNELS", "Stage"]

CHANNELS = even_channels(60)
# Seconds in which every channel must be heard of again.
_PATIENCE = 15.0
# So many messages of a channel may lie in our sockets, unread, at any time.
_IN_SOCKETS = 2
# Seconds of peace before the fault. Connections younger than one are not restored at once, but
# after a delay: no fault here is meant to hit those.
_WARM = 1.0


class Stage:
    """One run on a cluster: enter, ``play`` a fault, read the verdict.

    Args:
        cluster: settled.
        rate: messages a second, over all channels.
        read_from_replicas: listen on replicas.
        proxied: have a proxy between the subscriber and each node.
        words: payloads are one of two words instead of numbers; see ``words``.
        after: seconds for which it goes on when all is live again.
    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        rate: float,
        *,
        read_from_replicas: bool = False,
        proxied: bool = False,
        words: bool = False,
        after: float = 0.5,
    ) -> None:
        self.cluster = cluster
        self.rate = rate
        self.channels = CHANNELS
        self.after = after
        #: Channels that the fault may cost messages, and those that may have a gap.
        self.touched: set[str] = set()
        self.interrupted: set[str] = set()
        #: What is timed: channels, since when, and on which nodes' word; see ``back_after``.
        self.timed: tuple[Collection[str], float, Collection[int] | None] | None = None
        self.gaps: list[Gap] = []
        self.messages: dict[str, list[tuple[int, float]]] = {name: [] for name in CHANNELS}
        self.began = self.ended = 0.0
        self.report: Report
        self.verdict: Verdict
        self.pubsub: ShardedPubSub[str]
        self.proxies: ClusterProxies | None = None
        self.read_from_replicas = read_from_replicas
        self._proxied = proxied
        self.words = words
        self.arrived_words: dict[str, list[str]] = {name: [] for name in CHANNELS}
        self._exit = AsyncExitStack()

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _enter(self) -> None:
        options: dict[str, Any] = {"startup_nodes": self.cluster.startup_nodes}
        if self._proxied:
            self.proxies = ClusterProxies(self.cluster.nodes)
            await self._exit.enter_async_context(self.proxies)
            options["startup_nodes"] = self.proxies.startup_nodes
            options["address_remap"] = self.proxies.address_remap
        pool = ClusterConnectionPool(decode_responses=True, **options)
        self.pubsub = ShardedPubSub(
            pool,
            ignore_subscribe_messages=True,
            retry_policy=DEFAULT_RETRY_POLICY,
            read_from_replicas=self.read_from_replicas,
            channels=self.channels,
            on_gap=self.gaps.append,
        )
        await self._exit.enter_async_context(self.pubsub)
        consumer = asyncio.create_task(self._consume(), name="consumer")
        self._exit.push_async_callback(self._end, consumer)
        self.load = Load(self.cluster.startup_nodes, self.channels, self.rate, words=self.words)
        self._exit.push_async_callback(self.load.close)
        await self.load.start()

    async def _consume(self) -> None:
        messages, now = self.messages, time.time
        if self.words:
            async for message in self.pubsub:
                arrived = messages[message["channel"]]
                arrived.append((len(arrived), now()))
                self.arrived_words[message["channel"]].append(message["data"])
        async for message in self.pubsub:
            messages[message["channel"]].append((int(message["data"]), now()))

    async def _end(self, consumer: asyncio.Task[None]) -> None:
        if consumer.done() and not consumer.cancelled():
            consumer.result()  # it must not end before we say so: let its error out
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)

    # -- the run -----------------------------------------------------------------------------------

    async def play(self, fault: Callable[[Stage], Awaitable[None]]) -> Verdict:
        """Play a fault in the middle of the stream, and judge what became of the messages."""
        await self.live("before the fault")
        await asyncio.sleep(_WARM)
        # What the last run left, tens of thousands of noted messages, would be collected during
        # this one: a pause of up to 100 ms, which no fault of the cluster's is.
        gc.collect()
        self.began = time.time()
        await fault(self)
        self.ended = time.time()
        await self.live("after the fault")
        settled_at = time.time()
        await asyncio.sleep(self.after)
        self.report = await self.load.stop()
        await self._quiet()
        if self.words:
            self.verdict = judge_words(
                self.channels,
                self.report,
                self.seen(),
                self.arrived_words,
                settled_at=settled_at,
            )
            return self.verdict
        self.verdict = judge(
            self.channels,
            self.report,
            self.seen(),
            touched=self.touched,
            interrupted=self.interrupted,
            settled_at=settled_at,
        )
        return self.verdict

    async def live(self, when: str) -> None:
        """Wait until there is something new of each channel; what never comes, the verdict says.

        New is what was sent since: of each channel one message at a time is on its way, but some
        may lie in our own sockets.
        """
        before = {name: len(messages) for name, messages in self.messages.items()}

        def silent() -> list[str]:
            return [
                name
                for name, count in before.items()
                if len(self.messages[name]) < count + _IN_SOCKETS + 1
            ]

        try:
            await eventually(lambda: not silent(), _PATIENCE, 0.01)
        except AssertionError:
            if when == "before the fault":
                raise AssertionError(f"not live {when}: {silent()}") from None

    async def _quiet(self) -> None:
        """Wait until all that was accepted has come, or nothing has for a while."""
        accepted: dict[str, set[int]] = {name: set() for name in self.channels}
        for message in self.report.accepted:
            accepted[self.channels[message.channel]].add(message.number)
        last, since = -1, time.time()
        while time.time() - since < 0.5:
            missing = any(
                not accepted[name] <= {number for number, _ in messages}
                for name, messages in self.messages.items()
            )
            if not missing:
                await asyncio.sleep(0.05)  # for what may come twice
                return
            count = sum(map(len, self.messages.values()))
            if count != last:
                last, since = count, time.time()
            await asyncio.sleep(0.05)

    # -- for faults --------------------------------------------------------------------------------

    async def channels_of(self, node: ClusterNode) -> set[str]:
        """Return the channels whose slots the primary ``node`` serves now."""
        topology = await self.cluster.topology()
        found = set()
        for name in self.channels:
            primary = topology.primary_for(key_slot(name.encode()))
            if primary is not None and primary.id == node.id:
                found.add(name)
        return found

    def interrupts(self, names: Collection[str]) -> None:
        """Say which channels may have a gap, though they lose nothing."""
        self.interrupted.update(names)

    def concerns(self, names: Collection[str]) -> None:
        """Say which channels the fault may interrupt, and so cost messages."""
        self.touched.update(names)
        self.interrupted.update(names)

    def time(
        self,
        names: Collection[str],
        since: float | None = None,
        accepted_by: ClusterNode | None = None,
    ) -> None:
        """Have it timed how long ``names`` take to receive again; see ``back_after``."""
        ports = None if accepted_by is None else (accepted_by.port,)
        self.timed = (names, time.time() if since is None else since, ports)

    # -- figures -----------------------------------------------------------------------------------

    def seen(self) -> Seen:
        """Return what the consumer saw."""
        return Seen(self.messages, self.gaps)

    def back(self) -> dict[str, float | None]:
        """Return how long what is timed took."""
        if self.timed is None or self.words:
            return {}
        names, since, ports = self.timed
        return back_after(self.channels, self.report, self.seen(), names, since, ports)

    def offered_rate(self) -> float:
        """Return how many messages a second were sent while the fault happened."""
        begin, end = self.began, max(self.ended, self.began + 0.5)
        times = [m.sent for m in self.report.accepted] + [m.sent for m in self.report.unknown]
        return sum(begin <= at <= end for at in times) / (end - begin)
