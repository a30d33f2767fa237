"""Where a fault is played: a cluster, a publisher, and a subscriber whose messages are noted."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.pubsub.model.recover import Recover
from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.node import ClusterTimeoutError
from actors.testing.clusters.proxies import ClusterProxies
from tests.faults.arrivals import Arrivals
from tests.faults.load import Load, Report, even_channels, part
from tests.faults.verdict import Verdict, back_after, judge
from tests.faults.words import judge_words

__all__ = ["AT_OWNER", "CHANNELS", "MANY_RECOVERING", "RECOVERING", "Listen", "Stage"]

AT_OWNER = even_channels(60)


def _beside(suffix: str, count: int) -> list[str]:
    """Return channels in the slots of those, evenly over all slots."""
    return [f"{name[:-1]}{suffix}" for name in AT_OWNER[:: len(AT_OWNER) // count][:count]]


# Published at replicas and demoted primaries; with payloads that repeat.
_STRAYS, _WORDS = _beside("s", 20), _beside("w", 15)
_NUMBERED = [*_STRAYS, *AT_OWNER]
CHANNELS = [*_NUMBERED, *_WORDS]
# Channels with a history, that are consumed with recovery.
RECOVERING = _beside("h", 20)
MANY_RECOVERING = [f"{name}h" for name in AT_OWNER]
# Seconds of peace before the fault. Connections younger than one are not restored at once, but
# after a delay: no fault here is meant to hit those.
_WARM = 1.0
# Messages that may wait for the consumer: none is shed while its loop is held up.
_ROOM = 100_000
# Seconds without an accepted message after which a silent channel is the servers' fault.
_UNSERVED = 10.0


#: Has the messages of a stage given to its ``arrivals`` while it is entered; the options are those
#: of a cluster's client.
Listen: TypeAlias = Callable[["Stage", dict[str, Any]], AbstractAsyncContextManager[None]]


class Stage:
    """One run on a cluster: enter, ``play`` a fault, read the verdict.

    Args:
        cluster: settled.
        rate: messages a second, over the channels that are published to at the owner; each of the
            others has as many as one of these.
        read_from_replicas: listen on replicas.
        proxied: have a proxy between the subscriber and each node.
        listen: has the messages given to ``arrivals`` while it is entered; None: a pub/sub object
            made for this stage.
        after: seconds for which it goes on when all is live again.
        recovering: channels that have a history and are consumed with recovery.
        history_rate: messages a second over these; None: each has as many as one of the others.
    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        rate: float,
        *,
        read_from_replicas: bool = False,
        proxied: bool = False,
        listen: Listen | None = None,
        after: float = 0.5,
        recovering: Sequence[str] = RECOVERING,
        history_rate: float | None = None,
    ) -> None:
        self.cluster = cluster
        self.rate = rate
        self.recovering = recovering
        self.channels = [*CHANNELS, *recovering]
        if history_rate is None:
            history_rate = rate * len(recovering) / len(AT_OWNER)
        self.history_rate = history_rate
        self.after = after
        #: Channels that the fault may cost messages, and those that may have a gap.
        self.touched: set[str] = set()
        self.interrupted: set[str] = set()
        #: What is timed: channels, since when, and on which nodes' word; see ``back_after``.
        self.timed: tuple[Collection[str], float, Collection[int] | None] | None = None
        self.arrivals = Arrivals(self.channels, words=_WORDS)
        self.began = self.ended = 0.0
        self.report: Report
        self.verdict: Verdict
        #: What became of the messages whose payloads repeat.
        self.verdict_of_words: Verdict
        #: What became of the messages that have a history.
        self.verdict_of_recovery: Verdict
        self.proxies: ClusterProxies | None = None
        self.read_from_replicas = read_from_replicas
        self._proxied = proxied
        self._listen = listen or _listen
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
        await self._exit.enter_async_context(self._listen(self, options))
        self.load = Load(
            self.cluster.startup_nodes,
            self.channels,
            self.rate * len(CHANNELS) / len(AT_OWNER),
            words=len(_WORDS),
            strays=len(_STRAYS),
            histories=len(self.recovering),
            history_rate=self.history_rate,
        )
        self._exit.push_async_callback(self.load.close)
        await self.load.start()

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
        never = await self.live("after the fault")
        settled_at = time.time()
        await asyncio.sleep(self.after)
        self.report = await self.load.stop()
        await self.arrivals.quiet(self.report)
        self._check_served(never, settled_at)
        self.verdict_of_words = judge_words(
            _WORDS,
            part(self.report, len(_NUMBERED), len(CHANNELS)),
            self.arrivals.seen(_WORDS),
            self.arrivals.words,
            settled_at=settled_at,
            never=never,
        )
        self.verdict_of_recovery = judge(
            self.recovering,
            part(self.report, len(CHANNELS), len(self.channels)),
            self.arrivals.seen(self.recovering),
            touched=self.recovering,
            interrupted=self.recovering,
            settled_at=settled_at,
            never=never,
        )
        self.verdict = judge(
            _NUMBERED,
            part(self.report, 0, len(_NUMBERED)),
            self.arrivals.seen(_NUMBERED),
            touched=self.touched,
            interrupted=self.interrupted,
            settled_at=settled_at,
            never=never,
        )
        return self.verdict

    def _check_served(self, silent: Collection[str], settled_at: float) -> None:
        """Raise ClusterTimeoutError if the servers accepted nothing of a silent channel either."""
        served = {
            self.channels[message.channel]
            for message in self.report.accepted
            if message.answered > settled_at - _UNSERVED
        }
        if unserved := set(silent) - served:
            raise ClusterTimeoutError(
                f"no server accepted a message of {', '.join(sorted(unserved))} for"
                f" {_UNSERVED:g} s; the publisher was told: {self.report.errors}"
            )

    async def live(self, when: str) -> list[str]:
        """Wait until there is something new of each channel; return those that stay silent."""
        silent = await self.arrivals.live()
        assert not silent or when != "before the fault", f"not live {when}: {silent}"
        return silent

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

    def back(self) -> dict[str, float | None]:
        """Return how long what is timed took."""
        if self.timed is None:
            return {}
        names, since, ports = self.timed
        report = part(self.report, len(_STRAYS), len(_NUMBERED))
        timed = [name for name in AT_OWNER if name in names]
        return back_after(AT_OWNER, report, self.arrivals.seen(AT_OWNER), timed, since, ports)

    def offered_rate(self) -> float:
        """Return how many messages a second were sent while the fault happened."""
        begin, end = self.began, max(self.ended, self.began + 0.5)
        times = [m.sent for m in self.report.accepted] + [m.sent for m in self.report.unknown]
        return sum(begin <= at <= end for at in times) / (end - begin)


@asynccontextmanager
async def _listen(stage: Stage, options: dict[str, Any]) -> AsyncIterator[None]:
    """Have a pub/sub object of its own listen."""
    arrivals = stage.arrivals
    pubsub = ShardedPubSub[str](
        ClusterConnectionPool(decode_responses=True, **options),
        ignore_subscribe_messages=True,
        retry_policy=DEFAULT_RETRY_POLICY,
        read_from_replicas=stage.read_from_replicas,
        channels=CHANNELS,
        channel_handlers=dict.fromkeys(stage.recovering, Recover()),
        on_gap=arrivals.gaps.append,
        mailbox=_ROOM,
    )

    async def consume() -> None:
        take = arrivals.take
        async for message in pubsub:
            take(message["channel"], message["data"])

    async with pubsub:
        consumer = asyncio.create_task(consume(), name="consumer")
        try:
            yield
        finally:
            if consumer.done() and not consumer.cancelled():
                consumer.result()  # it must not end before we say so: let its error out
            consumer.cancel()
            await asyncio.gather(consumer, return_exceptions=True)
