"""Where faults are played one after another: on one cluster, as long as they leave it in shape."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.clusters.node import ClusterTimeoutError
from actors.testing.servers.binary import ServerBinary
from tests.faults.scenarios import Fault
from tests.faults.stage import MANY_RECOVERING, RECOVERING, Stage

__all__ = ["STRAYS", "Theatre"]

#: So many of the sixty channels are published at replicas and demoted primaries.
STRAYS = 20


class Theatre:
    """Plays faults on servers of one kind, and heals their cluster after each.

    Attributes:
        not_played: what servers did not do, and was played once more, with the reason.

    Args:
        binary: the server program.
    """

    def __init__(self, binary: ServerBinary) -> None:
        self.binary = binary
        self.not_played: list[str] = []
        self._cluster: EmbeddedCluster | None = None
        self._shape: tuple[int, int] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.clear()

    async def play(self, fault: Fault, rate: float, history_rate: float | None = None) -> Stage:
        """Play a fault, and return the stage with what it showed.

        Once more, on a new cluster, where the servers did not do it: an atomic migration stands
        still now and then.

        Args:
            fault: what is played.
            rate: messages a second.
            history_rate: messages a second over 60 channels with recovery, beside these; None: over
                20 channels, as many for each as for the others.
        """
        try:
            return await self._play(fault, rate, history_rate)
        except ClusterTimeoutError as error:
            self.not_played.append(f"{fault.title}: {error}")
        return await self._play(fault, rate, history_rate)

    async def _play(self, fault: Fault, rate: float, history_rate: float | None) -> Stage:
        cluster = await self.cluster(fault.shape)
        try:
            async with Stage(
                cluster,
                rate,
                read_from_replicas=fault.replicas,
                proxied=fault.proxied,
                recovering=RECOVERING if history_rate is None else MANY_RECOVERING,
                history_rate=history_rate,
            ) as stage:
                await stage.play(fault.play)
            if not fault.spoils:
                await cluster.settled()
        except BaseException:
            # What is paused, dead or half moved in it does not concern the next fault.
            await self.clear()
            raise
        if fault.spoils:
            await self.clear()
        return stage

    async def cluster(self, shape: tuple[int, int] = (3, 1)) -> EmbeddedCluster:
        """Return a cluster that is well: the last one, or one of another shape."""
        if self._cluster is None or self._shape != shape:
            await self.clear()
            cluster = EmbeddedCluster(*shape, binary=self.binary)
            self._cluster, self._shape = await cluster.__aenter__(), shape
        return self._cluster

    async def clear(self) -> None:
        """End the cluster."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.__aexit__(None, None, None)
