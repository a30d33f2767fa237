"""ClusterPubSub: its messages, its parameters, calls that fail and calls in an outage.

Any node serves all of it, since the cluster's bus carries a PUBLISH to every node. What befalls
that node is in test_cluster_pubsub_faults.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import ClusterPubSub, exceptions
from actors.redis.topology.model import Role
from actors.testing.clusters.cluster import EmbeddedCluster
from tests.clusters.lending import client_of
from tests.pubsub.cluster.streams import serving
from tests.pubsub.helpers import QUICK, Gaps, Heard, data_of, drain, message, take, within
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def numsub(cluster: EmbeddedCluster, channel: str) -> int:
    """How many connections have ``channel``, at all living nodes."""
    counts = await asyncio.gather(
        *(node.execute("PUBSUB", "NUMSUB", channel) for node in cluster.alive)
    )
    return sum(count[1] for count in counts)


async def test_what_is_published_at_any_node_arrives_once_everywhere(cluster):
    by_channel, by_pattern, late = Heard(), Heard(), Heard()
    options: dict[str, Any] = {
        "channels": ["news"],
        "channel_handlers": {"own": by_channel},
        "patterns": ["n*"],
        "pattern_handlers": {"o?n": by_pattern},
    }
    async with client_of(cluster) as client, client.pubsub(**options) as p:
        assert type(p) is ClusterPubSub
        assert {one["type"] for one in await take(p, 4)} == {"subscribe", "psubscribe"}
        await p.subscribe("more", late=late)
        await p.psubscribe("[m]ore")
        acks = await take(p, 3)
        assert [one["data"] for one in acks] == [5, 6, 7]
        ids = sorted(node.id for node in cluster.nodes)
        for node in cluster.nodes:
            for channel in ("news", "own", "late", "more"):
                await node.execute("PUBLISH", channel, node.id)
        await eventually(lambda: len(late) == len(by_channel) == len(by_pattern) == 6)
        assert sorted(by_channel) == sorted(by_pattern) == sorted(late) == ids
        expected = [
            message(channel, node_id, pattern=pattern)
            for node_id in ids
            for channel, pattern in [
                ("news", None), ("news", "n*"), ("more", None), ("more", "[m]ore"),
            ]
        ]  # fmt: skip
        got = await take(p, 24)
        assert sorted(got, key=repr) == sorted(expected, key=repr)
        assert await drain(p) == []
        assert await client.publish("news", "x") in (0, 2)  # where it was published
        assert await data_of(p, 2) == ["x", "x"]
        assert (p.stats().gaps, p.stats().reconnects) == (0, 0)


@pytest.mark.parametrize("decode", [True, False])
async def test_payloads_and_names_are_decoded_as_the_client_says(cluster, decode):
    def word(text: str) -> str | bytes:
        return text if decode else text.encode()

    async with (
        client_of(cluster, decode_responses=decode) as client,
        client.pubsub(channels=["é"], patterns=["?"], ignore_subscribe_messages=True) as p,
    ):
        assert (set(p.channels), set(p.patterns)) == ({word("é")}, {word("?")})
        await cluster.nodes[-1].execute("PUBLISH", "x", "ü")
        await cluster.nodes[-1].execute("PUBLISH", "é", "ü")
        assert await take(p, 2) == [
            message(word("x"), word("ü"), pattern=word("?")),
            message(word("é"), word("ü")),
        ]


@pytest.mark.parametrize(
    ("of_client", "of_pubsub", "role"),
    [
        (False, None, Role.PRIMARY),
        (False, True, Role.REPLICA),
        (True, None, Role.REPLICA),
        (True, False, Role.PRIMARY),
    ],
)
async def test_read_from_replicas_chooses_the_node(cluster, of_client, of_pubsub, role):
    async with client_of(cluster, read_from_replicas=of_client) as client:
        for attempt in range(3):
            p = client.pubsub(channels=["a"], read_from_replicas=of_pubsub)
            async with p:
                assert await serving(cluster, p).role() is role
                await take(p, 1)
                for node in cluster.nodes:
                    await node.execute("PUBLISH", "a", f"{attempt} {node.port}")
                expected = sorted(f"{attempt} {node.port}" for node in cluster.nodes)
                # A node of this attempt may hear late from the bus of an attempt before.
                own: list[str] = []
                while len(own) < 6:
                    own += [one for one in await data_of(p, 1) if one.startswith(f"{attempt} ")]
                assert sorted(own) == expected


async def test_unsubscribe_of_all_ends_the_iteration(cluster):
    async with (
        client_of(cluster) as client,
        client.pubsub(channels=["a", "b"], patterns=["p*"], channel_handlers={"h": Heard()}) as p,
    ):
        await p.unsubscribe("nobody", "b")
        assert set(p.channels) == {"a", "h"}
        await p.unsubscribe()
        assert (p.channels, p.patterns) == ({}, {"p*": None})
        await p.punsubscribe()
        assert not p.subscribed
        types = [one["type"] async for one in p]
        assert types.count("unsubscribe") >= 3
        assert types[-1] == "punsubscribe"
        for name in ("a", "b", "h"):
            assert await numsub(cluster, name) == 0


# -- calls that fail, and calls in an outage -------------------------------------------------------


async def test_p5_a_refused_subscription_raises_and_disturbs_nobody(cluster):
    for node in cluster.nodes:
        await node.execute(
            "ACL", "SETUSER", "limited", "reset", "on", ">pw", "+@all", "~*", "&may*"
        )
    try:
        async with (
            client_of(cluster, username="limited", password="pw") as client,
            client.pubsub(channels=["may"], ignore_subscribe_messages=True) as p,
        ):
            with pytest.raises(exceptions.AuthorizationError):
                await p.subscribe("may2", "not")
            with pytest.raises(exceptions.AuthorizationError):
                await p.psubscribe("n*")
            assert (set(p.channels), p.patterns) == ({"may"}, {})
            await p.subscribe("may3")
            await cluster.nodes[0].execute("PUBLISH", "may3", "3")
            await cluster.nodes[0].execute("PUBLISH", "may", "1")
            assert await data_of(p, 2) == ["3", "1"]
            assert p.stats().reconnects == 0
            with pytest.raises(ExceptionGroup) as caught:
                await client.pubsub(channels=["not"]).__aenter__()
            assert caught.group_contains(exceptions.AuthorizationError)
    finally:
        for node in cluster.nodes:
            await node.execute("ACL", "DELUSER", "limited")


async def test_p5_a_subscription_that_is_not_acknowledged_is_given_up(cluster):
    async with (
        client_of(cluster) as client,
        client.pubsub(channels=["a"], subscription_timeout=0.2) as p,
    ):
        node = serving(cluster, p)
        cluster.pause(node)
        with within(0.5), pytest.raises(TimeoutError, match=r"acknowledgement .* 0\.2 seconds"):
            await p.subscribe("late")
        assert set(p.channels) == {"a"}
        cluster.resume(node)
        await eventually(lambda: _only(cluster, "a", "late"))


async def _only(cluster: EmbeddedCluster, there: str, gone: str) -> bool:
    return (await numsub(cluster, there), await numsub(cluster, gone)) == (1, 0)


async def test_p1_p13_calls_in_an_outage_are_kept_and_leaving_takes_no_time(cluster):
    gaps, late = Gaps(), Heard()
    async with client_of(cluster, stream_timeout=0.2, connect_timeout=0.2) as client:
        p = client.pubsub(
            channels=["a", "gone"],
            patterns=["g*"],
            max_idle_seconds=0.2,
            retry_policy=QUICK,
            on_gap=gaps,
            ignore_subscribe_messages=True,
        )
        await p.__aenter__()
        for node in cluster.nodes:
            cluster.pause(node)
        await eventually(lambda: p.connection is None)
        with within(0.5):
            await p.subscribe("new", late=late)
            await p.unsubscribe("gone")
            await p.punsubscribe()
        assert (set(p.channels), p.patterns) == ({"a", "new", "late"}, {})
        for node in cluster.nodes:
            cluster.resume(node)
        await eventually(lambda: p.stats().gaps == 3)
        for name in ("gone", "a", "new", "late"):
            await cluster.nodes[0].execute("PUBLISH", name, name)
        await late.wait(1)
        assert await data_of(p, 2) == ["a", "new"]
        assert await numsub(cluster, "gone") == 0
        assert gaps.names() == ["a", "late", "new"]
        # And once more, to be left.
        for node in cluster.nodes:
            cluster.pause(node)
        await eventually(lambda: p.connection is None)
        with within(1):
            await p.__aexit__(None, None, None)
        assert not p.subscribed


async def test_k3_p13_leaving_takes_no_time_while_the_node_is_stopped(cluster):
    async with client_of(cluster) as client:
        p = client.pubsub(channels=["a"])
        await p.__aenter__()
        cluster.pause(serving(cluster, p))
        with within(1):
            await p.__aexit__(None, None, None)
