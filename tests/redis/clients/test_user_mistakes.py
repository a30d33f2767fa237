"""What a user gets wrong is an error at the call, with its cause and its cure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Redis, RedisCluster
from actors.redis.exceptions import AskError
from actors.testing import EmbeddedCluster
from tests.pubsub.helpers import client_of
from tests.servers import AnyServer


async def pairs() -> AsyncIterator[tuple[str, str]]:
    yield "a", "b"


@pytest.mark.parametrize("history", [True, 10, "x"])
async def test_a_history_of_a_wrong_type(shared_server: AnyServer, history: Any):
    async with client_of(shared_server) as client:
        untyped: Any = client
        for call in (
            lambda: untyped.publish("a", "b", history=history),
            lambda: untyped.publish_many([("a", "b")], history=history),
        ):
            with pytest.raises(TypeError, match="history must be a History, as History"):
                await call()
        async with client.pipeline() as pipe:
            queue: Any = pipe
            with pytest.raises(TypeError, match="history must be a History"):
                queue.publish("a", "b", history=history)


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (3, "pairs of channel and message from an iterable, not from 3"),
        (pairs(), "from an iterable, not from .*collect them into a list first"),
        ([("a", "b", "c")], r"pairs of channel and message, not \('a', 'b', 'c'\)"),
        ([("a", "b"), 3], "pairs of channel and message, not 3"),
        (["ab"], "pairs of channel and message, not 'ab'"),
        ([("a", "b"), "cd"], "pairs of channel and message, not 'cd'"),
        ({"a": "b"}, "pairs of channel and message, not 'a'"),
    ],
)
async def test_messages_that_are_no_pairs(shared_server: AnyServer, messages: Any, problem: str):
    async with client_of(shared_server) as client:
        with pytest.raises(TypeError, match=problem):
            await client.publish_many(messages)


def test_options_and_urls_that_cannot_work():
    from_url: Any = Redis.from_url
    with pytest.raises(TypeError, match="the URL must be a str, not int"):
        from_url(3)
    with pytest.raises(ValueError, match=r"argument: from_url\(url, decode_responses=\.\.\.\)"):
        from_url("redis://localhost?decode_responses=true")
    with pytest.raises(TypeError, match="no option 'stream_timeot': is 'stream_timeout' meant"):
        from_url("redis://localhost", stream_timeot=3)
    for nodes in (3, "127.0.0.1:6379"):
        cluster: Any = RedisCluster
        with pytest.raises(ValueError, match="startup_nodes must be a list of nodes"):
            cluster(startup_nodes=nodes)


async def test_a_client_for_one_server_at_a_node_of_a_cluster_names_the_other_client():
    async with EmbeddedCluster(3, 0) as cluster, Redis.from_url(cluster.url) as client:
        with pytest.raises(AskError) as caught:
            for number in range(20):
                await client.execute_command("SET", number, "x")
        assert "use RedisCluster instead of Redis" in caught.value.__notes__[0]
        with pytest.raises(AskError) as caught:
            await client.publish_many(((str(n), "x") for n in range(20)), sharded=True)
        assert "use RedisCluster instead of Redis" in str(caught.value.__notes__)
