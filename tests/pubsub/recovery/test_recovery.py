"""Recovery on one server, Valkey and Redis: nothing is missing, twice, or out of order (R2, R3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from actors import Batch, Gap, Handler, History, Recover
from actors.redis.exceptions import DataError
from supervisor import SpecError
from tests.pubsub.helpers import QUICK, Gaps, client_of, data_of, kill_subscribers, take
from tests.pubsub.recovery.helpers import Got, publish
from tests.servers import AnyServer, ask
from tests.support import eventually


async def test_r2_what_was_published_while_the_connection_was_lost_is_delivered(server: AnyServer):
    gaps = Gaps()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["it"],
            channel_handlers={"handled": (got := Got())},
            recover=True,
            on_gap=gaps,
            retry_policy=QUICK,
            ignore_subscribe_messages=True,
        ) as pubsub,
    ):
        for round_ in range(3):
            first = round_ * 20
            await publish(client, "handled", *range(first, first + 10))
            await publish(client, "it", *range(first, first + 10))
            kill_subscribers(server)
            await publish(client, "handled", *range(first + 10, first + 20))
            await publish(client, "it", *range(first + 10, first + 20))
            await got.wait(first + 20)
        assert await data_of(pubsub, 60) == got.data() == [str(number) for number in range(60)]
        assert gaps == []
        stats = pubsub.stats()
        assert stats.gaps == stats.lost == stats.unknown == 0
        assert stats.recovered >= 60


async def test_names_are_the_channels_own(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], recover=True) as pubsub,
    ):
        assert pubsub.channels == {"a": None}
        [name] = await publish(client, "a", "x")
        subscribed, message = await take(pubsub, 2)
        assert subscribed["channel"] == "a"
        assert message == {
            "type": "message",
            "pattern": None,
            "channel": "a",
            "data": "x",
            "id": name,
        }
        assert [target.name for target in pubsub.sources()["server"]] == [b"a"]
        await pubsub.unsubscribe("a")
        assert (await take(pubsub, 1))[0]["channel"] == "a"
        assert pubsub.channels == {}
        await pubsub.subscribe("a", "{a}:history")  # both without recovery now


async def test_bytes_stay_bytes(server: AnyServer):
    async with (
        client_of(server, decode_responses=False) as client,
        client.pubsub(
            channels=["a"], recover=True, retry_policy=QUICK, ignore_subscribe_messages=True
        ) as pubsub,
    ):
        [name] = await publish(client, "a", b"\xff 1 ~")
        [live] = await take(pubsub, 1)
        assert (live["channel"], live["data"], live["id"]) == (b"a", b"\xff 1 ~", name.encode())
        assert "recovered" not in live
        kill_subscribers(server)
        [name] = await publish(client, "a", b"\xff 2 ~")
        [recovered] = await take(pubsub, 1)
        assert (recovered["data"], recovered["id"]) == (b"\xff 2 ~", name.encode())
        assert recovered["recovered"] is True


async def test_a_payload_that_is_no_text_stays_bytes_live_and_recovered(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["a"], recover=True, retry_policy=QUICK, ignore_subscribe_messages=True
        ) as pubsub,
    ):
        ids = await publish(client, "a", b"\xff", "text")
        live = await take(pubsub, 2)
        kill_subscribers(server)
        ids += await publish(client, "a", b"\xfe", "more")
        both = live + await take(pubsub, 2)
        assert [one["data"] for one in both] == [b"\xff", "text", b"\xfe", "more"]
        assert [one["id"] for one in both] == ids


async def test_r2_the_number_of_trimmed_entries_is_told_before_the_rest(server: AnyServer):
    told: list[Gap | str] = []
    async with (
        client_of(server) as client,
        client.pubsub(
            channel_handlers={
                "a": Handler(lambda one: told.append(one["data"]), on_gap=told.append)
            },
            recover=True,
            retry_policy=QUICK,
        ) as pubsub,
    ):
        await publish(client, "a", "before")
        await eventually(lambda: told == ["before"])
        kill_subscribers(server)
        await publish(client, "a", *range(10), maxlen=4)
        await eventually(lambda: len(told) == 6)
        before, gap, *rest = told
        assert (before, rest) == ("before", ["6", "7", "8", "9"])
        assert isinstance(gap, Gap)
        assert (gap.name, gap.lost, gap.recovered) == ("a", 6, 4)
        assert "trimmed" in gap.reason
        stats = pubsub.stats()
        assert (stats.lost, stats.unknown, stats.gaps) == (6, 0, 1)


@pytest.mark.parametrize("command", [("FLUSHALL",), ("DEL", "{a}:history")])
async def test_r2_a_history_that_was_deleted_is_told_and_the_next_one_is_delivered_whole(
    server: AnyServer, command: tuple[str, ...]
):
    gaps, got = Gaps(), Got()
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": got}, recover=True, on_gap=gaps, retry_policy=QUICK),
    ):
        await publish(client, "a", *range(5))
        await eventually(lambda: len(got) == 5)
        await asyncio.sleep(0.005)  # so that the next history has other ids
        ask(server, *command)
        kill_subscribers(server)
        await publish(client, "a", *range(5, 15))
        await eventually(lambda: len(got) == 15)
        assert got.data() == [str(number) for number in range(15)]
        assert [(gap.name, gap.lost) for gap in gaps] == [("a", None)]
        ask(server, *command)  # while it is live
        await asyncio.sleep(0.005)
        await publish(client, "a", *range(15, 20))
        await eventually(lambda: len(got) == 20)
        assert got.data() == [str(number) for number in range(20)]
        assert [gap.lost for gap in gaps] == [None, None]


@pytest.mark.parametrize("by", ["all", "id", "seconds", "timedelta"])
async def test_r2_a_late_joiner_begins_earlier(server: AnyServer, by: str):
    got, gaps = Got(), Gaps()
    async with client_of(server) as client:
        ids = await publish(client, "a", *range(1000))
        since: Any = {
            "all": "all",
            "id": ids[699],
            "seconds": 60,
            "timedelta": timedelta(minutes=1),
        }[by]
        recover = Recover(since=since)
        async with client.pubsub(
            channel_handlers={"a": Handler(got, recover=recover, on_gap=gaps)}
        ):
            ids += await publish(client, "a", *range(1000, 1010))
            first = 700 if by == "id" else 0
            await eventually(lambda: len(got) == 1010 - first)
            assert got.data() == [str(number) for number in range(first, 1010)]
            assert [one["id"] for one in got] == ids[first:]
            assert gaps == []


async def test_r2_a_late_joiner_with_an_id_that_was_trimmed_hears_how_much_is_lost(
    server: AnyServer,
):
    got, gaps = Got(), Gaps()
    async with client_of(server) as client:
        ids = await publish(client, "a", *range(100), maxlen=10)
        handler = Handler(got, recover=Recover(since=ids[49]), on_gap=gaps)
        async with client.pubsub(channel_handlers={"a": handler}):
            await eventually(lambda: len(got) == 10)
            assert got.data() == [str(number) for number in range(90, 100)]
            assert [gap.lost for gap in gaps] == [40]


async def test_some_channels_recover_and_others_do_not(server: AnyServer):
    with_it, without, batches = Got(), Got(), []
    async with (
        client_of(server) as client,
        client.pubsub(
            channel_handlers={
                "a": Handler(with_it, recover=True),
                "b": without,
                "c": Handler(lambda many: batches.extend(many), batch=Batch(max=10), recover=True),
                "d": Recover(),
            },
            channels=["e"],
            retry_policy=QUICK,
            ignore_subscribe_messages=True,
        ) as pubsub,
    ):
        for channel in "abcde":
            await publish(client, channel, "1")
        await eventually(lambda: with_it and without and batches)
        async with client.pipeline() as pipe:  # in one go: nobody can have subscribed again
            pipe.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            for channel in "abcde":
                pipe.publish(channel, "2", history=History())
        await eventually(lambda: len(with_it) == len(batches) == 2)
        await pubsub.subscribe("f")  # subscribed again by then
        for channel in "abcde":
            await publish(client, channel, "3")
        await eventually(lambda: len(with_it) == len(batches) == 3)
        assert without.data() == ["1", "3"]
        assert "id" not in without[0]
        found = await take(pubsub, 5)
        assert [one["data"] for one in found if one["channel"] == "d"] == ["1", "2", "3"]
        assert [one["data"] for one in found if one["channel"] == "e"] == ["1", "3"]


async def test_a_consumer_without_recovery_sees_the_channel_as_ever(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True) as pubsub,
    ):
        await publish(client, "a", "x")
        assert await take(pubsub, 1) == [
            {"type": "message", "pattern": None, "channel": "a", "data": "x"}
        ]


async def test_patterns_and_impossible_names_are_refused_before_anything_is_sent(
    server: AnyServer,
):
    async with client_of(server) as client:
        with pytest.raises(TypeError, match="a pattern names none"):
            await client.pubsub(patterns=["a*"], recover=True).__aenter__()
        with pytest.raises(TypeError, match="a pattern names none"):
            handler = Handler(print, recover=True)
            await client.pubsub(pattern_handlers={"a*": handler}).__aenter__()
        with pytest.raises(DataError, match="braces"):
            await client.pubsub(channels=["a{b"], recover=True).__aenter__()
        async with client.pubsub(recover=True) as pubsub:
            with pytest.raises(TypeError, match="a pattern names none"):
                await pubsub.psubscribe("a*")
            with pytest.raises(DataError, match="braces"):
                await pubsub.subscribe("fine", "}{")
            await pubsub.psubscribe(**{"a*": Handler(print, recover=False)})
            assert pubsub.channels == {}
    assert ask(server, "PUBSUB", "CHANNELS") == ""


async def test_one_channel_is_not_consumed_in_two_ways(server: AnyServer):
    async with client_of(server) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("plain", both=Recover())
        for name, handler in (("plain", Recover()), ("both", None)):
            with pytest.raises(ValueError, match="unsubscribe it first"):
                await pubsub.subscribe(**{name: handler})
        with pytest.raises(ValueError, match="by way of one channel"):
            await pubsub.subscribe(**{"{both}": Recover()})
        with pytest.raises(ValueError, match="by way of one channel"):
            await pubsub.subscribe("{both}:history")
        await pubsub.unsubscribe("plain", "both")
        await pubsub.subscribe("both", "{both}:history", plain=Recover())


def test_a_recover_says_what_is_wrong_with_it():
    with pytest.raises(SpecError) as caught:
        Recover(patience=-1, since="yesterday", replicated=None)  # type: ignore[arg-type]
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "patience",
        "since",
        "replicated",
    ]
    with pytest.raises(SpecError, match="recover must be a Recover"):
        Handler(print, recover="yes")  # type: ignore[arg-type]
