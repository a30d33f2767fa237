"""pubsub(every_primary=True): what each primary publishes to its own subscribers alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors import ClusterPubSub, Gap, PubSubMessage, RedisCluster, exceptions
from actors.testing.clusters.cluster import ClusterNode, EmbeddedCluster
from tests.clusters.fixtures import BINARIES
from tests.clusters.lending import NODE_TIMEOUT, client_of
from tests.pubsub.helpers import QUICK, Gaps
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL_KEYS = "__keyspace@0__:*"


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=BINARIES, ids=lambda binary: binary.flavour
)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedCluster]:
    """A cluster whose nodes tell what happens to their keys."""
    args = {"notify-keyspace-events": "KEA"}
    async with EmbeddedCluster(
        binary=request.param, node_timeout=NODE_TIMEOUT, args=args
    ) as cluster:
        yield cluster


class Events(list[str]):
    """A handler that keeps the keys of the events that it is called with."""

    def __call__(self, message: PubSubMessage) -> None:
        if message["data"] == "set":
            self.append(message["channel"].partition(":")[2])


def watching(client: RedisCluster[Any], **options: Any) -> ClusterPubSub[Any]:
    options = {"retry_policy": QUICK, "subscription_timeout": 10, **options}
    options.setdefault("unsubscription_timeout", 10)
    return client.pubsub(every_primary=True, ignore_subscribe_messages=True, **options)


async def set_keys(client: RedisCluster[Any], name: str, count: int = 60) -> set[str]:
    keys = [f"{name}-{number}" for number in range(count)]
    for key in keys:
        await client.execute_command("SET", key, 1)
    return set(keys)


async def heard_all(client: RedisCluster[Any], events: Events, name: str) -> None:
    """Each key's event comes once, whichever primary has the key."""
    events.clear()
    keys = await set_keys(client, name)
    await eventually(lambda: len(events) >= len(keys), 10)
    assert Counter(events) == Counter(keys)


def addresses(nodes: list[ClusterNode]) -> set[str]:
    return {f"{node.host}:{node.port}" for node in nodes}


async def subscribed(cluster: EmbeddedCluster) -> dict[str, int]:
    """How many patterns each living node has."""
    return {node.id: await node.execute("PUBSUB", "NUMPAT") for node in cluster.alive}


async def test_the_events_of_all_primaries_arrive_once(cluster):
    events = Events()
    async with client_of(cluster) as client:
        async with watching(client, pattern_handlers={ALL_KEYS: events}) as p:
            primaries = {node.id for node in await cluster.primaries()}
            assert set(p.nodes()) == primaries
            assert p.patterns == {ALL_KEYS: events}
            assert p.unconfirmed() == []
            assert set(p.sources()) == primaries
            await heard_all(client, events, "handler")
            counts = await subscribed(cluster)
            assert {node for node, count in counts.items() if count} == primaries
            await p.punsubscribe(ALL_KEYS)
            assert not p.subscribed
            assert not any((await subscribed(cluster)).values())
            await p.psubscribe(ALL_KEYS)
            keys = await set_keys(client, "iterator")
            found: list[str] = []
            async with asyncio.timeout(10):
                while len(found) < len(keys):
                    one = await anext(p)
                    assert (one["pattern"], one["data"]) == (ALL_KEYS, "set")
                    found.append(one["channel"].partition(":")[2])
            assert Counter(found) == Counter(keys)
        # Without the option there are those of one node.
        async with client.pubsub(pattern_handlers={ALL_KEYS: events}):
            events.clear()
            keys = await set_keys(client, "one")
            await asyncio.sleep(0.2)
            assert 0 < len(events) < len(keys)


async def test_channels_of_one_key_and_messages_to_the_cluster(cluster):
    """A plain channel brings each node's own messages, and a cluster's message from each node."""
    events = Events()
    heard: list[Any] = []
    async with client_of(cluster) as client, watching(client) as p:
        handlers: dict[str, Any] = {"__keyspace@0__:k": events, "news": heard.append}
        await p.subscribe(**handlers)
        await client.execute_command("SET", "k", 1)
        await eventually(lambda: events == ["k"])
        await client.publish("news", "1")
        await eventually(lambda: len(heard) == 3)
        await p.unsubscribe("news")
        assert set(p.channels) == {"__keyspace@0__:k"}
        assert p.stats().gaps == 0


async def test_acknowledgements_come_from_each_node(cluster):
    async with client_of(cluster) as client, client.pubsub(every_primary=True) as p:
        await p.psubscribe(ALL_KEYS)
        acks = [await p.get_message(timeout=5) for _ in range(3)]
        assert [ack and ack["type"] for ack in acks] == ["psubscribe"] * 3


async def test_p10_a_gap_says_of_which_node(cluster):
    events, gaps = Events(), Gaps()
    async with (
        client_of(cluster) as client,
        watching(client, pattern_handlers={ALL_KEYS: events}, on_gap=gaps),
    ):
        for node in await cluster.primaries():
            gaps.clear()
            await cluster.kill_clients("pubsub", node)
            await eventually(lambda: len(gaps) == 1)
            assert {gap.node for gap in gaps} == addresses([node])
        await heard_all(client, events, "again")


