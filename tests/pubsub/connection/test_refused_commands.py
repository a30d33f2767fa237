"""Each command that mailslot sends is refused, one at a time: replies stay paired with commands.

Subscriptions go on, or the error names the command and the cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors import RedisCluster
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.pubsub.connection.refusing_proxy import Refusal, refusing_proxy
from tests.pubsub.helpers import QUICK
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

ERRORS = {
    "LOADING": "LOADING the data set is being loaded",
    "MASTERDOWN": "MASTERDOWN the link to the primary is down",
    "NOPERM": "NOPERM no permissions to run the command",
    "BUSY": "BUSY a script runs",
    "a proxy": "ERR unsupported command",
}
#: Of a connection that is open: what keeps or moves its subscriptions.
LATER = [
    ("PING",),
    ("HELLO",),  # the fence
    ("SUNSUBSCRIBE",),
    ("UNSUBSCRIBE",),
    ("PUNSUBSCRIBE",),
    ("CLUSTER", "NODES"),
    ("CLUSTER", "SHARDS"),
    ("INFO",),
    ("ASKING",),
]
#: What makes a subscription.
SUBSCRIBES = [("SUBSCRIBE",), ("PSUBSCRIBE",), ("SSUBSCRIBE",)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[tuple[str, int]]:
    """A cluster of one node: it serves all three kinds."""
    async with EmbeddedCluster(1, 0) as cluster:
        yield cluster.nodes[0].host, cluster.nodes[0].port


class Stage:
    """A client whose only way to the node is the proxy, and one pub/sub object of each sort."""

    def __init__(self, client: Any, plain: Any, shard: Any, refusal: Refusal) -> None:
        self.client, self.plain, self.shard, self.refusal = client, plain, shard, refusal
        self.heard: list[str] = []

    async def read(self, pubsub: Any) -> None:
        while True:
            message = await pubsub.get_message()
            if message is not None:
                self.heard.append(message["channel"])

    async def hears(self, *channels: str) -> None:
        """Publish to all, until each has been heard."""
        self.heard.clear()

        async def missing() -> bool:
            for channel in set(channels) - set(self.heard):
                publish = self.client.spublish if channel[0] == "s" else self.client.publish
                await publish(channel, "x")
            await asyncio.sleep(0.02)
            return set(channels) <= set(self.heard)

        assert await eventually(missing, timeout=20), (channels, self.heard)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(node: tuple[str, int]) -> AsyncIterator[Stage]:
    async with (
        refusing_proxy(*node) as (port, refusal),
        RedisCluster(
            "127.0.0.1", port, decode_responses=True, address_remap=lambda _: ("127.0.0.1", port)
        ) as client,
        client.pubsub(**OPTIONS) as plain,
        client.sharded_pubsub(**OPTIONS) as shard,
    ):
        stage = Stage(client, plain, shard, refusal)
        readers = [asyncio.create_task(stage.read(each)) for each in (plain, shard)]
        await plain.subscribe("c1", "c2")
        await plain.psubscribe("p*")
        await shard.subscribe("s1{t}", "s2{t}")
        try:
            yield stage
        finally:
            refusal.words = None
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


OPTIONS: dict[str, Any] = {
    "ignore_subscribe_messages": True,
    "subscription_timeout": 10,
    "max_idle_seconds": 0.2,
    "retry_policy": QUICK,
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("words", LATER, ids=" ".join)
async def test_subscriptions_go_on(stage: Stage, words, error):
    refusal = stage.refusal
    refusal.words, refusal.error = words, ERRORS[error]
    for turn in range(3):
        await stage.plain.unsubscribe("c2")
        await stage.plain.punsubscribe("p*")
        await stage.shard.unsubscribe("s2{t}")
        await stage.plain.subscribe("c2", f"c{turn}new")
        await stage.plain.psubscribe("p*")
        await stage.shard.subscribe("s2{t}", f"s{turn}new{{t}}")
    await asyncio.sleep(0.3)  # for what is sent by itself
    await stage.hears("c1", "c2", "pattern", "c2new", "s1{t}", "s2{t}", "s2new{t}")
    if words in {("HELLO",), ("SUNSUBSCRIBE",), ("UNSUBSCRIBE",), ("PUNSUBSCRIBE",)}:
        assert refusal.refused
    refusal.words = None
    await stage.plain.unsubscribe("c1")
    await stage.shard.unsubscribe("s1{t}")
    await stage.shard.subscribe("s3{t}")
    await stage.hears("c2", "s2{t}", "s3{t}")


@pytest.mark.parametrize("words", SUBSCRIBES, ids=" ".join)
async def test_a_refused_subscribe_is_an_error_of_its_call_alone(stage: Stage, words):
    refusal = stage.refusal
    subscribe = {
        "SUBSCRIBE": lambda: stage.plain.subscribe("c3"),
        "PSUBSCRIBE": lambda: stage.plain.psubscribe("q*"),
        "SSUBSCRIBE": lambda: stage.shard.subscribe("s3{t}"),
    }[words[0]]
    for error in ("NOPERM", "a proxy"):
        refusal.words, refusal.error = words, ERRORS[error]
        with pytest.raises(Exception, match=ERRORS[error].split(" ", 1)[1]):
            await subscribe()
        await stage.hears("c1", "c2", "pattern", "s1{t}", "s2{t}")
    refusal.words = None
    await subscribe()
    await stage.hears("c1", {"SUBSCRIBE": "c3", "PSUBSCRIBE": "quiz"}.get(words[0], "s3{t}"))


@pytest.mark.parametrize("words", [("HELLO", "3"), ("CLIENT", "NO-EVICT")], ids=" ".join)
@pytest.mark.parametrize("error", ERRORS)
async def test_a_refused_greeting_names_the_command_and_the_cause(node, words, error):
    async with refusing_proxy(*node) as (port, refusal):
        refusal.words, refusal.error = words, ERRORS[error]
        client = RedisCluster("127.0.0.1", port, noevict=True, connect_timeout=5)
        with pytest.raises(Exception) as caught:
            await client.__aenter__()
    text = str(caught.value)
    assert " ".join(words) in text or "does not speak RESP3" in text
    assert ERRORS[error].split(" ", 1)[1] in text
