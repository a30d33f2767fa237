"""A node that became a primary is asked what it is about to do at once (P6, P7)."""

from __future__ import annotations

import pytest

from actors.pubsub.cluster import move_watch, rhythm
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.cluster.moving import sharded
from tests.pubsub.helpers import Gaps
from tests.support import eventually

pytestmark = pytest.mark.asyncio

ASKED = "cmdstat_cluster|getslotmigrations"


async def is_asked(node: ClusterNode) -> bool:
    """Whether somebody asked ``node`` about moves in one step: nobody but mailslot does."""
    return ASKED in (await node.execute("INFO", "commandstats")).decode()


@pytest.mark.parametrize("replicas", [False, True])
async def test_p7_who_became_a_primary_is_asked_without_waiting_for_the_next_turn(
    monkeypatch, replicas
):
    """Where replicas are listened to the primaries are asked seldom, and so it would be, too."""
    async with EmbeddedCluster(1, 1) as cluster:
        (primary,) = await cluster.primaries()
        (replica,) = await cluster.replicas_of(primary)
        for module in (move_watch, rhythm):
            monkeypatch.setattr(module, "SELDOM", 60.0)
        async with sharded(cluster, "a", gaps=Gaps(), read_from_replicas=replicas):
            await eventually(lambda: is_asked(primary))  # and its next turn is a minute away
            assert not await is_asked(replica)
            await cluster.failover(replica)
            await eventually(lambda: is_asked(replica))
