"""The topology watch (P8): at once where nobody knows, and in a moment where servers said it."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from actors import ActorSystem
from actors.pubsub.cluster.topology_watch import CALM, TopologyRequests, TopologyWatch
from actors.redis.topology.model import build_topology
from actors.testing import VirtualClock


class Pool:
    """Counts the looks; ``gate`` holds them."""

    def __init__(self) -> None:
        self.looks = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def refresh(self, prefer: Any) -> Any:
        self.looks += 1
        await self.gate.wait()
        return build_topology([], {})


class Stage:
    """A watch on a clock in hand."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.requests = TopologyRequests()
        self.pool = Pool()
        self.reports: list[Any] = []
        self.requests.report = self.reports.append
        self.system = ActorSystem(clock=self.clock)

    async def __aenter__(self) -> Self:
        await self.system.__aenter__()
        self.system.spawn(TopologyWatch, self.pool, self.requests)
        await self.clock.advance(0)
        assert self.pool.looks == 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.pool.gate.set()
        await self.system.__aexit__(None, None, None)


async def test_p8_whoever_does_not_know_gets_a_look_at_once():
    async with Stage() as stage:
        stage.requests.look()
        stage.requests.look()
        await stage.clock.advance(0)
        assert stage.pool.looks == len(stage.reports) == 2


async def test_p8_what_servers_said_is_confirmed_in_a_moment_once_for_all():
    async with Stage() as stage:
        for _ in range(9):
            stage.requests.confirm()
            await stage.clock.advance(0.01)
        assert stage.pool.looks == 1
        await stage.clock.advance(0.02)
        assert stage.pool.looks == 2
        await stage.clock.advance(CALM * 0.7)
        assert stage.pool.looks == 2
        await stage.clock.advance(CALM)
        assert stage.pool.looks == 3, "and then as ever"


async def test_p8_who_wants_to_know_does_not_wait_for_those_who_do():
    async with Stage() as stage:
        stage.requests.confirm()
        stage.requests.look()
        await stage.clock.advance(0)
        assert stage.pool.looks == 2
        await stage.clock.advance(0.2)
        assert stage.pool.looks == 2, "it was the one for both"


async def test_p8_what_changes_during_a_look_is_confirmed_by_another_one():
    async with Stage() as stage:
        stage.pool.gate.clear()
        stage.requests.look()
        await stage.clock.advance(0)
        stage.requests.confirm()
        stage.pool.gate.set()
        await stage.clock.advance(0)
        assert stage.pool.looks == 2
        await stage.clock.advance(0.11)
        assert stage.pool.looks == 3
