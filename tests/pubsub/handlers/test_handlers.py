"""Handlers: section 7 of the contract, and P12: each on a mailbox of its own."""

from __future__ import annotations

import asyncio

import pytest

from actors import exceptions
from tests.pubsub.helpers import (
    Gaps,
    Heard,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    message,
    numsub,
    publish_many,
    within,
)
from tests.servers import AnyServer
from tests.support import eventually


class Counter:
    """A handler that is an instance, with an async __call__."""

    def __init__(self) -> None:
        self.heard: list = []

    async def __call__(self, heard) -> None:
        await asyncio.sleep(0)
        self.heard.append(heard)


@pytest.mark.every_backend
async def test_contract_handlers_run_without_a_reader(shared_server: AnyServer):
    plain, counter, by_pattern = Heard(), Counter(), Heard()
    slow: list = []

    async def coroutine(heard) -> None:
        await asyncio.sleep(0.001)
        slow.append(heard["data"])

    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe(plain=plain, coroutine=coroutine, counter=counter)
        await p.psubscribe(**{"p*": by_pattern})
        assert p.channels == {"plain": plain, "coroutine": coroutine, "counter": counter}
        assert p.patterns == {"p*": by_pattern}
        for channel in ("plain", "coroutine", "counter"):
            for i in range(5):
                await client.publish(channel, f"{channel} {i}")
        await plain.wait(5)
        await by_pattern.wait(5)
        await eventually(lambda: len(slow) == len(counter.heard) == 5)
        assert plain == by_pattern == [f"plain {i}" for i in range(5)]
        assert slow == [f"coroutine {i}" for i in range(5)]
        assert counter.heard == [message("counter", f"counter {i}") for i in range(5)]
        # Acknowledgements are for readers, messages that a handler took are not.
        assert {one["type"] for one in await drain(p) if one} == {"subscribe", "psubscribe"}


async def test_one_name_as_channel_pattern_and_handler(shared_server: AnyServer):
    """The kinds are name spaces of their own."""
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], pattern_handlers={"a": heard}) as p,
    ):
        await client.publish("a", "1")
        await heard.wait(1)
        assert await data_of(p, 1) == ["1"]
        await p.unsubscribe("a")
        await client.publish("a", "2")
        await heard.wait(2)
        assert p.patterns == {"a": heard}
        assert p.channels == {}


async def test_a_new_handler_takes_over_and_none_gives_it_back(shared_server: AnyServer):
    first, second = Heard(), Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": first}, ignore_subscribe_messages=True) as p,
    ):
        await client.publish("a", "1")
        await first.wait(1)
        await p.subscribe(a=second)
        await client.publish("a", "2")
        await second.wait(1)
        await p.subscribe("a")
        await client.publish("a", "3")
        assert await data_of(p, 1) == ["3"]
        assert (first, second) == (["1"], ["2"])
        assert p.channels == {"a": None}


async def test_k6_p12_a_slow_handler_delays_no_other_channel_and_no_ack(shared_server: AnyServer):
    release = asyncio.Event()
    fast = Heard()

    async def slow(_) -> None:
        await release.wait()

    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe(slow=slow, fast=fast)
        await client.publish("slow", "x")
        with within(1):
            for i in range(10):
                await client.publish("fast", str(i))
            await fast.wait(10)
            await p.subscribe("other")
            await client.publish("other", "1")
            assert (await data_of(p, 1)) == ["1"]
            await p.unsubscribe("other")
        release.set()


