"""ShardedPubSub in peace: its parameters, methods and messages (the faults are in tests/faults)."""

from __future__ import annotations

import asyncio

import pytest

from actors import ShardedPubSub, exceptions
from actors.redis.topology.model import Role
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.lending import client_of
from tests.faults.load import even_channels
from tests.pubsub.helpers import Heard, data_of, drain, message, take, within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Two in each of six slots, two slots of each shard.
NAMES = even_channels(12)


async def numsub(cluster: EmbeddedCluster, channel: str) -> int:
    """How many connections have ``channel``, at all nodes."""
    counts = await asyncio.gather(
        *(node.execute("PUBSUB", "SHARDNUMSUB", channel) for node in cluster.nodes)
    )
    return sum(count[1] for count in counts)


async def test_channels_and_handlers_of_all_shards(cluster):
    heard = {name: Heard() for name in NAMES[1::2]}
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(channels=NAMES[::2], channel_handlers=heard) as p,
    ):
        assert type(p) is ShardedPubSub
        assert p.channels == {**dict.fromkeys(NAMES[::2]), **heard}
        assert p.patterns == {}
        # Counts are those of the connection: each has the channels of its shard.
        acks = await take(p, 12)
        assert sorted(one["channel"] for one in acks) == sorted(NAMES)
        assert {(one["type"], one["pattern"]) for one in acks} == {("ssubscribe", None)}
        assert sorted(one["data"] for one in acks) == sorted([1, 2, 3, 4] * 3)
        for name in NAMES:
            assert await client.spublish(name, f"to {name}") == 1
        expected = [message(name, f"to {name}") for name in NAMES[::2]]
        got = await take(p, 6)
        assert sorted(got, key=repr) == sorted(expected, key=repr)
        for name, handler in heard.items():
            await handler.wait(1)
            assert handler == [f"to {name}"]
        assert await drain(p) == []
        assert (p.stats().gaps, p.stats().reconnects) == (0, 0)
    for name in NAMES:
        await eventually(lambda name=name: _gone(cluster, name))


async def _gone(cluster: EmbeddedCluster, name: str) -> bool:
    return await numsub(cluster, name) == 0


@pytest.mark.parametrize("decode", [True, False])
async def test_payloads_and_names_are_decoded_as_the_client_says(cluster, decode):
    def word(text: str) -> str | bytes:
        return text if decode else text.encode()

    async with (
        client_of(cluster, decode_responses=decode) as client,
        client.sharded_pubsub(channels=["é"]) as p,
    ):
        assert set(p.channels) == {word("é")}
        await client.spublish("é", "ü")
        assert await take(p, 2) == [
            message(word("é"), 1, type="ssubscribe"),
            message(word("é"), word("ü")),
        ]


@pytest.mark.parametrize(("of_client", "of_pubsub"), [(False, None), (True, None), (False, True)])
async def test_shard_connections_are_by_node_and_have_those_in_use(cluster, of_client, of_pubsub):
    role = Role.REPLICA if of_client or of_pubsub else Role.PRIMARY
    async with (
        client_of(cluster, read_from_replicas=of_client) as client,
        client.sharded_pubsub(read_from_replicas=of_pubsub, ignore_subscribe_messages=True) as p,
    ):
        layout = p.connection_pool.cluster_layout
        assert layout is client.connection_pool.cluster_layout
        await p.subscribe(*NAMES)
        connections = p.shard_connections
        for node_id, connection in connections.items():
            assert connection.location == cluster.node(node_id).location
        listening = [node for node in cluster.nodes if await _channels_at(node) > 0]
        assert len(listening) == 3
        # The others that are connected would follow one of these, and are subscribed to nothing.
        assert connections.keys() == {node.id for node in listening}
        for node in listening:
            assert await node.role() is role
        for name in NAMES:
            await client.spublish(name, name)
        assert sorted(await data_of(p, len(NAMES))) == sorted(NAMES)


async def _channels_at(node: ClusterNode) -> int:
    return len(await node.execute("PUBSUB", "SHARDCHANNELS"))


async def test_subscribe_takes_handlers_by_name(cluster):
    heard, other = Heard(), Heard()

    async def later(one):
        other(one)

    async with client_of(cluster) as client, client.sharded_pubsub() as p:
        assert not p.subscribed
        await p.subscribe("iterated", handled=heard, awaited=later)
        assert p.subscribed
        assert p.channels == {"iterated": None, "handled": heard, "awaited": later}
        for name in ("iterated", "handled", "awaited"):
            await client.spublish(name, name)
        await heard.wait(1)
        await other.wait(1)
        assert (heard, other) == (["handled"], ["awaited"])
        assert await data_of(p, 1) == ["iterated"]
        # Without the handler, the messages come to the iterator.
        await p.subscribe("handled")
        await client.spublish("handled", "again")
        assert await data_of(p, 1) == ["again"]
        assert heard == ["handled"]


