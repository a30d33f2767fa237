"""F1-F3 on a cluster: members switch owners node by node."""

from __future__ import annotations

import asyncio

import pytest

from tests.fleet.app import Play
from tests.fleet.results import Record
from tests.fleet.stage import fleet, load, verdict
from tests.support import eventually

NAMES = [f"name-{number}" for number in range(12)]
RATE = 300


@pytest.mark.parametrize("kind", ["shard_channel", "channel"])
async def test_f2_on_a_cluster_members_join_leave_and_die(running, tmp_path, kind):
    play = Play(running.url, str(tmp_path), NAMES, kind=kind, cluster=True)
    async with fleet(play, 1) as members:
        async with load(play, RATE) as publisher:
            first = members.members[0]
            await members.start(2)
            await members.stop(first)
        await eventually(
            lambda: publisher.published.keys() <= Record.read(tmp_path).handled.keys(), 20, 0.05
        )
        found = await verdict(play, publisher.published)
        assert (found.lost, found.twice) == ([], 0)
        async with load(play, RATE) as publisher:
            await asyncio.sleep(0.3)
            victim = members.members[0]
            victim.kill()
            await members.gone(victim)
            await members.settled()
            await asyncio.sleep(0.5)
        before = found.published
        found = await verdict(play, publisher.published)
    assert found.untold == []
    assert before
