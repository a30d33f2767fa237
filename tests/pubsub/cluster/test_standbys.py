"""Where connections are kept ready (P6), and when hand-overs end (P7): values in, values out."""

from __future__ import annotations

import asyncio

import pytest

from actors.pubsub.cluster.placement_rules import standbys
from actors.pubsub.delivery.listening_clock import ListeningClock
from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.handovers import Handovers
from actors.pubsub.table.state import Handover
from tests.redis.cluster.test_cluster_parts import cluster_of

CLUSTER = cluster_of(3, replicas=2)
ALL = {"p0", "p1", "p2"}


@pytest.mark.parametrize(
    ("used", "down", "most", "expected"),
    [
        (set(), (), None, set()),
        ({"p0"}, (), None, {"r00"}),
        ({"r00"}, (), None, {"p0"}),
        ({"p0"}, ("r00",), None, {"r01"}),
        ({"p0"}, ("r00", "r01"), None, set()),
        ({"p0", "r01"}, (), None, set()),
        (ALL, (), None, {"r00", "r10", "r20"}),
        (ALL, (), 6, {"r00", "r10", "r20"}),
        # Rather none than some: which shard would be the one without?
        (ALL, (), 5, set()),
    ],
)
def test_p6_one_more_of_each_shard_in_use(used, down, most, expected):
    assert standbys(CLUSTER, used, down, most) == expected


def handover(name: str, old: str = "a") -> Handover:
    return Handover(Target(Kind.SHARD, name.encode()), old, "b")


async def ended(plan, seconds: float = 0.2) -> list[list[Handover]]:
    rows: list[list[Handover]] = []
    loop = asyncio.get_running_loop()
    handovers = Handovers(loop, ListeningClock(loop.time), rows.append)
    plan(handovers)
    await asyncio.sleep(seconds)
    return [row for row in rows if row]


async def test_p7_hand_overs_that_end_together_end_in_one_row():
    def plan(handovers: Handovers) -> None:
        for number in range(1000):
            handovers.put(handover(f"c{number}"), 0.05)

    rows = await ended(plan)
    assert sum(map(len, rows)) == 1000
    assert len(rows) <= 50, "a busy machine takes a while to plan them all"


async def test_p7_of_two_hand_overs_of_a_target_the_later_one_counts():
    first, second = handover("c", "a"), handover("c", "x")

    def plan(handovers: Handovers) -> None:
        handovers.put(first, 0.02)
        handovers.put(second, 0.08)

    assert await ended(plan) == [[second]]


async def test_p7_one_without_a_time_ends_when_it_is_hastened():
    one = handover("c")
    assert await ended(lambda handovers: handovers.put(one, None), 0.05) == []

    def plan(handovers: Handovers) -> None:
        handovers.put(one, None)
        handovers.hasten(one, 0.02)
        handovers.hasten(one, 5.0)  # later is no haste

    assert await ended(plan) == [[one]]
