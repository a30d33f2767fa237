"""P3: a node that refuses credentials costs that node; all nodes that could serve, the whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import RedisCluster, exceptions
from actors.pubsub.api.base import BasePubSub
from actors.pubsub.cluster import node_readers
from actors.redis.topology.slots import key_slot
from actors.testing import EmbeddedCluster
from actors.testing.clusters.cluster import ClusterNode
from tests.clusters.lending import client_of
from tests.pubsub.helpers import Gaps, message, take
from tests.redis.helpers import HELLO, answers, peer
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(params=["sharded", "plain"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def let_in(*nodes: ClusterNode, password: str = "p") -> None:
    for node in nodes:
        await node.execute(
            "ACL", "SETUSER", "u", "reset", "on", f">{password}", "+@all", "allchannels", "allkeys"
        )


async def shut_out(*nodes: ClusterNode) -> None:
    """End the user's connections, and refuse it from now on."""
    for node in nodes:
        await node.execute("ACL", "DELUSER", "u")


def user_of(cluster: EmbeddedCluster, **options: Any) -> RedisCluster[Any]:
    return client_of(cluster, username="u", password="p", **options)


def pubsub_of(client: RedisCluster[Any], kind: str, **options: Any) -> BasePubSub[Any]:
    make = client.sharded_pubsub if kind == "sharded" else client.pubsub
    return make(channels=["a"], ignore_subscribe_messages=True, **options)


async def publish(cluster: EmbeddedCluster, kind: str, data: str) -> None:
    owner = await cluster.primary_for(key_slot(b"a"))
    await owner.execute("SPUBLISH" if kind == "sharded" else "PUBLISH", "a", data)


async def delivers(cluster: EmbeddedCluster, kind: str, p: BasePubSub[Any], data: str) -> None:
    await publish(cluster, kind, data)
    assert await take(p, 1) == [message("a", data)]


async def test_p3_a_new_node_that_does_not_know_the_user_costs_nothing(kind: str, caplog):
    async with EmbeddedCluster(2, 0) as cluster:
        await let_in(*cluster.nodes)
        async with user_of(cluster) as client, pubsub_of(client, kind) as p:
            await delivers(cluster, kind, p, "before")
            new = await cluster.add_node()
            if kind == "sharded":  # its reader is there before slots are
                await eventually(lambda: p.refusing(), 15)
                (said,) = p.refusing().values()
                assert f":{new.port} refused HELLO 3" in said
            await delivers(cluster, kind, p, "after")
            async with user_of(cluster) as other, pubsub_of(other, kind) as late:
                await publish(cluster, kind, "both")
                assert await take(late, 1) == await take(p, 1) == [message("a", "both")]
            await let_in(new)
            await eventually(lambda: not p.refusing(), 40)
            assert p.stats().gaps == 0
    if kind == "sharded":
        assert caplog.text.count("'node_refuses'") <= 2, "one line for each pub/sub object"
        assert "servers do not share their access lists" in caplog.text


async def test_p3_a_password_that_changes_on_the_owner_first(cluster, kind: str):
    """The owner has a replica: a sharded channel goes on there; a plain one at any other node."""
    await let_in(*cluster.nodes)
    async with user_of(cluster) as client, pubsub_of(client, kind) as p:
        await delivers(cluster, kind, p, "before")
        owner = await cluster.primary_for(key_slot(b"a"))
        await shut_out(owner)
        await let_in(owner, password="next")

        async def heard() -> bool:
            await publish(cluster, kind, "after")
            return await p.get_message(timeout=0.05) is not None

        await eventually(heard, 15)
        await let_in(owner)
        await eventually(lambda: not p.refusing() and not p.unconfirmed(), 40)


