"""The topology watch (P8): on a timer, on request, and how often at the most."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import ActorSystem
from actors.pubsub.cluster.topology_watch import (
    URGENT,
    TopologyRequests,
    TopologyWatch,
    calm_interval,
)
from actors.redis.topology.model import build_topology
from actors.testing import VirtualClock


class Pool:
    """Counts the looks; ``gate`` holds them."""

    def __init__(self) -> None:
        self.looks = 0
        self.consumers = 0
        self.urgent: list[bool] = []
        self.topology = build_topology([], {})
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def refresh(self, prefer: Any, *, urgent: bool) -> Any:
        self.looks += 1
        self.urgent.append(urgent)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.topology


class Watch(TopologyWatch):
    """A watch whose looks are timed by the clock in hand, too."""

    def __init__(self, pool: Any, requests: TopologyRequests, clock: Any) -> None:
        super().__init__(pool, requests)
        self.clock = clock

    async def on_start(self) -> None:
        await super().on_start()
        self.loop = self.clock


class Stage:
    """A watch on a clock in hand."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.requests = TopologyRequests()
        self.requests.used = lambda: ["a"]
        self.pool = Pool()
        self.reports: list[Any] = []
        self.requests.report = self.reports.append
        self.system = ActorSystem(clock=self.clock)

    async def __aenter__(self) -> Self:
        await self.system.__aenter__()
        self.system.spawn(Watch, self.pool, self.requests, self.clock)
        await self.clock.advance(0)
        assert self.pool.looks == 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.pool.gate.set()
        await self.system.__aexit__(None, None, None)


async def test_p8_requests_before_a_look_share_it_and_looks_keep_their_distance():
    async with Stage() as stage:
        stage.requests.look()
        stage.requests.look()
        await stage.clock.advance(0)
        assert stage.pool.looks == 1, "one was just now"
        await stage.clock.advance(URGENT + 0.01)
        assert stage.pool.looks == len(stage.reports) == 2
        await stage.clock.advance(URGENT + 0.01)
        assert stage.pool.looks == 2


async def test_p8_requests_do_not_add_to_the_looks_that_are_planned():
    async with Stage() as stage:
        for _ in range(100):
            stage.requests.look()
            await stage.clock.advance(0.05)
        assert stage.pool.looks <= 1 + 5.0 / URGENT
        await stage.clock.advance(2.0)
        before = stage.pool.looks
        await stage.clock.advance(10.0)
        assert stage.pool.looks - before <= 14


async def test_p8_whoever_asks_during_a_look_gets_another_one():
    async with Stage() as stage:
        await stage.clock.advance(URGENT + 0.01)
        stage.pool.gate.clear()
        stage.requests.look()
        await stage.clock.advance(0)
        assert stage.pool.looks == 2
        stage.requests.look()
        stage.pool.gate.set()
        await stage.clock.advance(URGENT + 0.01)
        assert stage.pool.looks == 3


async def test_p8_looks_are_calm_urgent_for_ten_seconds_and_then_calm_again():
    async with Stage() as stage:
        await stage.clock.advance(10.0)
        calm = stage.pool.looks
        assert 8 <= calm <= 14
        assert not any(stage.pool.urgent)
        stage.requests.urgent = True
        await stage.clock.advance(10.0)
        assert 70 <= stage.pool.looks - calm <= 130
        assert sum(stage.pool.urgent) >= 70
        await stage.clock.advance(2.0)
        before = stage.pool.looks
        await stage.clock.advance(10.0)
        assert 8 <= stage.pool.looks - before <= 14, "nobody gets an answer by asking more often"
        assert not stage.pool.urgent[-1]


async def test_p8_a_look_that_fails_is_not_the_last_one():
    async with Stage() as stage:
        stage.pool.error = ConnectionError("nobody answered")
        await stage.clock.advance(5.0)
        looks, reports = stage.pool.looks, len(stage.reports)
        assert (looks >= 4, reports) == (True, 1)
        stage.pool.error = None
        await stage.clock.advance(2.0)
        assert len(stage.reports) > reports


@pytest.mark.parametrize(
    ("nodes", "used", "consumers", "seconds"),
    [
        (6, 3, 1, 1.0),
        (6, 3, 50, 1.0),
        (6, 3, 100, 2.0),
        (6, 3, 5000, 10.0),
        (6, 0, 1, 10.0 / 6),
        (100, 0, 1, 1.0),
        (100, 0, 200, 4.0),
        (1, 0, 0, 10.0),
        (0, 0, 0, 10.0),
    ],
)
def test_p6_the_more_consumers_the_fewer_looks_each(nodes, used, consumers, seconds):
    assert calm_interval(nodes, used, consumers) == pytest.approx(seconds)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 10_000))
def test_p6_one_look_a_second_at_most_and_one_in_ten_seconds_at_least(nodes, used, consumers):
    interval = calm_interval(nodes, used, consumers)
    assert 1.0 <= interval <= 10.0
    assert interval <= calm_interval(nodes, used, consumers + 50)


def test_p6b_looks_are_rare_while_no_message_comes_and_frequent_where_replicas_are_consumed():
    assert calm_interval(6, 3, 1) == 1.0
    assert calm_interval(6, 3, 1, idle=True) == 3.0
    assert calm_interval(6, 3, 1, replicas=True) == pytest.approx(0.4)
    assert calm_interval(6, 3, 1, idle=True, replicas=True) == 3.0
    assert calm_interval(100, 50, 1000, replicas=True) == 10.0, "many consumers"
