"""``Handler(fn, shared=True)``: one mailbox and actor for many names (P12)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from actors import Actor, Batch, Handler
from supervisor import SpecError
from tests.pubsub.helpers import client_of, kill_subscribers
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


def handlers_of(pubsub: Any) -> list[str]:
    """Return the ids of the handlers' actors."""
    system = pubsub._session.tree.system
    group = next(node for node in system.tree().walk() if node.path.endswith("/handlers"))
    return [child.id for child in group.children]


async def publish_in_turn(client: Any, channels: list[str], count: int) -> None:
    for number in range(count):
        for channel in channels:
            await client.publish(channel, number)


async def test_p12_many_names_have_one_actor_and_keep_the_order_in_which_messages_came(
    shared_server: AnyServer,
):
    got: list[tuple[str, str]] = []

    def on_news(message: Any) -> None:
        got.append((message["channel"], message["data"]))

    handler = Handler(on_news, shared=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler, "b": handler}) as p,
    ):
        await p.subscribe(c=handler)
        await p.psubscribe(**{"d*": handler})
        assert len(handlers_of(p)) == 1
        assert handlers_of(p)[0].endswith("on_news")
        await publish_in_turn(client, ["a", "b", "c", "d1"], 50)
        await eventually(lambda: len(got) == 200)
        expected = [(c, str(n)) for n in range(50) for c in ("a", "b", "c", "d1")]
        assert got == expected
        assert p.channels == {"a": handler, "b": handler, "c": handler}


async def test_p12_two_handlers_and_two_objects_share_nothing(shared_server: AnyServer):
    def on_news(message: Any) -> None: ...

    one, other = Handler(on_news, shared=True), Handler(on_news, shared=True)
    alone = Handler(on_news)
    handlers = {"a": one, "b": one, "c": other, "d": alone, "e": alone}
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers=handlers) as p,
        client.pubsub(channel_handlers={"a": one}) as q,
    ):
        assert len(handlers_of(p)) == 4
        assert len(handlers_of(q)) == 1


async def test_p12_the_actor_ends_with_the_last_of_its_names_and_comes_back(
    shared_server: AnyServer,
):
    got: list[str] = []
    handler = Handler(lambda message: got.append(message["data"]), shared=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler, "b": handler}) as p,
    ):
        await p.unsubscribe("a")
        await client.publish("b", "one")
        await eventually(lambda: got == ["one"])
        assert len(handlers_of(p)) == 1
        await p.unsubscribe("b")
        await eventually(lambda: handlers_of(p) == [])
        await p.subscribe(b=handler)
        await client.publish("b", "two")
        await eventually(lambda: got == ["one", "two"])
        # One name after another is given to another handler.
        await p.subscribe(a=handler)
        await p.subscribe(b=print)
        await client.publish("a", "three")
        await eventually(lambda: got == ["one", "two", "three"])


async def test_p12_subscribing_a_name_again_keeps_the_actor(shared_server: AnyServer):
    got: list[str] = []
    handler = Handler(lambda message: got.append(message["data"]), shared=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        for _ in range(3):
            await p.subscribe(a=handler)
        await client.publish("a", "one")
        await eventually(lambda: got == ["one"])
        assert len(handlers_of(p)) == 1
        await p.unsubscribe("a")
        await eventually(lambda: handlers_of(p) == [])


async def test_p1_a_subscribe_that_fails_gives_its_place_back(shared_server: AnyServer):
    handler = Handler(lambda _: None, shared=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler}) as p,
    ):
        with pytest.raises(SpecError):
            await p.subscribe(b=handler, c=3)  # type: ignore[arg-type]
        await p.unsubscribe("a")
        await eventually(lambda: handlers_of(p) == [])


async def test_p12_with_concurrency_each_channel_keeps_its_order(shared_server: AnyServer):
    running: dict[str, int] = defaultdict(int)
    four_at_once = asyncio.Event()
    got: dict[str, list[int]] = defaultdict(list)

    async def on_news(message: Any) -> None:
        channel = message["channel"]
        running[channel] += 1
        assert running[channel] == 1
        if sum(running.values()) == 4:
            four_at_once.set()
        await four_at_once.wait()
        got[channel].append(int(message["data"]))
        running[channel] -= 1

    channels = [f"c{number}" for number in range(8)]
    handler = Handler(on_news, shared=True, concurrency=4)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers=dict.fromkeys(channels, handler)),
    ):
        await publish_in_turn(client, channels, 30)
        await eventually(lambda: sum(map(len, got.values())) == 240)
    assert all(numbers == list(range(30)) for numbers in got.values())


async def test_p10_each_name_has_its_gap(shared_server: AnyServer):
    gaps: list[str] = []
    handler = Handler(lambda _: None, shared=True, on_gap=lambda gap: gaps.append(gap.name))
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler, "b": handler}) as p,
    ):
        kill_subscribers(shared_server)
        await eventually(lambda: sorted(gaps) == ["a", "b"])
        assert p.stats().gaps == 2


async def test_p13_a_drain_handles_what_waits(shared_server: AnyServer):
    got: list[str] = []

    async def on_news(message: Any) -> None:
        await asyncio.sleep(0.002)
        got.append(message["data"])

    for options in ({}, {"concurrency": 3}, {"batch": Batch(max=7)}):
        got.clear()
        fn: Any = on_news
        if "batch" in options:
            fn = lambda messages: got.extend(one["data"] for one in messages)  # noqa: E731
        handler = Handler(fn, shared=True, **options)
        async with (
            client_of(shared_server) as client,
            client.pubsub(channel_handlers={"a": handler, "b": handler}) as p,
        ):
            await publish_in_turn(client, ["a", "b"], 25)
            await eventually(lambda p=p: p.stats().received == 50)
            assert await p.drain(20)
        assert len(got) == 50


async def test_p12_an_actor_class_is_shared_too(shared_server: AnyServer):
    class Totals(Actor):
        def __init__(self) -> None:
            self.total = 0

        async def receive(self, message: Any) -> None:
            self.total += int(message["data"])
            totals.append(self.total)

    totals: list[int] = []
    handler = Handler(Totals, shared=True)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": handler, "b": handler}),
    ):
        await publish_in_turn(client, ["a", "b"], 3)
        await eventually(lambda: totals == [0, 0, 1, 2, 4, 6])