async def test_patterns_are_refused(cluster):
    async with client_of(cluster) as client, client.sharded_pubsub(channels=["a"]) as p:
        with pytest.raises(NotImplementedError, match="no patterns"):
            await p.psubscribe("a*")
        with pytest.raises(NotImplementedError, match="no patterns"):
            await p.psubscribe(**{"a*": Heard()})
        with pytest.raises(NotImplementedError, match="no patterns"):
            await p.punsubscribe()
        for option in ({"patterns": ["a*"]}, {"pattern_handlers": {"a*": Heard()}}):
            with pytest.raises(TypeError, match="pattern"):
                client.sharded_pubsub(**option)
        # A star is a letter like any other.
        await p.subscribe("a*")
        await client.spublish("ab", "no")
        await client.spublish("a*", "yes")
        assert await data_of(p, 1) == ["yes"]


async def test_unsubscribe_of_some_of_unknown_names_and_of_all(cluster):
    heard = Heard()
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(channels=NAMES[:-1], channel_handlers={NAMES[-1]: heard}) as p,
    ):
        await take(p, 12)
        await p.unsubscribe(NAMES[0], "nobody")
        assert set(p.channels) == set(NAMES[1:])
        assert await numsub(cluster, NAMES[0]) == 0
        ended = [one["channel"] for one in await drain(p) if one["type"] == "sunsubscribe"]
        assert NAMES[0] in ended
        assert await client.spublish(NAMES[0], "nobody hears") == 0
        assert await client.spublish(NAMES[1], "1") == 1
        assert await data_of(p, 1) == ["1"]
        await p.unsubscribe()
        assert not p.subscribed
        for name in NAMES:
            assert await client.spublish(name, "nobody hears") == 0
        ends = [one async for one in p]
        assert sorted(one["channel"] for one in ends) == sorted(NAMES[1:])
        assert {one["type"] for one in ends} == {"sunsubscribe"}
        # With nothing subscribed, one acknowledgement of nothing, as a server gives it.
        await p.unsubscribe()
        assert await take(p, 1) == [message(None, 0, type="sunsubscribe")]
        await p.subscribe(NAMES[0])
        await client.spublish(NAMES[0], "back")
        assert await data_of(p, 1) == ["back"]
        assert heard == []


async def test_a_channel_and_a_shard_channel_of_one_name_are_two(cluster):
    async with (
        client_of(cluster) as client,
        client.sharded_pubsub(channels=["a"], ignore_subscribe_messages=True) as sharded,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as plain,
    ):
        await client.publish("a", "plain")
        assert await client.spublish("a", "sharded") == 1
        assert await data_of(plain, 1) == ["plain"]
        assert await data_of(sharded, 1) == ["sharded"]
        assert await drain(plain) == await drain(sharded) == []


async def test_p5_a_refused_subscription_raises_and_disturbs_nobody(cluster):
    for node in cluster.nodes:
        await node.execute("ACL", "SETUSER", "limited", "reset", "on", ">pw", "+@all", "~*", "&{t*")
    try:
        async with (
            client_of(cluster, username="limited", password="pw") as client,
            client.sharded_pubsub(channels=NAMES[:6], ignore_subscribe_messages=True) as p,
        ):
            with pytest.raises(exceptions.AuthorizationError):
                await p.subscribe("not", NAMES[6])
            assert set(p.channels) >= set(NAMES[:6])
            assert "not" not in p.channels
            await p.subscribe(*NAMES[6:])
            for name in NAMES:
                assert await client.spublish(name, name) == 1
            assert sorted(await data_of(p, 12)) == sorted(NAMES)
            assert (p.stats().gaps, p.stats().reconnects) == (0, 0)
    finally:
        for node in cluster.nodes:
            await node.execute("ACL", "DELUSER", "limited")


async def test_p13_leaving_takes_no_time_while_all_nodes_are_stopped(cluster):
    async with client_of(cluster) as client:
        p = client.sharded_pubsub(channels=NAMES)
        await p.__aenter__()
        for node in cluster.nodes:
            cluster.pause(node)
        with within(1):
            await p.__aexit__(None, None, None)


async def test_p13_leaving_leaves_no_line_in_the_log(cluster, caplog):
    """Connections that end because all of it does are no news."""
    async with client_of(cluster) as client:
        for pause in (0.0, 0.1, 0.3):
            async with client.sharded_pubsub(channels=NAMES):
                await asyncio.sleep(pause)
    assert caplog.text == ""