async def test_k6_p12_subscribe_and_unsubscribe_from_inside_a_handler(shared_server: AnyServer):
    errors: list = []
    inner = Heard()
    async with client_of(shared_server) as client, client.pubsub() as p:

        async def handler(heard) -> None:
            try:
                with within(0.5):
                    match heard["data"]:
                        case "more":
                            await p.subscribe(more=inner)
                        case "less":
                            await p.unsubscribe("more")
                        case "self":
                            await p.unsubscribe("control")
            except BaseException as error:
                errors.append(error)

        await p.subscribe(control=handler)
        await client.publish("control", "more")
        await eventually(lambda: "more" in p.channels)
        await client.publish("more", "1")
        await inner.wait(1)
        await client.publish("control", "less")
        await eventually(lambda: "more" not in p.channels)
        assert numsub(shared_server, "more") == 0
        await client.publish("control", "self")
        await eventually(lambda: not p.subscribed)
        assert numsub(shared_server, "control") == 0
        assert errors == []


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        exceptions.ConnectionError("not the connection's"),
        ConnectionResetError("nor this"),
        TimeoutError("nor a timeout"),
        asyncio.CancelledError("nor a cancellation"),
        ExceptionGroup("both", [ValueError(), TimeoutError()]),
        StopAsyncIteration(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_k5_p12_a_handler_that_raises_loses_that_message_and_nothing_else(
    shared_server: AnyServer, error: BaseException, is_async: bool
):
    """The connection, the other messages, the other handlers and the body go on."""
    heard = Heard()
    other = Heard()
    failures: list = []
    gaps = Gaps()

    def act(one) -> None:
        if one["data"] == "bad":
            raise error
        heard(one)

    async def act_later(one) -> None:
        await asyncio.sleep(0)
        act(one)

    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channel_handlers={"a": act_later if is_async else act, "b": other},
            on_failure=failures.append,
            on_gap=gaps,
        ) as p,
    ):
        for data in ("1", "bad", "2", "bad", "3"):
            await client.publish("a", data)
            await client.publish("b", data)
        await heard.wait(3)
        await other.wait(5)
        assert heard == ["1", "2", "3"]
        assert [failure.message for failure in failures] == [message("a", "bad")] * 2
        assert all(failure.error is error for failure in failures)
        assert gaps == []
        assert p.stats().reconnects == 0
        assert set(p.channels) == {"a", "b"}


async def test_a4_by_default_failures_are_logged_once_a_second(shared_server: AnyServer, caplog):
    def fail(_) -> None:
        raise ValueError("mine")

    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": fail}) as p:
        await publish_many(client, "a", 500)
        answers = [await p.get_message() for _ in range(501)]
        assert [answer and answer["type"] for answer in answers] == ["subscribe"] + [None] * 500
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= sum("ValueError('mine')" in line for line in lines) <= 3


async def test_p2_a_handler_stays_a_handler_across_reconnects(shared_server: AnyServer):
    plain, binary, by_pattern = Heard(), Heard(), Heard()
    gaps = Gaps()
    async with (
        client_of(shared_server, decode_responses=False) as client,
        client.pubsub(
            channel_handlers={"a": plain, b"\xff\x00": binary},
            pattern_handlers={b"\xfe*": by_pattern},
            channels=["i"],
            on_gap=gaps,
            ignore_subscribe_messages=True,
        ) as p,
    ):
        for turn in range(1, 4):
            kill_subscribers(shared_server)
            await eventually(lambda n=turn: len(gaps) >= 3 * n)
            for name in (b"a", b"\xff\x00", b"\xfe\xff", b"i"):
                await client.publish(name, b"%d" % turn)
            for heard in (plain, binary, by_pattern):
                await heard.wait(turn)
            assert await data_of(p, 1) == [b"%d" % turn]
        assert plain == binary == by_pattern == [b"1", b"2", b"3"]
        assert p.channels == {b"a": plain, b"\xff\x00": binary, b"i": None}


async def test_what_cannot_be_a_handler_is_an_error_at_once(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        for bad in (5, "name", object()):
            with pytest.raises((TypeError, ValueError), match=r"(?i)handler|callable"):
                await p.subscribe("x", fine=print, bad=bad)  # type: ignore[arg-type]
        assert not p.subscribed
        assert await client.pubsub_channels() == set()
        # The handler that was fine is gone, too.
        tree = p._session.tree.system.tree()  # type: ignore[union-attr]
        await eventually(lambda: not tree.find(f"{tree.path}/x/fine"))
        handlers = [n for n in p._session.tree.system.tree().walk() if n.id == "handlers"]  # type: ignore[union-attr]
        await eventually(lambda: handlers[0].children == ())
