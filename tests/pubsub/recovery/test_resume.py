"""Consumers that resume: the next one goes on where the last one was (R4)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Actor, ActorSystem, Batch, BatchError, Gap, Handler, PubSubMessage, Recover
from actors.pubsub.recovery.kept_positions import KeptPositions
from actors.pubsub.recovery.position_store import pause_after
from supervisor import SpecError
from tests.pubsub.helpers import QUICK, Gaps, client_of, kill_subscribers, take
from tests.pubsub.recovery.helpers import Got, history, publish
from tests.servers import AnyServer, ask
from tests.support import eventually

RESUME = Recover(resume="worker")


def kept(server: AnyServer, channel: str, name: str = "worker") -> str | None:
    """The position that the server keeps."""
    found = ask(server, "HGET", f"{history(channel)}:positions", name)
    return None if found == "$-1" else found


@contextlib.asynccontextmanager
async def consuming(server: AnyServer, handler: Any, **options: Any) -> AsyncIterator[Any]:
    options = {"recover": RESUME, "retry_policy": QUICK, **options}
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": handler}, **options) as pubsub,
    ):
        await eventually(lambda: not pubsub.stats().held and kept(server, "a") is not None)
        yield pubsub


async def test_r4_the_next_consumer_goes_on_behind_the_last_handled_message(server: AnyServer):
    async with client_of(server) as client:
        async with consuming(server, got := Got()):
            ids = await publish(client, "a", *range(10))
            await got.wait(10)
        assert kept(server, "a") == ids[-1]
        await publish(client, "a", *range(10, 20))
        async with consuming(server, later := Got()) as pubsub:
            await later.wait(10)
            await publish(client, "a", "live")
            await later.wait(11)
            await eventually(lambda: pubsub.stats().resumed == 10)
        assert got.data() == [str(number) for number in range(10)]
        assert later.data() == [*(str(number) for number in range(10, 20)), "live"]


async def test_r4_the_position_is_written_when_it_changes(server: AnyServer):
    async with client_of(server) as client, consuming(server, got := Got()) as pubsub:
        for number in range(3):
            [name] = await publish(client, "a", number)
            await eventually(lambda: kept(server, "a") == name)  # noqa: B023
        calls = ask(server, "INFO", "commandstats")
        assert len(got) == 3
        assert "cmdstat_hset:calls=4," in calls  # the beginning, and three times
        assert pubsub.stats().resumed == 0


async def test_r4_writes_of_the_position_do_not_grow_with_the_rate(server: AnyServer):
    begun = time.monotonic()
    async with client_of(server) as client, consuming(server, got := Got()):
        for first in range(0, 1000, 10):
            ids = await publish(client, "a", *range(first, first + 10))
        await got.wait(1000, 30)
        await eventually(lambda: kept(server, "a") == ids[-1])
        [writes] = re.findall(r"cmdstat_hset:calls=(\d+),", ask(server, "INFO", "commandstats"))
        assert int(writes) <= 2 + (time.monotonic() - begun) * 50
        assert int(writes) < 1000


@pytest.mark.parametrize(
    ("changed", "seconds"), [(0, 0.02), (1, 0.0201), (60, 0.026), (1000, 0.12), (10_000, 1.02)]
)
def test_more_positions_are_written_less_often(changed: int, seconds: float):
    assert pause_after(changed) == pytest.approx(seconds)


def test_f3_a_position_that_is_given_up_is_written_no_more_until_it_is_known_again():
    positions = KeptPositions()
    kept = positions.of("a", b"{a}:history:positions", "worker")
    kept.begun("1-1")
    assert [one.command[-1] for one in positions.take_changed(0.0)] == ["1-1"]
    kept.progress.take("2-2")
    kept.progress.take("3-3")
    kept.progress.done("2-2")
    kept.give_up()
    kept.progress.done("3-3")  # the handler had it in hand
    kept.progress.take("4-4")  # the handler had moved it out of its mailbox
    kept.progress.done("4-4")
    assert positions.take_changed(None) == []
    kept.resumed("9-9")
    kept.progress.take("10-10")
    kept.progress.done("10-10")
    assert [one.command[-1] for one in positions.take_changed(0.0)] == ["10-10"]


async def test_r4_a_consumer_that_handled_nothing_has_a_position(server: AnyServer):
    async with client_of(server) as client:
        [name] = await publish(client, "a", "before")
        async with consuming(server, Got()):
            assert kept(server, "a") == name
        await publish(client, "a", "between")
        async with consuming(server, got := Got()):
            await got.wait(1)
        assert got.data() == ["between"]


async def test_r4_an_empty_history_is_a_position_too(server: AnyServer):
    async with consuming(server, Got()):
        assert kept(server, "a") == "0-0"
    async with client_of(server) as client:
        await publish(client, "a", 1, 2)
        async with consuming(server, got := Got()):
            await got.wait(2)
    assert got.data() == ["1", "2"]


async def test_r4_without_a_position_the_beginning_is_as_since_says(server: AnyServer):
    async with client_of(server) as client:
        await publish(client, "a", 1, 2)
        recover = Recover(resume="worker", since="all")
        async with consuming(server, got := Got(), recover=recover) as pubsub:
            await got.wait(2)
            assert pubsub.stats().resumed == 0
        await publish(client, "a", 3)
        async with consuming(server, got, recover=recover):
            await got.wait(3)
        assert got.data() == ["1", "2", "3"]
        async with consuming(server, other := Got(), recover=Recover(resume="other", since="all")):
            await other.wait(3)  # each name has a position of its own


async def test_r4_messages_in_hand_come_again(server: AnyServer):
    """Of ten messages side by side, the first one blocks: nothing behind it is the position."""
    blocked, done = asyncio.Event(), Got()

    async def handle(message: PubSubMessage) -> None:
        if message["data"] == "3":
            await blocked.wait()
        done(message)

    async with client_of(server) as client:
        handler = Handler(handle, concurrency=4)
        async with consuming(server, handler):
            ids = await publish(client, "a", *range(10))
            await done.wait(9)
            await eventually(lambda: kept(server, "a") == ids[2])
        assert kept(server, "a") == ids[2]  # cut short at the end: it comes again
        blocked.set()
        async with consuming(server, again := Got()) as pubsub:
            await again.wait(7)
            await eventually(lambda: pubsub.stats().resumed == 7)
        assert again.data() == [str(number) for number in range(3, 10)]


async def test_r4_keys_that_wait_for_their_turn_are_in_hand(server: AnyServer):
    blocked, done = asyncio.Event(), Got()

    async def handle(message: PubSubMessage) -> None:
        if message["data"] == "x0":
            await blocked.wait()
        done(message)

    handler = Handler(handle, concurrency=2, key=lambda message: message["data"][0])
    async with client_of(server) as client, consuming(server, handler) as pubsub:
        ids = await publish(client, "a", "y0", "x0", "x1", "y1", "y2")
        await done.wait(3)
        await eventually(lambda: kept(server, "a") == ids[0])
        blocked.set()
        assert await pubsub.drain()
        assert kept(server, "a") == ids[-1]  # at every drain


async def test_r4_failures_count_as_handled(server: AnyServer):
    failures: list[Any] = []

    def fail(message: PubSubMessage) -> None:
        raise RuntimeError("no")

    def fail_some(messages: list[PubSubMessage]) -> None:
        raise BatchError({0: RuntimeError("no")})

    class Failing(Actor[Any]):
        def receive(self, message: Any) -> None:
            raise RuntimeError("no")

    async with client_of(server) as client:
        for made in (
            Handler(fail),
            Handler(fail, in_thread=True),
            Handler(fail, concurrency=3),
            Handler(fail_some, batch=Batch(max=5)),
            Handler(Failing),
        ):
            failures.clear()
            async with consuming(server, made, on_failure=failures.append) as pubsub:
                ids = await publish(client, "a", *range(3))
                await eventually(lambda: failures != [])
                assert await pubsub.drain()
                assert kept(server, "a") == ids[-1]


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_r4_what_is_shed_holds_up_no_position(
    server: AnyServer, overflow: str, concurrency: int
):
    free, done = asyncio.Event(), Got()

    async def handle(message: PubSubMessage) -> None:
        await free.wait()
        done(message)

    key = (lambda message: 1) if concurrency > 1 else None
    made = Handler(handle, mailbox=4, overflow=overflow, concurrency=concurrency, key=key)
    async with client_of(server) as client, consuming(server, made) as pubsub:
        for number in range(20):
            await publish(client, "a", number)
        await eventually(lambda: pubsub.stats().shed > 0)
        free.set()
        [last] = await publish(client, "a", "last")
        await eventually(lambda: kept(server, "a") == last, 10)
        assert done.data()[-1] == "last"


async def test_r4_the_iterator_has_handled_a_message_when_it_asks_for_the_next(server: AnyServer):
    options: dict[str, Any] = {
        "channels": ["a"],
        "recover": RESUME,
        "ignore_subscribe_messages": True,
    }
    async with client_of(server) as client:
        async with client.pubsub(**options) as pubsub:
            await eventually(lambda: kept(server, "a") is not None)
            ids = await publish(client, "a", *range(5))
            first, second = await take(pubsub, 2)
            assert (first["id"], second["id"]) == (ids[0], ids[1])
        assert kept(server, "a") == ids[0]
        async with client.pubsub(**options) as pubsub:
            assert [one["id"] for one in await take(pubsub, 4)] == ids[1:]
            waiting = asyncio.create_task(anext(pubsub))
            await eventually(lambda: kept(server, "a") == ids[-1])
            waiting.cancel()
            ids += await publish(client, "a", *range(5))
            message = await pubsub.get_message(timeout=5)
            assert message is not None
            assert message["id"] == ids[5]
            assert await pubsub.get_message(timeout=5)
            await eventually(lambda: kept(server, "a") == ids[5])
            batch = await anext(pubsub.batches())
            assert batch[-1]["id"] == ids[-1]
            await eventually(lambda: kept(server, "a") == ids[6])
            assert await pubsub.get_message(timeout=0) is None
            await eventually(lambda: kept(server, "a") == ids[-1])


async def test_r4_a_history_that_is_another_one_is_told(server: AnyServer):
    gaps: list[Gap] = Gaps()
    async with client_of(server) as client:
        async with consuming(server, got := Got()):
            await publish(client, "a", *range(5))
            await got.wait(5)
        ask(server, "DEL", history("a"))
        await publish(client, "a", "other")
        async with consuming(server, got, on_gap=gaps):
            await got.wait(6)
            assert [gap.lost for gap in gaps] == [None]
        await publish(client, "a", *range(10), maxlen=3)
        async with consuming(server, got, on_gap=gaps):
            await got.wait(9)
            assert [gap.lost for gap in gaps] == [None, 7]


async def test_a_position_that_cannot_be_read_is_told(server: AnyServer):
    gaps: list[Gap] = Gaps()
    ask(server, "HSET", f"{history('a')}:positions", "worker", "nonsense")
    async with client_of(server) as client:
        await publish(client, "a", "before")
        async with consuming(server, got := Got(), on_gap=gaps):
            await eventually(lambda: len(gaps) == 1)
            await eventually(lambda: kept(server, "a") != "nonsense")
            await publish(client, "a", "live")
            await got.wait(1)
        assert got.data() == ["live"]
        assert gaps[0].lost is None
        assert "position" in gaps[0].reason


async def test_positions_that_cannot_be_written_are_told_once_and_written_later(
    server: AnyServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    key = f"{history('a')}:positions"
    async with client_of(server) as client, consuming(server, got := Got()):
        ask(server, "DEL", key)
        ask(server, "SET", key, "no hash")
        await publish(client, "a", 1)
        await eventually(lambda: "positions_not_written" in caplog.text)
        [name] = await publish(client, "a", 2)
        await got.wait(2)
        ask(server, "DEL", key)
        await eventually(lambda: kept(server, "a") == name, 15)
        await eventually(lambda: "positions_written" in caplog.text)
        assert caplog.text.count("positions_not_written") == 1


async def test_r4_a_lost_connection_repeats_nothing(server: AnyServer):
    async with client_of(server) as client, consuming(server, got := Got()):
        for _ in range(3):
            ids = await publish(client, "a", *range(5))
            kill_subscribers(server)
            ids += await publish(client, "a", *range(5))
            await eventually(lambda: kept(server, "a") == ids[-1])  # noqa: B023
        assert len(got) == 30
        assert len({one["id"] for one in got}) == 30


async def test_r4_a_channel_that_is_left_and_joined_goes_on(server: AnyServer):
    async with client_of(server) as client, consuming(server, got := Got()) as pubsub:
        await publish(client, "a", 1)
        await got.wait(1)
        await pubsub.unsubscribe("a")
        await publish(client, "a", 2)
        await pubsub.subscribe(a=(later := Got()))
        await publish(client, "a", 3)
        await later.wait(2)
        assert (got.data(), later.data()) == (["1"], ["2", "3"])
        await pubsub.unsubscribe("a")
        await pubsub.subscribe(a=Handler(later, recover=Recover(resume="another")))
        [name] = await publish(client, "a", 4)
        await eventually(lambda: kept(server, "a", "another") == name)


async def test_r4_bytes(server: AnyServer):
    async with client_of(server, decode_responses=False) as client:
        for number in range(3):
            got = Got()
            async with client.pubsub(channel_handlers={"a": got}, recover=RESUME):
                await eventually(lambda: kept(server, "a") is not None)
                await got.wait(min(number, 1))
                [name] = await publish(client, "a", f"live {number}")
                await eventually(lambda: kept(server, "a") == name)  # noqa: B023
            await publish(client, "a", f"between {number}")
            assert got.data()[-1] == b"live %d" % number
            assert got.data()[:-1] == [b"between %d" % (number - 1)] * min(number, 1)


def test_what_is_no_name():
    for wrong in ("", 5, b"x", True):
        with pytest.raises(SpecError, match="resume must be a name"):
            Recover(resume=wrong)  # type: ignore[arg-type]


async def test_positions_are_written_once_a_silent_server_answers_again(
    server: AnyServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    free, got = asyncio.Event(), Got()

    async def handle(message: PubSubMessage) -> None:
        await free.wait()
        got(message)

    async with client_of(server) as client, consuming(server, handle) as pubsub:
        ids = await publish(client, "a", *range(3))
        await eventually(lambda: pubsub.stats().received >= 3)
        server.pause()
        free.set()
        await got.wait(3)
        await eventually(lambda: "positions_not_written" in caplog.text, 20)
        server.resume()
        await eventually(lambda: "positions_written" in caplog.text, 20)
        assert kept(server, "a") == ids[-1]
        assert caplog.text.count("positions_not_written") == 1


async def test_the_tree_and_the_counters_show_a_channel_that_is_behind(server: AnyServer):
    free, got = asyncio.Event(), Got()

    async def handle(message: PubSubMessage) -> None:
        await free.wait()
        got(message)

    made = Handler(handle, mailbox=4)
    async with (
        ActorSystem("shop") as system,
        client_of(server) as client,
        consuming(server, made, system=system) as pubsub,
    ):

        def shown() -> dict[str, Any]:
            return next(dict(node.detail) for node in system.tree().walk() if node.id == "a")

        await publish(client, "a", 0)
        await eventually(lambda: shown()["recovery"] == "live")
        kill_subscribers(server)
        ids = await publish(client, "a", *range(1, 20))
        await eventually(lambda: shown()["recovery"] == "behind")
        stats = pubsub.stats()
        assert (stats.recovering, stats.behind) == (1, 1)
        assert stats.behind_seconds > 0
        free.set()
        await got.wait(20)
        await eventually(lambda: shown()["recovery"] == "live")
        assert shown()["position"] == ids[-1]
        stats = pubsub.stats()
        assert (stats.behind, stats.behind_seconds) == (0, 0)
