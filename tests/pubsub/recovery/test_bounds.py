"""What recovery does at its bounds: mailboxes, patience, rights, many channels at once (R3)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from actors import Handler, History, Recover
from actors.redis.topology.slots import key_slot
from actors.testing import EmbeddedCluster
from actors.testing.servers.binary import ServerBinary
from tests.clusters import lending
from tests.pubsub.helpers import QUICK, Gaps, client_of, kill_subscribers, numsub
from tests.pubsub.recovery.helpers import Got, history, publish
from tests.servers import AnyServer, ask
from tests.support import eventually


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
async def test_r3_a_history_is_read_as_far_as_the_mailbox_has_room(
    server: AnyServer, overflow: str
):
    got, shed = Got(), []

    async def slow(message: Any) -> None:
        got(message)
        if len(got) % 50 == 0:
            await asyncio.sleep(0.001)

    async with client_of(server) as client:
        await publish(client, "a", *range(3000))
        handler = Handler(
            slow,
            recover=Recover(since="all"),
            mailbox=100,
            overflow=overflow,
            on_lagged=shed.append,
        )
        async with client.pubsub(channel_handlers={"a": handler}) as pubsub:
            await got.wait(3000, 20)
            assert got.data() == [str(number) for number in range(3000)]
            assert shed == []
            assert pubsub.stats().recovered == 3000


@pytest.mark.parametrize("capacity", [1, 4, 16])
async def test_r3_a_history_that_is_read_from_its_beginning_never_fills_a_mailbox_too_far(
    server: AnyServer, capacity: int
):
    free, got = asyncio.Event(), Got()

    async def handle(message: Any) -> None:
        await free.wait()
        got(message)

    async with client_of(server) as client:
        ids = await publish(client, "a", *range(40))
        handler = Handler(handle, recover=Recover(since="all"), mailbox=capacity)
        async with client.pubsub(channel_handlers={"a": handler}) as pubsub:
            await eventually(lambda: pubsub.stats().recovered > capacity)
            free.set()
            await eventually(lambda: got and got[-1]["id"] == ids[-1])
            assert [one["id"] for one in got] == ids
            assert pubsub.stats().shed == 0


async def test_f2_what_was_not_read_when_another_process_takes_the_channel_is_told(
    server: AnyServer,
):
    """The gap ends with the hand-over: what came since the reconnect is not delivered either."""
    free, gaps = asyncio.Event(), Gaps()

    async def handle(message: Any) -> None:
        await free.wait()

    handler = Handler(handle, recover=Recover(), mailbox=4)
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": handler}, retry_policy=QUICK, on_gap=gaps) as pubsub,
    ):
        await eventually(lambda: pubsub.stats().history_reads > 0)
        await publish(client, "a", 0)
        await eventually(lambda: pubsub.stats().received > 0)
        kill_subscribers(server)
        await publish(client, "a", *range(1, 20))
        await eventually(lambda: pubsub.stats().behind == 1)
        assert pubsub._session.tree is not None
        [subscription] = pubsub._session.tree.registry.subscriptions.values()
        assert subscription.intake is not None
        handed_over = time.time()
        subscription.intake.give_up()
        free.set()
        await eventually(lambda: [gap.lost for gap in gaps] == [None])
        assert gaps[0].until >= handed_over > gaps[0].since
        assert pubsub.stats().behind == 0


async def test_r3_the_iterators_queue_bounds_all_channels_together(server: AnyServer):
    channels = [f"channel {number}" for number in range(20)]
    async with client_of(server) as client:
        for channel in channels:
            await publish(client, channel, *range(50))
        async with client.pubsub(
            channels=channels,
            recover=Recover(since="all"),
            mailbox=64,
            ignore_subscribe_messages=True,
        ) as pubsub:
            found: dict[str, list[str]] = {channel: [] for channel in channels}
            async with asyncio.timeout(20):
                for _ in range(1000):
                    one = await anext(pubsub)
                    found[one["channel"]].append(one["data"])
            assert all(data == [str(n) for n in range(50)] for data in found.values())
            assert pubsub.stats().shed == 0


async def test_a_user_who_may_not_read_histories_gets_what_is_live(server: AnyServer, caplog):
    rules = ("on", "nopass", "+subscribe", "+unsubscribe", "+hello", "+ping", "+client", "&*", "~*")
    assert ask(server, "ACL", "SETUSER", "reader", *rules) == "+OK"
    got, gaps = Got(), Gaps()
    async with (
        client_of(server) as admin,
        client_of(server, username="reader", password="x") as client,
        client.pubsub(
            channel_handlers={"a": got}, recover=True, on_gap=gaps, retry_policy=QUICK
        ) as pubsub,
    ):
        await eventually(lambda: pubsub.stats().history_reads == 1)
        await publish(admin, "a", *range(10))
        await got.wait(10)
        kill_subscribers(server)
        await publish(admin, "a", "missed")
        await eventually(lambda: numsub(server, history("a")) == 1)
        await publish(admin, "a", "next")
        await got.wait(11)
        assert got.data() == [*map(str, range(10)), "next"]
        await eventually(lambda: gaps)
        assert {gap.lost for gap in gaps} == {None}
        assert "could not be read" in gaps[0].reason
    assert any("history_not_read" in line for line in caplog.text.splitlines())


async def test_r3_messages_are_held_back_no_longer_than_patience(binary: ServerBinary):
    """The primary of the history stands still; another node still passes messages on."""
    got, gaps = Got(), Gaps()
    async with (
        EmbeddedCluster(3, 0, binary=binary, node_timeout=15_000) as cluster,
        lending.client_of(cluster) as client,
        client.pubsub(
            channel_handlers={"other": print}, retry_policy=QUICK, recover=Recover(patience=0.1)
        ) as pubsub,
    ):
        connection = pubsub.connection
        assert connection is not None
        serving = next(node for node in cluster.nodes if node.location == connection.location)
        primaries = {
            name: await cluster.primary_for(key_slot(name.encode())) for name in map(str, range(20))
        }
        channel = next(name for name, node in primaries.items() if node is not serving)
        primary = primaries[channel]
        await pubsub.subscribe(
            **{channel: Handler(got, on_gap=gaps, recover=Recover(patience=0.1))}
        )
        [first] = await publish(client, channel, "1")
        await got.wait(1)
        await eventually(lambda: pubsub.stats().history_reads >= 2)
        ms = first.split("-")[0]
        primary.pause()
        try:
            # The second entry never comes.
            await serving.execute("PUBLISH", history(channel), f"~{ms}-3 {ms} 3")
            await serving.execute("PUBLISH", history(channel), f"~{ms}-4 {ms} 4")
            await got.wait(3, 10)
        finally:
            primary.resume()
        assert got.data() == ["1", "3", "4"]
        assert [gap.lost for gap in gaps] == [None]
        assert pubsub.stats().held == 0


@pytest.mark.parametrize("count", [1000])
async def test_r3_thousands_of_channels_recover_together(binary: ServerBinary, count: int):
    got: dict[str, list[str]] = {f"c{number}": [] for number in range(count)}
    gaps = Gaps()

    def take(message: Any) -> None:
        got[message["channel"]].append(message["data"])

    async with (
        EmbeddedCluster(3, 0, binary=binary) as cluster,
        lending.client_of(cluster) as client,
        client.sharded_pubsub(
            on_gap=gaps, recover=True, retry_policy=QUICK, subscription_timeout=20
        ) as pubsub,
    ):
        handler = Handler(take, shared=True)
        await pubsub.subscribe(**dict.fromkeys(got, handler))
        await eventually(lambda: pubsub.stats().history_reads >= count, 20)

        async def publish_to_all(data: str) -> None:
            async with client.pipeline() as pipe:
                for channel in got:
                    pipe.spublish(channel, data, history=History())

        await publish_to_all("1")
        await cluster.kill_clients("pubsub")
        await publish_to_all("2")
        await publish_to_all("3")
        await eventually(lambda: all(len(data) == 3 for data in got.values()), 30)
        assert all(data == ["1", "2", "3"] for data in got.values())
        assert gaps == []
        assert pubsub.stats().held == 0
        # Once when it began, and about once for what was missed.
        assert pubsub.stats().history_reads < 4 * count


async def test_drain_waits_for_what_is_missing(server: AnyServer):
    got = Got()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": got}, recover=True, retry_policy=QUICK) as pubsub,
    ):
        await publish(client, "a", "1")
        await got.wait(1)
        kill_subscribers(server)
        await publish(client, "a", *range(2, 500))
        await eventually(lambda: numsub(server, history("a")) == 1)
        assert await pubsub.drain(10)
        assert got.data() == [str(number) for number in range(1, 500)]


async def test_p2_another_handler_goes_on_where_the_first_one_was(server: AnyServer):
    first, second = Got(), Got()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": first}, recover=True, retry_policy=QUICK) as pubsub,
    ):
        await publish(client, "a", "1", "2")
        await first.wait(2)
        await pubsub.subscribe(a=second)
        await publish(client, "a", "3")
        await second.wait(1)
        kill_subscribers(server)
        await publish(client, "a", "4")
        await second.wait(2)
        assert (first.data(), second.data()) == (["1", "2"], ["3", "4"])


async def test_p1_a_subscription_in_an_outage_begins_with_the_call(server: AnyServer):
    """What is published before it is live is in the gap, and is recovered."""
    got, gaps = Got(), Gaps()
    async with (
        client_of(server) as client,
        client.pubsub(channels=["other"], recover=True, on_gap=gaps, retry_policy=QUICK) as pubsub,
    ):
        await publish(client, "a", "before")
        await asyncio.sleep(0.02)
        # Nobody can connect any more.
        await client.execute_command("CONFIG", "SET", "maxclients", 1)
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: not pubsub.nodes())
        await pubsub.subscribe(a=got)
        await asyncio.sleep(0.02)
        await publish(client, "a", "1", "2")
        await client.execute_command("CONFIG", "SET", "maxclients", 1000)
        await got.wait(2)
        await publish(client, "a", "3")
        await got.wait(3)
        assert got.data() == ["1", "2", "3"]
        assert gaps == []
