"""ShardedPubSub while slots move one by one (P6): CLUSTER SETSLOT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.cluster_pubsub import ShardedPubSub
from actors.redis.topology.slots import key_slot
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.slot_moves import begin_moves, finish_moves
from actors.testing.servers.binary import wheel_binary
from tests.cluster.moving import Elsewhere, running_thread, sharded, subscribers_at, waits_at
from tests.pubsub.helpers import Gaps, data_of, message, take
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"a")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    """Two shards on the embedded server: what others do at the moment of a move differs."""
    async with EmbeddedCluster(2, 0, binary=wheel_binary()) as cluster:
        yield cluster


class EndOfMove(Elsewhere):
    """The target becomes the slot's owner, and ends what it took by ASKING."""

    async def end(self, source: Connection, target: Connection) -> None:
        for node in (target, source):
            await node.execute("CLUSTER", "SETSLOT", SLOT, "NODE", self.target.id)


async def left(node: ClusterNode) -> bool:
    return await subscribers_at(node) == 0


async def finish_and_hear(p: BasePubSub[Any], source: ClusterNode, target: ClusterNode) -> None:
    """End the move, and hear what is published at its target from then on."""
    await finish_moves([SLOT], source, target, ())
    await eventually(lambda: left(source))
    await target.execute("SPUBLISH", "a", "1")
    assert await take(p, 1) == [message("a", "1")]


async def test_p6_what_is_published_while_we_are_busy_is_not_lost(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps()) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: waits_at(target))
        other = EndOfMove(source, target, asyncio.get_running_loop())
        with running_thread(other):
            await asyncio.get_running_loop().run_in_executor(None, other.join)
        assert other.moved
        assert await data_of(p, len(other.accepted)) == other.accepted
        await eventually(lambda: subscribed_once(target))


async def subscribed_once(node: ClusterNode, channel: str = "a") -> bool:
    return await subscribers_at(node, channel) == 1


async def test_p6_the_next_slot_is_tried_before_anybody_says_that_it_moves(running, ends):
    source, target = ends
    owned = set(await running.slots_of(source)) - {SLOT}
    other = next(name for name in map(str, range(1000)) if key_slot(name.encode()) in owned)
    async with sharded(running, "a", other, gaps=Gaps()) as p:
        await begin_moves([key_slot(other.encode())], source, target)
        await eventually(lambda: waits_at(target))
        # Nobody was told of this one, and it is over at once.
        busy = EndOfMove(source, target, asyncio.get_running_loop())
        with running_thread(busy):
            await asyncio.get_running_loop().run_in_executor(None, busy.join)
        assert busy.moved
        assert await data_of(p, len(busy.accepted)) == busy.accepted
        await finish_moves([key_slot(other.encode())], source, target, ())
        await eventually(lambda: subscribed_once(target, other))
        await target.execute("SPUBLISH", other, "1")
        assert await take(p, 1) == [message(other, "1")]


async def test_p6_the_second_connection_is_nobody_elses_business_and_does_not_stay(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps()) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: waits_at(target))
        assert isinstance(p, ShardedPubSub)
        assert set(p.shard_connections) == {source.id, target.id}
        await finish_moves([SLOT], source, target, ())
        await eventually(lambda: subscribed_once(target))

        async def alone() -> bool:
            clients = (await target.execute("CLIENT", "LIST", "TYPE", "pubsub")).splitlines()
            return len(clients) == 1 and not await waits_at(target)

        await eventually(alone, timeout=10.0)
        await target.execute("SPUBLISH", "a", "1")
        assert await take(p, 1) == [message("a", "1")]


async def test_p6_a_pool_without_room_does_without_a_second_connection(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps(), max_connections=4) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: subscribed_once(target))
        await finish_moves([SLOT], source, target, ())

        async def moved() -> bool:
            return await subscribers_at(target) == 1 and await subscribers_at(source) == 0

        await eventually(moved)
        assert not await waits_at(target)
        await target.execute("SPUBLISH", "a", "1")
        assert await take(p, 1) == [message("a", "1")]


async def test_p6_a_pool_with_room_at_each_node_has_a_second_connection(running, ends):
    source, target = ends
    async with sharded(
        running, "a", gaps=Gaps(), max_connections=4, max_connections_per_node=True
    ) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: waits_at(target))
        await finish_and_hear(p, source, target)


async def test_p6_a_manager_that_crashes_while_slots_move_meets_them_again(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps()) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: waits_at(target))
        parts = p._session.tree
        assert parts is not None
        parts.manager._cell.crash_with(RuntimeError("a bug"))
        await eventually(lambda: p.stats().gaps > 0)  # told when it is live again
        await eventually(lambda: waits_at(target))
        await source.execute("SPUBLISH", "a", "0")
        assert await take(p, 1) == [message("a", "0")]
        await finish_and_hear(p, source, target)


async def test_p6_without_retries_a_second_connection_may_end_and_nothing_fails(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps(), retry_policy=None) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: waits_at(target))
        clients = (await target.execute("CLIENT", "LIST")).decode().splitlines()
        waiting = [line for line in clients if "flags=b" in line or "cmd=wait" in line]
        for line in waiting:
            number = line.split()[0].removeprefix("id=")
            await target.execute("CLIENT", "KILL", "ID", number)
        await finish_and_hear(p, source, target)


async def test_p6_a_slot_that_goes_back_at_once_is_looked_for_everywhere(running, ends):
    source, target = ends
    async with sharded(running, "a", gaps=Gaps()) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: subscribed_once(target))
        await finish_moves([SLOT], source, target, ())
        await eventually(lambda: left(source))
        await eventually(lambda: subscribed_once(target))
        await asyncio.sleep(0.2)  # what the target says from now on is of another move
        for node in (source, target):
            await node.execute("CLUSTER", "SETSLOT", SLOT, "NODE", source.id)
        await eventually(lambda: left(target))
        await eventually(lambda: subscribed_once(source))
        await source.execute("SPUBLISH", "a", "1")
        assert await take(p, 1) == [message("a", "1")]
