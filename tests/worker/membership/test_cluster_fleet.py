"""F1-F3 on a cluster: members switch owners node by node."""

from __future__ import annotations

from actors.testing.clusters.cluster import EmbeddedCluster
from tests.fleet.app import Play
from tests.fleet.stage import fleet, load, verdict
from tests.worker.membership.test_fleet import NAMES, RATE, caught_up, kill_one


async def test_f2_f3_on_a_cluster_members_join_leave_and_die(tmp_path):
    async with EmbeddedCluster(3) as cluster:
        play = Play(cluster.url, str(tmp_path), NAMES, kind="shard_channel", cluster=True)
        async with fleet(play, 1) as members:
            async with load(play, RATE) as publisher:
                first = members.members[0]
                await members.start(2)
                await members.stop(first)
            await caught_up(members, publisher.published)
            found = await verdict(play, publisher.published)
            assert (found.lost, found.twice) == ([], 0)
            async with load(play, RATE, after=publisher) as publisher:
                await kill_one(members)
            found = await verdict(play, publisher.published)
            assert (found.untold, found.twice) == ([], 0)


async def test_f2_plain_channels_of_a_cluster_have_one_owner(tmp_path):
    async with EmbeddedCluster(3) as cluster:
        play = Play(cluster.url, str(tmp_path), NAMES, cluster=True)
        async with fleet(play, 1) as members:
            async with load(play, RATE) as publisher:
                await members.start(2)
                await members.stop(members.members[0])
            await caught_up(members, publisher.published)
            found = await verdict(play, publisher.published)
            assert (found.lost, found.twice) == ([], 0)
