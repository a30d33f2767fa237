"""Every parameter of ClusterPubSub and ShardedPubSub; those of PubSub are in tests/pubsub."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors import ActorSystem, ClusterPubSub, Gap, RedisCluster, ShardedPubSub, exceptions
from actors.pubsub.api.base import BasePubSub
from actors.runtime.messages.overflow import MailboxSpec
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.clusters.lending import NODE_TIMEOUT, client_of
from tests.pubsub.helpers import QUICK, Gaps, Heard, data_of, message, take, within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[EmbeddedCluster]:
    """One server is enough: what differs between servers is tested elsewhere."""
    async with EmbeddedCluster(node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


class Kind:
    """How to make one kind of pub/sub object, and to publish to it."""

    def __init__(self, name: str) -> None:
        self.sharded = name == "sharded"
        self.of = ShardedPubSub if self.sharded else ClusterPubSub

    def make(self, client: RedisCluster[Any], **options: Any) -> BasePubSub[Any]:
        return client.sharded_pubsub(**options) if self.sharded else client.pubsub(**options)

    async def publish(self, client: RedisCluster[Any], channel: str, *payloads: str) -> None:
        for payload in payloads:
            await (client.spublish if self.sharded else client.publish)(channel, payload)


@pytest.fixture(params=["plain", "sharded"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


async def test_ignore_subscribe_messages_of_the_object_and_of_a_call(cluster, kind):
    async with client_of(cluster) as client:
        async with kind.make(client, channels=["a"], ignore_subscribe_messages=True) as p:
            assert p.ignore_subscribe_messages
            assert await p.get_message(timeout=0.1) is None
            await kind.publish(client, "a", "1")
            assert await data_of(p, 1) == ["1"]
        async with kind.make(client, channels=["a"]) as p:
            assert await p.get_message(ignore_subscribe_messages=True) is None
            await kind.publish(client, "a", "1", "2")
            assert await p.get_message(True, 1.0) == message("a", "1")
            assert await p.get_message(timeout=1) == message("a", "2")
            began = time.monotonic()
            assert await p.get_message(timeout=0) is None
            assert time.monotonic() - began < 0.05
            assert await p.get_message(timeout=0.1) is None
            assert time.monotonic() - began >= 0.1


async def test_iteration_waits_and_ends_when_nothing_is_subscribed(cluster, kind):
    async with client_of(cluster) as client, kind.make(client, channels=["a"]) as p:
        got: list[Any] = []
        iterating = asyncio.create_task(_collect(p, got))
        await kind.publish(client, "a", *map(str, range(10)))
        await eventually(lambda: len(got) == 11)
        await p.unsubscribe()
        await iterating
        assert [one["data"] for one in got[1:-1]] == [str(n) for n in range(10)]
        assert got[-1]["type"] in ("unsubscribe", "sunsubscribe")


async def _collect(p: BasePubSub[Any], got: list[Any]) -> None:
    async for one in p:
        got.append(one)  # noqa: PERF401 - others look at it meanwhile


async def test_subscription_timeout(cluster, kind):
    async with client_of(cluster) as client:
        many = [str(n) for n in range(2000)]
        with pytest.raises(ExceptionGroup) as caught:
            await kind.make(client, channels=many, subscription_timeout=1e-4).__aenter__()
        (error,) = caught.value.exceptions
        assert isinstance(error, TimeoutError)
        assert "acknowledgement of subscription within 0.0001 seconds" in str(error)
        async with kind.make(client, subscription_timeout=1e-4) as p:
            with pytest.raises(TimeoutError, match="acknowledgement of subscription"):
                await p.subscribe(*many)
            assert p.channels == {}
            p.subscription_timeout = 1
            await p.subscribe(*many)
            assert len(p.channels) == 2000


async def test_unsubscription_timeout(cluster, kind, caplog):
    async with (
        client_of(cluster) as client,
        kind.make(client, channels=["a"], unsubscription_timeout=0.2) as p,
    ):
        for node in cluster.nodes:
            cluster.pause(node)
        began = time.monotonic()
        await p.unsubscribe("a")
        assert 0.2 <= time.monotonic() - began < 0.6
        assert "unsubscribe_not_acknowledged" in caplog.text
        assert not p.subscribed


async def test_max_idle_seconds_and_on_gap(cluster, kind):
    gaps = Gaps()
    options = {"channels": ["a"], "max_idle_seconds": 0.3, "on_gap": gaps, "retry_policy": QUICK}
    async with (
        client_of(cluster, stream_timeout=0.3) as client,
        kind.make(client, ignore_subscribe_messages=True, **options) as p,
    ):
        for node in cluster.nodes:
            cluster.pause(node)
        began = time.time()
        with within(2):
            await eventually(lambda: not _connections(p))
        for node in cluster.nodes:
            cluster.resume(node)
        await eventually(lambda: not p.unconfirmed())
        await kind.publish(client, "a", "after")
        assert await data_of(p, 1) == ["after"]
        if kind.sharded:
            return  # its server stood still, and goes on: nothing is lost
        (gap,) = gaps
        assert isinstance(gap, Gap)
        assert (gap.name, gap.until > began) == ("a", True)


def _connections(p: BasePubSub[Any]) -> list[Any]:
    if isinstance(p, ShardedPubSub):
        return list(p.shard_connections.values())
    assert isinstance(p, ClusterPubSub)
    return [p.connection] if p.connection is not None else []


@pytest.mark.parametrize(
    "bound", [{"mailbox": 5, "overflow": "drop_oldest"}, {"mailbox": MailboxSpec(5, "drop_oldest")}]
)
async def test_mailbox_overflow_and_on_lagged(cluster, kind, bound):
    lags: list[int] = []
    async with (
        client_of(cluster) as client,
        kind.make(
            client,
            channels=["a"],
            ignore_subscribe_messages=True,
            on_lagged=lags.append,
            **bound,
        ) as p,
    ):
        await kind.publish(client, "a", *map(str, range(50)))
        await eventually(lambda: p.stats().shed == 45)
        assert await data_of(p, 5) == ["45", "46", "47", "48", "49"]
        assert lags == [45]


async def test_on_failure(cluster, kind):
    failures: list[Any] = []

    def fails(one):
        raise ValueError(one["data"])

    async with (
        client_of(cluster) as client,
        kind.make(client, channel_handlers={"a": fails}, on_failure=failures.append),
    ):
        await kind.publish(client, "a", "1", "2")
        await eventually(lambda: len(failures) == 2)
        assert [failure.message["data"] for failure in failures] == ["1", "2"]


async def test_start_timeout(cluster, kind):
    gaps = Gaps()
    async with client_of(cluster, connect_timeout=0.2) as client:
        for node in cluster.nodes:
            cluster.pause(node)
        p = kind.make(client, channels=["a"], start_timeout=0.3, on_gap=gaps, retry_policy=QUICK)
        if not kind.sharded:
            with within(1.5), pytest.raises(ExceptionGroup):
                await p.__aenter__()
            return
        # Shard channels connect when they are subscribed: the wish is kept, as in any outage.
        with within(1.5):
            await p.__aenter__()
        for node in cluster.nodes:
            cluster.resume(node)
        await eventually(lambda: p.stats().gaps == 1)
        await p.__aexit__(None, None, None)


async def test_system(cluster, kind):
    async with (
        ActorSystem("mine") as system,
        client_of(cluster) as client,
        kind.make(client, channels=["a"], system=system),
    ):
        assert kind.of._kind in str(system.tree())


async def test_retry_policy_none_is_the_default_of_the_sharded_class(cluster, kind):
    async with client_of(cluster) as client:
        options = {} if kind.sharded else {"retry_policy": None}
        with pytest.raises(ExceptionGroup) as caught:
            async with kind.of(client.connection_pool, True, channels=["a"], **options) as p:
                await kind.publish(client, "a", "1")
                assert await data_of(p, 1) == ["1"]
                await cluster.kill_clients("pubsub")
                await asyncio.Event().wait()
        assert caught.group_contains(exceptions.ConnectionError)


async def test_drain(cluster, kind):
    heard = Heard()
    async with (
        client_of(cluster) as client,
        kind.make(client, channels=["b"], channel_handlers={"a": heard}) as p,
    ):
        await take(p, 2)
        await kind.publish(client, "a", *map(str, range(20)))
        # The bus may be late: what is on its way to the node that serves is not drained.
        await eventually(lambda: p.stats().received == 20)
        assert await p.drain(5.0)
        assert heard == [str(n) for n in range(20)]
        assert not p.subscribed
