"""ShardedPubSub while slots move one by one (P6): CLUSTER SETSLOT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors.pubsub.api.base import BasePubSub
from actors.redis.topology.slots import key_slot
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from actors.testing.clusters.slot_moves import begin_moves, finish_moves
from tests.clusters.fixtures import BINARIES
from tests.pubsub.cluster.moving import Publisher, is_subscribed_only_at, sharded, subscribers_at
from tests.pubsub.helpers import Gaps, drain, message, take
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOT = key_slot(b"a")
#: Seconds in which a channel whose slot has moved is subscribed at its new owner.
FOLLOWED = 5.0
#: Seconds that a gap takes at most, when a slot moves, beside the round trips: what the bus may be
#: late (0.1 s; 0.3 s of 300 channels in debug mode).
SHORT, ROUND_TRIPS = 0.5, 3
#: Seconds in which a look at the topology comes, and what it shows is done. While nothing is
#: subscribed, and until the look after that, two nodes are asked every five seconds.
LOOKED = 12.0


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=BINARIES, ids=lambda binary: binary.flavour
)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedCluster]:
    """Two shards without replicas."""
    async with EmbeddedCluster(2, 0, binary=request.param) as cluster:
        yield cluster


async def move(source: ClusterNode, target: ClusterNode) -> None:
    """Move the slot at once: no look at the topology sees that it is about to."""
    await begin_moves([SLOT], source, target)
    await finish_moves([SLOT], source, target, ())


async def stop_moving(*nodes: ClusterNode) -> None:
    """Leave the slot where it is."""
    for node in nodes:
        await node.execute("CLUSTER", "SETSLOT", SLOT, "STABLE")


async def check(p: BasePubSub[Any], publisher: Publisher, gaps: Gaps) -> None:
    """What was accepted came, in order and once each, or a short gap tells of it."""
    got: list[Any] = []

    async def all_came() -> bool:
        got.extend((one["channel"], one["data"]) for one in await drain(p))
        last = {one.channel: one.data for one in publisher.sent}
        return set(last.items()) <= set(got)

    await eventually(all_came)
    for channel in publisher.channels:
        sent = [one for one in publisher.sent if one.channel == channel]
        heard = [data for name, data in got if name == channel]
        came = set(heard)
        assert heard == [one.data for one in sent if one.data in came]
        assert [one for one in sent if one.data not in came and not one.is_in(gaps)] == []
    longest = SHORT + ROUND_TRIPS * publisher.slowest  # much on a busy machine
    assert [gap for gap in gaps if gap.until - gap.since > longest] == []


@pytest.mark.parametrize("count", [1, 300])
async def test_p6_a_slot_that_moves_is_followed(running, ends, count):
    source, target = ends
    names = [f"{{a}}{number}" for number in range(count)]
    gaps = Gaps()
    async with sharded(running, *names, gaps=gaps) as p:
        # Of many channels, publishing to some is load enough.
        some = list(dict.fromkeys([names[0], names[count // 2], names[-1]]))
        async with Publisher(some, source, target) as publisher:
            await publisher.more()
            await move(source, target)
            for name in (names[0], names[-1]):
                await eventually(
                    lambda name=name: is_subscribed_only_at(target, source, name), FOLLOWED
                )
            await publisher.more()
        await check(p, publisher, gaps)
        assert p.stats().gaps == len(gaps) <= 2 * count
        for name in names:
            assert await is_subscribed_only_at(target, source, name)


async def test_p6_a_slot_that_goes_back_at_once_is_followed_too(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        async with Publisher(["a"], source, target) as publisher:
            await publisher.more()
            await move(source, target)
            await move(target, source)
            await publisher.more()
            await eventually(lambda: is_subscribed_only_at(source, target), FOLLOWED)
            await publisher.more()
        await check(p, publisher, gaps)


async def test_p6_a_slot_that_goes_back_when_it_was_followed_is_followed_again(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        async with Publisher(["a"], source, target) as publisher:
            for old, new in ((source, target), (target, source)):
                await publisher.more()
                await move(old, new)
                await eventually(lambda old=old, new=new: is_subscribed_only_at(new, old), FOLLOWED)
            await publisher.more()
        await check(p, publisher, gaps)


async def test_p6_a_channel_that_is_subscribed_while_its_slot_moves(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        await begin_moves([SLOT], source, target)
        await p.subscribe("{a}new")
        await eventually(lambda: subscribers_at(source, "{a}new"), FOLLOWED)
        await source.execute("SPUBLISH", "{a}new", "0")
        assert await take(p, 1) == [message("{a}new", "0")]
        async with Publisher(["a", "{a}new"], source, target) as publisher:
            await publisher.more()
            await finish_moves([SLOT], source, target, ())
            for name in publisher.channels:
                await eventually(
                    lambda name=name: is_subscribed_only_at(target, source, name), FOLLOWED
                )
            await publisher.more()
        await check(p, publisher, gaps)


@pytest.mark.parametrize("seen", [False, True], ids=["before a look", "after a look"])
async def test_p6_a_channel_that_is_unsubscribed_while_its_slot_moves_is_left(running, ends, seen):
    source, target = ends
    async with sharded(running, "a", "{a}b", gaps=Gaps()) as p:
        await begin_moves([SLOT], source, target)
        if seen:
            await eventually(lambda: subscribers_at(target), LOOKED)
        await p.unsubscribe("a")

        async def left() -> bool:
            return not (await subscribers_at(source) or await subscribers_at(target))

        await eventually(left, FOLLOWED)
        await finish_moves([SLOT], source, target, ())
        await eventually(lambda: is_subscribed_only_at(target, source, "{a}b"), FOLLOWED)
        assert await left()
        assert list(p.channels) == ["{a}b"]
        await target.execute("SPUBLISH", "a", "nobody's")
        await target.execute("SPUBLISH", "{a}b", "1")
        assert await take(p, 1) == [message("{a}b", "1")]


async def test_p6_a_slot_on_its_way_is_subscribed_at_its_target_by_asking(running, ends):
    """Once a look has seen the move, what either end accepts is heard, each message once."""
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        await begin_moves([SLOT], source, target)
        await eventually(lambda: subscribers_at(target), LOOKED)
        assert await subscribers_at(source) == 1
        async with Publisher(["a"], source, target) as publisher:
            await publisher.more()
            assert gaps == []
            await finish_moves([SLOT], source, target, ())
            await eventually(lambda: is_subscribed_only_at(target, source), FOLLOWED)
            await publisher.more()
        await check(p, publisher, gaps)


async def test_p6_a_move_that_is_called_off_leaves_the_channel_where_it_was(running, ends):
    source, target = ends
    gaps = Gaps()
    async with sharded(running, "a", gaps=gaps) as p:
        async with Publisher(["a"], source, target) as publisher:
            await begin_moves([SLOT], source, target)
            await eventually(lambda: subscribers_at(target), LOOKED)
            await stop_moving(source, target)
            await eventually(lambda: is_subscribed_only_at(source, target), LOOKED)
            await publisher.more()
        await check(p, publisher, gaps)
        assert gaps == []
