"""The demo on a cluster of three primaries and three replicas, and its faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from actors import ActorSystem, RedisCluster
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.slot_moves import can_migrate_atomically
from examples.demo_parts.display import Display
from examples.demo_parts.recovering import HISTORY
from examples.demo_parts.stage import RETRY, Fault, Outcome, Stage
from examples.demo_parts.story import Story

__all__ = ["on_embedded_cluster"]

CHANNELS = [f"{kind}.{n:02}" for kind in ("orders", "payments", "quotes") for n in range(1, 21)]
RATE = 1200.0
#: The number of slots with channels in them that one fault moves.
MOVED_SLOTS = 8
#: The seconds that the faults below take.
FAULT_SECONDS = 17.0


async def on_embedded_cluster(display: Display, seconds: float) -> Outcome:
    """Play on a private cluster."""
    async with EmbeddedCluster(primaries=3, replicas=1) as cluster:
        title = f"mailslot demo on a cluster of 3 + 3, {cluster.binary}"
        publisher: Any = RedisCluster.from_url(cluster.url, connect_timeout=1, stream_timeout=1)
        consumer: Any = RedisCluster.from_url(
            cluster.url, decode_responses=True, connect_timeout=1, stream_timeout=0.5
        )

        def subscribe(handlers: dict[str, Any], story: Story, system: ActorSystem) -> Any:
            return consumer.sharded_pubsub(
                channel_handlers=handlers,
                on_gap=story.gap,
                on_failure=story.handler_failed,
                retry_policy=RETRY,
                max_idle_seconds=1,
                system=system,
            )

        def recover(handlers: dict[str, Any], on_gap: Any, system: ActorSystem) -> Any:
            return consumer.sharded_pubsub(
                channel_handlers=handlers,
                recover=True,
                on_gap=on_gap,
                retry_policy=RETRY,
                max_idle_seconds=1,
                system=system,
            )

        async with publisher, consumer:
            faults = await _Breaker(cluster).faults()
            stage = Stage(
                title,
                display,
                subscribe=subscribe,
                recover=recover,
                publish=partial(publisher.spublish, history=HISTORY),
                channels=CHANNELS,
                rate=RATE,
                calm=max(0.3, (seconds - FAULT_SECONDS) / (len(faults) + 1)),
            )
            stage.story.say("title", title)
            return await stage.play(faults)


class _Breaker:
    """Injects the faults of a cluster."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.cluster = cluster
        self.victim: ClusterNode

    async def faults(self) -> list[Fault]:
        """Return all faults that the server program supports."""
        faults = [
            Fault("kill-connections", "all subscriber connections killed", self._kill_connections),
            Fault("setslot", f"{MOVED_SLOTS} slots moved, one by one", self._move(self._setslot)),
        ]
        if can_migrate_atomically(self.cluster.binary):
            faults.append(
                Fault("atomic-move", f"{MOVED_SLOTS} slots moved at once", self._move(self._atomic))
            )
        return [
            *faults,
            Fault(
                "freeze-primary",
                "SIGSTOP of a primary until a replica replaces it",
                self._pause_primary,
                self._resume,
            ),
            Fault(
                "kill-primary",
                "kill -9 of a primary, a replica replaces it",
                self._kill_primary,
                self._start,
            ),
            Fault(
                "rolling-restart",
                "all nodes restarted, one after another",
                self._rolling_restart,
            ),
        ]

    async def _kill_connections(self) -> None:
        await self.cluster.kill_clients("pubsub")

    def _move(
        self, how: Callable[[list[int], ClusterNode, ClusterNode], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        async def move() -> None:
            source, *_, target = await self._busiest()
            await how((await self._used_slots(source))[:MOVED_SLOTS], source, target)

        return move

    async def _used_slots(self, node: ClusterNode) -> list[int]:
        ours = {key_slot(channel.encode()) for channel in CHANNELS}
        return sorted(ours.intersection(await self.cluster.slots_of(node)))

    async def _busiest(self) -> list[ClusterNode]:
        """Return the primaries, those with the most channels first: faults there are felt most."""
        used = {node: len(await self._used_slots(node)) for node in await self.cluster.primaries()}
        return sorted(used, key=lambda node: -used[node])

    async def _setslot(self, slots: list[int], source: ClusterNode, target: ClusterNode) -> None:
        await self.cluster.move_slots(slots, source, target)

    async def _atomic(self, slots: list[int], source: ClusterNode, target: ClusterNode) -> None:
        await self.cluster.migrate_atomically(slots, source, target)

    async def _pause_primary(self) -> None:
        self.victim = (await self._busiest())[0]
        self.cluster.pause(self.victim)
        await self.cluster.successor(self.victim)

    async def _resume(self) -> None:
        self.cluster.resume(self.victim)
        await self.cluster.settled()

    async def _kill_primary(self) -> None:
        self.victim = (await self._busiest())[0]
        self.cluster.kill(self.victim)
        await self.cluster.successor(self.victim)

    async def _rolling_restart(self) -> None:
        await self.cluster.rolling_restart(replicas_too=True)

    async def _start(self) -> None:
        await self.cluster.start(self.victim)