async def test_p3_an_owner_without_a_replica_that_refuses_costs_its_channels_alone(caplog):
    gaps = Gaps()
    async with EmbeddedCluster(3, 0) as cluster:
        await let_in(*cluster.nodes)
        async with (
            user_of(cluster) as client,
            client.sharded_pubsub(channels=["a"], ignore_subscribe_messages=True, on_gap=gaps) as p,
        ):
            owner = await cluster.primary_for(key_slot(b"a"))
            await shut_out(owner)
            await eventually(p.refusing)
            # One node more is asked, which accepts: so nothing is given up.
            await eventually(lambda: len(p.nodes()) == 1)
            for name in ("b", "c", "d", "e"):
                server = await cluster.primary_for(key_slot(name.encode()))
                if server is not owner:
                    other = name
                    break
            await p.subscribe(other)
            await server.execute("SPUBLISH", other, "1")
            assert await take(p, 1) == [message(other, "1")]
            assert len(p.refusing()) == 1
            await let_in(owner)
            await eventually(lambda: not p.unconfirmed(), 40)
            await delivers(cluster, "sharded", p, "again")
            assert "a" in gaps.names()


async def test_p6b_attempts_at_a_node_that_refuses_become_rare():
    """Also where a channel has no other place."""
    async with EmbeddedCluster(3, 0) as cluster:
        await let_in(*cluster.nodes)
        owner = await cluster.primary_for(key_slot(b"a"))
        async with user_of(cluster) as client, client.sharded_pubsub(channels=["a"]) as p:
            await shut_out(owner)
            await eventually(p.refusing)
            await owner.execute("ACL", "LOG", "RESET")
            await asyncio.sleep(4)
            log = [dict(_pairs(entry)) for entry in await owner.execute("ACL", "LOG")]
            assert sum(entry[b"count"] for entry in log) <= 12


async def test_p6b_a_peer_at_an_owners_address_that_greets_and_drops(monkeypatch):
    """Its channels have no other place, and it is called less and less often all the same."""
    monkeypatch.setattr(node_readers, "_HASTENED_ALIKE", 1)
    greeted = 0

    def greets_and_drops(command: list[bytes]) -> bytes | None:
        nonlocal greeted
        greeted += command[0] == b"HELLO"
        return HELLO if command[0] == b"HELLO" else None

    async with EmbeddedCluster(3, 0) as cluster:
        owner = await cluster.primary_for(key_slot(b"a"))
        async with client_of(cluster) as client, client.sharded_pubsub(channels=["a"]) as p:
            cluster.kill(owner)
            async with peer(answers(greets_and_drops), port=owner.port):
                await eventually(lambda: greeted >= 2, 20)
                greeted = 0
                await asyncio.sleep(4)
                assert greeted <= 14, "18 if it were called 4 times a second"
            await cluster.start(owner)
            await eventually(lambda: not p.unconfirmed(), 40)


def _pairs(entry: Any) -> Any:
    return entry.items() if isinstance(entry, dict) else zip(entry[::2], entry[1::2], strict=True)


@pytest.mark.parametrize(
    "says",
    [
        b"-DENIED protected mode is enabled",
        b"-NOAUTH Authentication required.",
        b"-WRONGPASS invalid username-password pair",
        b"-ERR unknown command 'HELLO'",
    ],
)
async def test_p3_a_stranger_at_a_dead_replicas_address(cluster, kind: str, says: bytes):
    await let_in(*cluster.nodes)
    async with (
        user_of(cluster) as client,
        pubsub_of(client, kind, read_from_replicas=True) as p,
    ):
        await delivers(cluster, kind, p, "before")
        topology = client.connection_pool.topology
        shard = topology.shard_for(key_slot(b"a"))
        assert shard is not None
        replica = next(n for n in cluster.nodes if n.port == shard.replicas[0].port)
        cluster.kill(replica)

        async def heard() -> bool:
            await publish(cluster, kind, "after")
            return await p.get_message(timeout=0.05) is not None

        async with peer(answers(lambda _: says + b"\r\n"), port=replica.port):
            await eventually(heard, 20)
            if kind == "sharded":
                await eventually(p.refusing, 20)
            assert not p.unconfirmed()


async def test_p3_it_gives_up_when_every_node_refuses(kind: str):
    async with EmbeddedCluster(3, 0) as cluster:
        await let_in(*cluster.nodes)
        with pytest.raises(ExceptionGroup) as caught:
            async with user_of(cluster) as client, pubsub_of(client, kind) as p:
                await delivers(cluster, kind, p, "before")
                await shut_out(*cluster.nodes)
                async with asyncio.timeout(30):
                    async for _ in p:
                        pass
        (error,) = caught.value.exceptions
        assert isinstance(error, exceptions.AuthenticationFailureError)
