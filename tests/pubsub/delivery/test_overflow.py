"""Bounds (A3): what consumers do not come to is shed and counted, or the socket waits."""

from __future__ import annotations

import asyncio
import gc
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from actors import Handler, MailboxSpec
from actors.pubsub.delivery.shed_count import ShedCount
from actors.runtime.messages.mailbox import Mailbox
from supervisor import SpecError
from tests.pubsub.helpers import (
    QUICK,
    Gaps,
    Heard,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    publish_many,
    subscribers,
    within,
)
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only

DEFAULT = 16_384


def resident() -> int:
    """Bytes of memory in use by this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Told(list):
    """Lags and messages of one consumer, in order."""

    def lagged(self, count: int) -> None:
        self.append(("lagged", count))

    def __call__(self, message) -> None:
        self.append(int(message["data"]))


async def test_a3_a_million_messages_into_an_iterator_that_nobody_reads(
    server: AnyServer, full_speed
):
    """Memory stays bounded, and the reader that comes in the end learns the exact number."""
    lags: list[int] = []
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], ignore_subscribe_messages=True, on_lagged=lags.append) as p,
    ):
        await publish_many(client, "a", 50_000)
        await eventually(lambda: p.stats().received == 50_000)
        before = resident() if sys.platform == "linux" else 0
        await publish_many(client, "a", 950_000, first=50_000)
        await eventually(lambda: p.stats().received == 1_000_000, 20)
        grown = resident() - before if sys.platform == "linux" else 0
        assert grown < 8 * 1024 * 1024
        assert p.stats().waiting <= DEFAULT + 2
        assert lags == []
        found = [int(data) for data in await data_of(p, 1)]
        (lag,) = lags
        assert lag == 1_000_000 - DEFAULT
        found += [int(data) for data in await data_of(p, 999_999 - lag)]
        assert found == list(range(lag, 1_000_000))
        assert lags == [lag]
        assert p.stats().shed == lag
        assert p.stats().gaps == 0


async def test_k10_a_handler_that_hangs_is_bounded_whatever_comes(
    shared_server: AnyServer, full_speed
):
    """One message a batch, with somebody who polls: nothing but messages fills the mailbox."""
    told, release = Told(), asyncio.Event()

    async def handler(message) -> None:
        await release.wait()
        told(message)

    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channel_handlers={"a": handler},
            on_lagged=told.lagged,
            mailbox=100,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        await p.get_message(timeout=0)
        for i in range(1000):
            await client.publish("a", str(i))
        await eventually(lambda: p.stats().received == 1000)
        mailbox = next(
            iter(p._session.require_open().registry.subscriptions.values())
        ).writer.mailbox
        assert len(mailbox.queue) <= 102
        release.set()
        await eventually(lambda: told and told[-1] == 999)
    # The first was in hand, 100 waited, and the rest is told of before the next one.
    assert told == [0, ("lagged", 899), *range(900, 1000)]


@pytest.mark.parametrize("capacity", [1, 2, 10])
async def test_a3_the_smallest_mailboxes_still_deliver(shared_server: AnyServer, capacity: int):
    told, heard = Told(), Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["i"],
            channel_handlers={"a": heard},
            on_lagged=told.lagged,
            mailbox=capacity,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        for i in range(50):
            await client.publish("a", str(i))
            await heard.wait(i + 1)
            await client.publish("i", str(i))
            assert await data_of(p, 1) == [str(i)]
        assert told == []


async def test_a3_drop_newest_keeps_what_came_first(shared_server: AnyServer):
    told = Told()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["a"],
            ignore_subscribe_messages=True,
            on_lagged=told.lagged,
            mailbox=50,
            overflow="drop_newest",
        ) as p,
    ):
        await publish_many(client, "a", 1000)
        await eventually(lambda: p.stats().received == 1000)
        for _ in range(50):
            message = await p.get_message(timeout=1)
            told(message)
        await client.publish("a", "1000")
        async for message in p:
            told(message)
            break
        assert told == [*range(50), ("lagged", 950), 1000]


async def test_a3_lags_are_told_at_their_place_and_add_up(shared_server: AnyServer):
    told = Told()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["a"],
            ignore_subscribe_messages=True,
            on_lagged=told.lagged,
            mailbox=MailboxSpec(10, "drop_oldest"),
        ) as p,
    ):
        published = 0
        for burst in (25, 10, 40, 3):
            for i in range(published, published + burst):
                await client.publish("a", str(i))
            published += burst
            await eventually(lambda n=published: p.stats().received == n)
            for _ in range(min(burst, 4)):
                told(await p.get_message(timeout=1))
        for message in await drain(p):
            told(message)
        seen = sum(not isinstance(event, tuple) for event in told)
        lost = sum(event[1] for event in told if isinstance(event, tuple))
        assert seen + lost == published
        position = 0
        for event in told:
            position = position + event[1] if isinstance(event, tuple) else position + 1
            assert isinstance(event, tuple) or event == position - 1


@pytest.mark.parametrize("capacity", [1, 3, 100])
async def test_a3_block_pauses_reading_and_loses_nothing(
    shared_server: AnyServer, capacity: int, full_speed
):
    """Iterator and handler, both slower than the publisher; bursts of many reads at once."""
    handled: list[int] = []
    lags: list[int] = []

    async def handler(message) -> None:
        if len(handled) % 1000 == 0:
            await asyncio.sleep(0.002)
        handled.append(int(message["data"]))

    total = 30_000
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=["i"],
            channel_handlers={"h": handler},
            ignore_subscribe_messages=True,
            mailbox=capacity,
            overflow="block",
            on_lagged=lags.append,
            max_idle_seconds=0.05,
        ) as p,
    ):
        reconciler = p._session.tree.reconciler  # type: ignore[union-attr]
        publishing = [asyncio.create_task(publish_many(client, name, total)) for name in ("i", "h")]
        await eventually(lambda: reconciler.paused)
        await asyncio.sleep(0.2)  # silence that is our own: no reason to reconnect
        found: list[int] = []
        async with asyncio.timeout(20):
            async for message in p:
                found.append(int(message["data"]))
                if len(found) == total:
                    break
        await asyncio.gather(*publishing)
        await eventually(lambda: len(handled) == total, 20)
        assert found == handled == list(range(total))
        assert lags == []
        assert p.stats().gaps == p.stats().shed == 0
        assert await p.get_message(timeout=0) is None
        await eventually(lambda: not reconciler.paused)


async def test_p13_exit_while_reading_is_paused(shared_server: AnyServer):
    async def stuck(_) -> None:
        await asyncio.sleep(60)

    async with client_of(shared_server) as client:
        p = client.pubsub(
            channels=["i"], mailbox=1, overflow="block", ignore_subscribe_messages=True
        )
        async with p:
            reconciler = p._session.tree.reconciler  # type: ignore[union-attr]
            await publish_many(client, "i", 5000)
            await eventually(lambda: reconciler.paused)
            leaving = within(0.5)
            leaving.__enter__()
        leaving.__exit__(None, None, None)


async def test_a3_a_reconnect_while_paused(server: AnyServer):
    """The new connection waits as well, and is read when the consumer has caught up."""
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["i"],
            mailbox=1,
            overflow="block",
            ignore_subscribe_messages=True,
            retry_policy=QUICK,
        ) as p,
    ):
        await publish_many(client, "i", 1000)
        await eventually(lambda: p._session.tree.reconciler.paused)  # type: ignore[union-attr]
        kill_subscribers(server)
        found: list[int] = []

        async def read() -> None:
            async for message in p:
                found.append(int(message["data"]))  # noqa: PERF401 - seen while it goes on

        reading = asyncio.create_task(read())
        await eventually(lambda: p.stats().gaps == 1)
        await client.publish("i", "1000")
        await eventually(lambda: found[-1] == 1000)
        assert found == sorted(found)
        reading.cancel()


async def test_k10_gaps_that_nobody_hears_of_are_bounded_too(server: AnyServer):
    """Forty lost connections, and a reader that comes after them: nothing is left unsaid."""
    gaps = Gaps()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["a"], on_gap=gaps, retry_policy=QUICK, ignore_subscribe_messages=True
        ) as p,
    ):
        for turn in range(1, 41):
            kill_subscribers(server)
            await eventually(lambda n=turn: p.stats().gaps == n)
        assert p.stats().waiting <= 16
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]
        assert len(gaps) == 16
        assert all(one.until < other.since + 0.001 for one, other in pairwise(gaps))
        # The last one tells of all the rest.
        assert gaps[-1].seconds > 5 * gaps[0].seconds


async def test_p10_a_server_that_ends_a_slow_reader_is_a_gap(make_server):
    """client-output-buffer-limit: the way in which servers shed."""
    server = make_server({"client-output-buffer-limit": ["pubsub", "1mb", "1mb", "1"]})
    gaps = Gaps()
    async with (
        client_of(server) as client,
        client.pubsub(
            channels=["a"],
            mailbox=10,
            overflow="block",
            on_gap=gaps,
            retry_policy=QUICK,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        last = 0
        while subscribers(server):  # until the kernel's buffers are full, too
            await publish_many(client, "a", 1000, " " + "x" * 500, first=last)
            last += 1000
        found: list[int] = []

        async def read() -> None:
            async for message in p:
                found.append(int(message["data"].split()[0]))  # noqa: PERF401 - see above

        reading = asyncio.create_task(read())
        await eventually(lambda: gaps)
        await client.publish("a", f"{last} ")
        await eventually(lambda: found[-1] == last)
        reading.cancel()
        assert found == sorted(set(found))
        assert len(found) <= last
        assert len(gaps) == 1


async def test_one_slow_handler_sheds_its_own_messages_only(shared_server: AnyServer):
    release, fast = asyncio.Event(), Heard()
    lags: list[int] = []

    async def slow(_) -> None:
        await release.wait()

    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channel_handlers={"slow": slow, "fast": fast}, mailbox=500, on_lagged=lags.append
        ) as p,
    ):
        for turn in range(1, 11):
            await publish_many(client, "slow", 200)
            await publish_many(client, "fast", 200)
            await fast.wait(200 * turn)
        release.set()
        await eventually(lambda: lags)
        assert lags == [2000 - 500 - 1]
        assert p.stats().gaps == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"overflow": "fail"}, "overflow must be one of .*, block, not 'fail': 'fail' tells"),
        ({"overflow": "explode"}, "overflow must be one of .*, block, not 'explode'$"),
        ({"mailbox": MailboxSpec(5)}, "a MailboxSpec needs an overflow here, one of drop_oldest"),
        ({"on_gap": 3}, "on_gap must be a function"),
        ({"on_failure": "x"}, "on_failure must be a function"),
        ({"on_lagged": 3}, "on_lagged must be a function"),
    ],
)
def test_p12_what_a_handler_cannot_be_made_with_is_refused_by_name(options, problem):
    with pytest.raises(SpecError, match=problem) as caught:
        Handler(print, **options)
    assert len(caught.value.problems) == 1


# -- stats().shed ----------------------------------------------------------------------------------


async def test_a3_stats_count_what_every_consumer_shed(server: AnyServer):
    """The iterator's messages, and those of handlers of each kind, also after they have ended."""
    release = asyncio.Event()

    async def waits(message) -> None:
        await release.wait()

    handlers = {
        "one": Handler(waits, mailbox=10),
        "side-by-side": Handler(waits, mailbox=10, concurrency=2),
        "by-key": Handler(waits, mailbox=10, concurrency=2, key=lambda message: 1),
        "blocks": Handler(waits, mailbox=10, overflow="drop_newest"),
    }
    async with (
        client_of(server) as client,
        client.pubsub(channels=["it"], channel_handlers=handlers, mailbox=20) as p,
    ):
        for name in ("it", *handlers):
            await publish_many(client, name, 100)
        await eventually(lambda: p.stats().received == 500)
        # The acknowledgements lie in the iterator's queue, and are shed first.
        of_iterator = 100 + 5 - 20
        boxes = [
            one.writer.mailbox for one in p._session.require_open().registry.subscriptions.values()
        ]
        assert p.stats().shed == sum(mailbox.shed for mailbox in boxes)
        assert boxes[0].shed == of_iterator
        assert all(80 <= mailbox.shed < 100 for mailbox in boxes[1:])
        release.set()
        await p.unsubscribe(*handlers)
        await eventually(lambda: all(mailbox.closed for mailbox in boxes[1:]))
        before = p.stats().shed
        assert before == sum(mailbox.shed for mailbox in boxes)
        release.clear()
        await p.subscribe(one=Handler(waits, mailbox=10))
        await publish_many(client, "one", 100)
        await eventually(lambda: p.stats().shed >= before + 80)
        release.set()


def test_a3_counts_outlive_any_number_of_mailboxes():
    loop = asyncio.new_event_loop()
    mailboxes = [Mailbox(MailboxSpec(1, "drop_oldest"), loop) for _ in range(1000)]
    count = ShedCount(mailboxes[0])
    for number, mailbox in enumerate(mailboxes[1:]):
        count.follow(mailbox)
        mailbox.shed += 3
        if number % 2:
            mailbox.close()
    assert count.total() == 3 * 999
    assert len(count._mailboxes) < 1000
    mailboxes[0].shed += 1
    mailboxes[1].shed += 1
    assert count.total() == 3 * 999 + 2
    loop.close()
