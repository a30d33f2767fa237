"""What docs/operations.md says that a user must be allowed, on the ACL of a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors import RedisCluster, exceptions
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.fixtures import BINARIES
from tests.pubsub.helpers import QUICK
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def documented() -> list[str]:
    """Return the words of the ACL line on the page, without the names of command and user."""
    found = re.search(r"^ACL SETUSER consumer (.*)$", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    return found.group(1).split()


#: Commands that are needed at all: what happens without them is an error that names the cause.
NEEDED = {"+subscribe", "+psubscribe", "+ssubscribe"}
ALLOWED = [word for word in documented() if word.startswith("+")]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=BINARIES, ids=lambda binary: binary.flavour
)
async def node(request: pytest.FixtureRequest) -> AsyncIterator[ClusterNode]:
    async with EmbeddedCluster(1, 0, binary=request.param) as cluster:
        yield cluster.nodes[0]


async def subscribes_and_hears(node: ClusterNode, *rules: str) -> None:
    """Subscribe as a user with ``rules``; end and begin subscriptions; hear messages."""
    await node.execute("ACL", "SETUSER", "consumer", "reset", *rules)
    options: dict[str, Any] = {
        "ignore_subscribe_messages": True,
        "subscription_timeout": 10,
        "max_idle_seconds": 0.1,
        "retry_policy": QUICK,
    }
    heard: set[str] = set()

    async def read(pubsub: Any) -> None:
        async for message in pubsub:
            heard.add(message["channel"])

    async with (
        RedisCluster(
            node.host, node.port, username="consumer", password="secret", decode_responses=True
        ) as client,
        client.pubsub(channels=["news"], patterns=["news*"], **options) as plain,
        client.sharded_pubsub(channels=["news{s}"], **options) as shard,
    ):
        for turn in range(3):
            await plain.subscribe(f"news{turn}")
            await shard.subscribe(f"news{{s}}{turn}")
            await plain.unsubscribe(f"news{turn}")
            await shard.unsubscribe(f"news{{s}}{turn}")
        readers = [asyncio.create_task(read(each)) for each in (plain, shard)]
        await asyncio.sleep(0.3)  # for what is sent by itself

        async def all_heard() -> bool:
            await node.execute("PUBLISH", "news", "x")
            await node.execute("PUBLISH", "news.a", "x")
            await node.execute("SPUBLISH", "news{s}", "x")
            await asyncio.sleep(0.02)
            return {"news", "news.a", "news{s}"} <= heard

        try:
            assert await eventually(all_heard, timeout=20), heard
            assert plain.stats().reconnects == shard.stats().reconnects == 0
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def test_what_the_page_lists_is_enough(node: ClusterNode):
    await node.execute("ACL", "LOG", "RESET")
    await subscribes_and_hears(node, *documented())
    assert await node.execute("ACL", "LOG") == []


@pytest.mark.parametrize("word", ALLOWED)
async def test_without_one_of_them(node: ClusterNode, word: str):
    rules = [each for each in documented() if each != word]
    if word not in NEEDED:
        await subscribes_and_hears(node, *rules)
        return
    with pytest.raises(ExceptionGroup) as caught:
        await subscribes_and_hears(node, *rules)
    error = caught.value.exceptions[0]
    assert isinstance(error, exceptions.AuthorizationError)
    assert f"'{word[1:]}'" in str(error).lower()


@pytest.mark.parametrize("left", ["shards", "slots", "nodes"])
async def test_one_way_to_learn_the_topology_is_enough(node: ClusterNode, left: str):
    rules = [each for each in documented() if not each.startswith("+cluster")]
    await subscribes_and_hears(node, *rules, f"+cluster|{left}")


async def test_without_any_way_to_learn_the_topology(node: ClusterNode):
    rules = [each for each in documented() if not each.startswith("+cluster")]
    with pytest.raises(exceptions.AuthorizationError, match=r"(?i)cluster\|"):
        await subscribes_and_hears(node, *rules)


async def test_another_channel_is_refused_by_name(node: ClusterNode):
    await node.execute("ACL", "SETUSER", "consumer", "reset", *documented())
    async with (
        RedisCluster(node.host, node.port, username="consumer", password="secret") as client,
        client.pubsub(channels=["news"]) as pubsub,
    ):
        with pytest.raises(exceptions.AuthorizationError, match="secrets"):
            await pubsub.subscribe("secrets")
        assert b"news" in pubsub.channels