async def test_p3_p10_a_failover_is_followed(cluster):
    """The promoted node takes the place of the dead one, and both of them have a gap."""
    events, gaps = Events(), Gaps()
    async with (
        client_of(cluster) as client,
        watching(client, pattern_handlers={ALL_KEYS: events}, on_gap=gaps) as p,
    ):
        dead = (await cluster.primaries())[0]
        cluster.kill(dead)
        successor = await cluster.successor(dead)
        living = {node.id for node in await cluster.primaries()} - {dead.id}
        await eventually(lambda: set(p.nodes()) == living, 20)
        await eventually(lambda: p.unconfirmed() == [])
        await cluster.settled()
        await heard_all(client, events, "after")
        assert {gap.node for gap in gaps} == addresses([dead, successor])
        assert p.patterns == {ALL_KEYS: events}
        # The former primary comes back as a replica, which tells of the same keys again.
        await cluster.start(dead)
        await heard_all(client, events, "back")
        assert set(p.nodes()) == living


async def test_a_graceful_failover_is_followed(cluster):
    events, gaps = Events(), Gaps()
    async with (
        client_of(cluster) as client,
        watching(client, pattern_handlers={ALL_KEYS: events}, on_gap=gaps) as p,
    ):
        primary = (await cluster.primaries())[0]
        replica = (await cluster.replicas_of(primary))[0]
        await cluster.failover(replica)
        living = {node.id for node in await cluster.primaries()}
        assert replica.id in living
        await eventually(lambda: set(p.nodes()) == living and p.unconfirmed() == [], 20)
        await heard_all(client, events, "after")
        assert {gap.node for gap in gaps} >= addresses([replica])


async def test_a_node_that_joins_and_leaves(cluster):
    events, gaps = Events(), Gaps()
    async with (
        client_of(cluster) as client,
        watching(client, pattern_handlers={ALL_KEYS: events}, on_gap=gaps) as p,
    ):
        joined = await cluster.add_node()
        await eventually(lambda: joined.id in p.nodes() and p.unconfirmed() == [], 20)
        source = await cluster.primary_for(0)
        await cluster.move_slots([0], source, joined)
        await heard_all(client, events, "joined")
        await eventually(lambda: addresses([joined]) == {gap.node for gap in gaps})
        await cluster.move_slots([0], joined, source)
        await cluster.forget(joined)
        await eventually(lambda: joined.id not in p.nodes(), 20)
        await heard_all(client, events, "left")
        assert p.patterns == {ALL_KEYS: events}


async def test_p1_subscribing_while_a_primary_is_dead(cluster):
    """The others are live at once; the dead one's time is a gap of its own."""
    events, gaps = Events(), Gaps()
    async with (
        client_of(cluster) as client,
        watching(client, patterns="keep", on_gap=gaps) as p,
    ):
        dead = (await cluster.primaries())[0]
        cluster.kill(dead)
        await eventually(lambda: dead.id not in p.nodes())
        await p.psubscribe(**{ALL_KEYS: events})
        assert {target.name for target in p.unconfirmed()} == {b"keep", ALL_KEYS.encode()}
        living = {node.id for node in cluster.alive}
        assert {node for node in p.sources() if node in living} == set(p.nodes())
        await cluster.successor(dead)
        await eventually(lambda: p.unconfirmed() == [], 20)
        await cluster.settled()
        await heard_all(client, events, "all")


async def test_p1_a_cancelled_call_leaves_nothing_on_any_node(cluster):
    events = Events()
    async with client_of(cluster) as client, watching(client, patterns="keep") as p:
        for turns in range(40):
            call = asyncio.ensure_future(p.psubscribe(**{ALL_KEYS: events}))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            expected = {"keep": None} if call.cancelled() else {"keep": None, ALL_KEYS: events}
            assert p.patterns == expected

            async def agree(count: int = len(expected)) -> bool:
                counts = await subscribed(cluster)
                return sum(counts.values()) == 3 * count

            await eventually(agree)
            await p.punsubscribe(ALL_KEYS)
        assert p.patterns == {"keep": None}


async def test_p11_a_refusal_is_the_error_of_the_call(cluster):
    for node in cluster.alive:
        await node.execute(
            "ACL", "SETUSER", "limited", "on", ">pw", "+@all", "resetchannels", "&allowed"
        )
    async with (
        client_of(cluster, username="limited", password="pw") as client,
        watching(client, channels="allowed") as p,
    ):
        assert "allowed" in repr(p.sources())
        with pytest.raises(exceptions.AuthorizationError):
            await p.subscribe("denied")
        assert p.channels == {"allowed": None}
        await eventually(lambda: p.unconfirmed() == [])


async def test_a_manager_that_crashes_takes_all_nodes_up_again(cluster):
    events = Events()
    async with (
        client_of(cluster) as client,
        watching(client, pattern_handlers={ALL_KEYS: events}) as p,
    ):
        tree = p._session.require_open()
        former = tree.reconciler
        incarnation: Any = tree.manager._cell.context
        incarnation.crash(RuntimeError("of the test"))
        await eventually(lambda: tree.reconciler is not former, 10)
        await eventually(lambda: len(p.nodes()) == 3 and p.unconfirmed() == [], 10)
        await heard_all(client, events, "again")


async def test_what_contradicts_itself_is_refused():
    client: RedisCluster[bytes] = RedisCluster("127.0.0.1", 1)
    with pytest.raises(ValueError, match="every_primary subscribes on primaries"):
        client.pubsub(every_primary=True, read_from_replicas=True)


async def test_the_node_of_a_gap_is_no_part_of_others():
    assert Gap("channel", "a", 0.0, 1.0, "why").node is None  # type: ignore[arg-type]
