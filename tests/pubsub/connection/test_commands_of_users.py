"""Commands that users send on the connection of a pub/sub object."""

from __future__ import annotations

import pytest

from actors import Redis, RedisCluster, exceptions
from actors.redis.wire.resp import Argument, text_of
from actors.redis.wire.subscribed import refuse_on_subscribed
from actors.testing import EmbeddedCluster
from tests.pubsub.helpers import data_of
from tests.servers import AnyServer

REFUSED: list[tuple[Argument, ...]] = [
    ("SUBSCRIBE", "x"),
    ("psubscribe", "x*"),
    (b"SSUBSCRIBE", "x"),
    ("UNSUBSCRIBE",),
    ("UNSUBSCRIBE", "news"),
    ("PUNSUBSCRIBE",),
    ("SUNSUBSCRIBE",),
    ("RESET",),
    ("QUIT",),
    ("MONITOR",),
    ("MULTI",),
    ("SYNC",),
    ("PSYNC", "?", -1),
    ("HELLO", 2),
    ("HELLO", 3),
    ("CLIENT", "REPLY", "OFF"),
    ("client", b"reply", "SKIP"),
]
ALLOWED: list[tuple[Argument, ...]] = [
    ("PING",),
    ("HELLO",),
    ("CLIENT", "ID"),
    ("CLIENT",),
    ("GET", "SUBSCRIBE"),
    ("PUBSUB", "NUMPAT"),
    ("PUBLISH", "c", "UNSUBSCRIBE"),
    ("AUTH", "default", "password"),
]


@pytest.mark.parametrize("words", REFUSED, ids=str)
def test_what_would_disturb_subscriptions_is_refused(words):
    with pytest.raises(exceptions.PubSubError, match=r"would disturb .* not sent: \w+") as caught:
        refuse_on_subscribed(words)
    name = text_of(words[0])
    assert str(caught.value).startswith(name.upper())


@pytest.mark.parametrize("words", ALLOWED, ids=str)
def test_all_other_commands_are_not(words):
    refuse_on_subscribed(words)


async def test_a_refused_command_is_not_sent_and_the_subscriptions_stay(server: AnyServer):
    async with (
        Redis.from_url(server.url, decode_responses=True) as client,
        client.pubsub(channels=["news"], ignore_subscribe_messages=True) as pubsub,
    ):
        connection = pubsub.connection
        assert connection is not None
        for words in REFUSED:
            with pytest.raises(exceptions.PubSubError):
                connection.send_command(*words)
            with pytest.raises(exceptions.PubSubError):
                await connection.execute(*words)
        assert await connection.execute("PING", "still here") == b"still here"
        await client.publish("news", "heard")
        assert await data_of(pubsub, 1) == ["heard"]
        assert pubsub.connection is connection


async def test_the_connections_of_shard_channels(cluster: EmbeddedCluster):
    host, port = cluster.nodes[0].host, cluster.nodes[0].port
    async with (
        RedisCluster(host, port, decode_responses=True) as client,
        client.sharded_pubsub(channels=["news"], ignore_subscribe_messages=True) as pubsub,
    ):
        for connection in pubsub.shard_connections.values():
            for words in REFUSED:
                with pytest.raises(exceptions.PubSubError):
                    await connection.execute(*words)
        await client.spublish("news", "heard")
        assert await data_of(pubsub, 1) == ["heard"]


async def test_other_connections_take_any_command(server: AnyServer):
    async with (
        Redis.from_url(server.url) as client,
        client.connection_pool.connection() as connection,
    ):
        assert await connection.execute("MULTI") == b"OK"
        assert await connection.execute("DISCARD") == b"OK"
        assert await connection.execute("RESET") == b"RESET"
