"""The cluster worker: one shard channel handler for each channel, for the whole run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any, Self

from actors.pubsub.model.types import Gap
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.servers.binary import ServerBinary
from actors.worker import Worker
from tests.faults.arrivals import Arrivals
from tests.faults.results import wrongs
from tests.faults.scenarios import FAULTS, Fault, runs_on
from tests.faults.stage import CHANNELS, RECOVERING, Stage
from tests.soak.results import Round

__all__ = ["ClusterSide"]

# The faults that leave the cluster in its shape.
_NAMES = (
    *("connections_killed", "setslot", "atomic", "failover", "killed", "stopped", "rolling"),
    *("network_cut", "all_restarted", "reparented", "replica_killed_replicas"),
)


class ClusterSide:
    """A cluster, a proxy in front of each node, and a worker that listens on all channels.

    Args:
        binary: the server program.
        rate: messages a second.
    """

    def __init__(self, binary: ServerBinary, rate: float) -> None:
        self._binary = binary
        self._rate = rate
        self._exit = AsyncExitStack()
        self._arrivals: Arrivals | None = None
        # What is still to be played before each fault comes again.
        self._deck: list[Fault] = []

    async def __aenter__(self) -> Self:
        try:
            self._cluster = EmbeddedCluster(binary=self._binary)
            await self._exit.enter_async_context(self._cluster)
            self._proxies = ClusterProxies(self._cluster.nodes)
            await self._exit.enter_async_context(self._proxies)
            await self._exit.enter_async_context(self._worker())
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

    def _worker(self) -> Worker[Any]:
        app: Worker[Any] = Worker(
            [(node.host, node.port) for node in self._proxies.startup_nodes],
            address_remap=self._proxies.address_remap,
            on_gap=self._gap,
        )
        for name in CHANNELS:
            app.shard_channel(name)(self._handler(name))
        for name in RECOVERING:
            app.shard_channel(name, recover=True)(self._handler(name))
        return app

    def _handler(self, name: str) -> Any:
        async def take(data: str) -> None:
            if self._arrivals is not None:
                self._arrivals.take(name, data)

        return take

    def _gap(self, gap: Gap) -> None:
        if self._arrivals is not None:
            self._arrivals.gaps.append(gap)

    async def play(self, rng: Random) -> Round:
        """Play a fault while publishers publish, and judge."""
        if not self._deck:
            self._deck = [FAULTS[name] for name in _NAMES if runs_on(FAULTS[name], self._binary)]
            rng.shuffle(self._deck)
        fault = self._deck.pop()
        async with Stage(self._cluster, self._rate, listen=self._listen) as stage:
            stage.proxies = self._proxies
            verdict = await stage.play(fault.play)
            found = tuple(wrongs(fault, stage))
        await self._cluster.settled()
        return Round("cluster", fault.title.partition(" [")[0], False, verdict, found)

    @asynccontextmanager
    async def _listen(self, stage: Stage, options: dict[str, Any]) -> AsyncIterator[None]:
        self._arrivals = stage.arrivals
        try:
            yield
        finally:
            self._arrivals = None
