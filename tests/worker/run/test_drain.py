"""A drain loses nothing that a server delivered before it had the word of the end (P12, P13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import RedisCluster
from actors.redis.topology.slots import key_slot
from actors.testing import EmbeddedCluster
from tests.pubsub.helpers import Heard, client_of, numsub
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


async def publish_until(send: Any, name: str, stop: asyncio.Event) -> list[str]:
    """Publish numbers as fast as it goes; return those that somebody was subscribed to get."""
    delivered: list[str] = []
    number = 0
    while not stop.is_set():
        batch = [f"{name} {number + i}" for i in range(50)]
        counts = await asyncio.gather(*(send(name, data) for data in batch))
        delivered += [data for data, count in zip(batch, counts, strict=True) if count]
        number += len(batch)
    return delivered


async def test_all_that_was_delivered_is_handled(shared_server: AnyServer):
    for _ in range(5):
        heard, stop = Heard(), asyncio.Event()
        async with client_of(shared_server) as client, client_of(shared_server) as other:
            pubsub = client.pubsub(channel_handlers={"a": heard}, pattern_handlers={"b*": heard})
            async with pubsub as p:
                publishing = [
                    asyncio.create_task(publish_until(other.publish, name, stop))
                    for name in ("a", "b1")
                ]
                await eventually(lambda heard=heard: len(heard) > 500)
                assert await p.drain(10)
                assert not p.subscribed
                stop.set()
                delivered = [data for one in publishing for data in await one]
        assert sorted(heard) == sorted(delivered)


async def test_a_server_that_says_nothing_is_not_waited_for(server: AnyServer, caplog):
    heard = Heard()
    async with client_of(server) as client, client.pubsub(channel_handlers={"a": heard}) as p:
        server.pause()
        try:
            async with asyncio.timeout(5):
                assert await p.drain()
        finally:
            server.resume()
    assert "unsubscribe_not_acknowledged" in caplog.text


async def test_a_deadline_ends_it(server: AnyServer):
    async with client_of(server) as client, client.pubsub(channel_handlers={"a": print}) as p:
        server.pause()
        try:
            assert not await p.drain(0.2)
        finally:
            server.resume()
        assert not p.subscribed
        await eventually(lambda: numsub(server, "a") == 0)


async def test_a_drained_channel_can_be_subscribed_again(shared_server: AnyServer):
    first, second = Heard(), Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": first}) as p,
    ):
        draining = asyncio.create_task(p.drain(5))
        await asyncio.sleep(0)
        await p.subscribe(a=second)
        assert await draining
        assert await client.publish("a", "x") == 1
        await eventually(lambda: second == ["x"])
        assert first == []


async def test_on_a_cluster_while_slots_move():
    names = [f"orders:{{{number}}}" for number in range(8)]
    async with EmbeddedCluster(3, 1) as cluster:
        source, target = (await cluster.primaries())[:2]
        for atomically in (False, True):
            heard, stop = Heard(), asyncio.Event()
            async with (
                RedisCluster.from_url(cluster.url, decode_responses=True) as client,
                RedisCluster.from_url(cluster.url, decode_responses=True) as other,
                client.sharded_pubsub(channel_handlers=dict.fromkeys(names, heard)) as p,
            ):
                publishing = [
                    asyncio.create_task(publish_until(other.spublish, name, stop)) for name in names
                ]
                await eventually(lambda heard=heard: len(heard) > 500, 20)
                moving = [key_slot(n.encode()) for n in names]
                moving = [s for s in moving if await cluster.primary_for(s) is source]
                move = cluster.migrate_atomically if atomically else cluster.move_slots
                moved = asyncio.create_task(move(moving, source, target))
                await asyncio.sleep(0.05)
                assert await p.drain(10)
                stop.set()
                delivered = [data for one in publishing for data in await one]
                await moved
            source, target = target, source
            assert len(set(heard)) == len(heard), "handled twice"
            assert set(delivered) - set(heard) == set()
