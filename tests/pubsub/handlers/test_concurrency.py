"""``concurrency=N``: side by side, in order by key, within the bound of the mailbox (P12)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from actors import Handler
from actors.runtime.messages.envelopes import Lagged
from tests.pubsub.helpers import client_of, publish_many, within
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


class Held:
    """A handler that holds each message until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.at_work: set[str] = set()
        self.let_go: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.all = False

    async def __call__(self, message: Any) -> None:
        data = message["data"]
        self.begun.append(data)
        self.at_work.add(data)
        try:
            if not self.all:
                await self.let_go[data].wait()
        finally:
            self.at_work.discard(data)
        self.done.append(data)

    def release(self) -> None:
        self.all = True
        for event in self.let_go.values():
            event.set()


def key_of(message: Any) -> str:
    return str(message["data"]).partition(":")[0]


def node_of(pubsub: Any, name: str) -> Any:
    system = pubsub._session.tree.system
    return next(n for n in system.tree().walk() if n.path.endswith(f"/handlers/{name}"))


async def test_no_worker_idles_while_messages_wait(shared_server: AnyServer):
    held = Held()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(held, concurrency=8)}),
    ):
        for number in range(8):  # one by one: a worker with an empty mailbox may be at work
            await client.publish("a", str(number))
            await eventually(lambda n=number: len(held.at_work) == n + 1)
        await client.publish("a", "8")
        held.let_go["3"].set()
        await eventually(lambda: "8" in held.at_work)
        held.release()


async def test_a_backlog_of_one_key_is_in_nobody_elses_way(shared_server: AnyServer):
    held = Held()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": Handler(held, concurrency=3, key=key_of)}) as p,
    ):
        for number in range(100):
            await client.publish("a", f"hot:{number}")
        for key in ("cold", "colder"):
            await client.publish("a", f"{key}:0")
        await eventually(lambda: held.at_work == {"hot:0", "cold:0", "colder:0"})
        assert node_of(p, "a").detail["parked"] == 99
        held.release()
        await eventually(lambda: len(held.done) == 102)
        hot = [data for data in held.done if data.startswith("hot")]
        assert hot == [f"hot:{number}" for number in range(100)]
        assert "parked" not in node_of(p, "a").detail


async def test_order_is_kept_by_key_under_load(shared_server: AnyServer):
    handled: dict[int, list[int]] = defaultdict(list)

    async def handler(message: Any) -> None:
        number = int(message["data"])
        await asyncio.sleep(0.001 * (number % 3))
        handled[number % 7].append(number)

    wanted = Handler(handler, concurrency=4, key=lambda message: int(message["data"]) % 7)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        await publish_many(client, "a", 2000)
        assert await p.drain(60)
    assert sum(map(len, handled.values())) == 2000
    assert all(numbers == sorted(numbers) for numbers in handled.values())


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_what_is_parked_counts_against_the_bound(
    shared_server: AnyServer, overflow: str, caplog
):
    held, lags = Held(), []
    wanted = Handler(
        held, concurrency=2, key=key_of, mailbox=20, overflow=overflow, on_lagged=lags.append
    )
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(100):
            await client.publish("a", f"hot:{number}")
        await client.publish("a", "cold:0")
        await eventually(lambda: held.at_work == {"hot:0", "cold:0"})
        node = node_of(p, "a")
        assert node.detail["parked"] == 10
        assert node.detail["mailbox"] == 0
        assert node.detail["shed"] == sum(lags) == 89
        held.release()
        await eventually(lambda: len(held.done) == 12)
    kept = range(1, 11) if overflow == "drop_newest" else range(90, 100)
    assert [data for data in held.done if data.startswith("hot")] == [
        "hot:0",
        *(f"hot:{number}" for number in kept),
    ]
    assert "messages_shed" in caplog.text


async def test_with_block_nothing_goes(shared_server: AnyServer):
    held = Held()
    wanted = Handler(held, concurrency=2, key=key_of, mailbox=10, overflow="block")
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        await publish_many(client, "a", 1000, ":x", first=0)
        for number in range(300):
            await client.publish("a", f"hot:{number}")
        await eventually(lambda: len(held.at_work) == 2)
        held.release()
        await eventually(lambda: len(held.done) == 1300, 20)
        assert p.stats().shed == 0
    hot = [data for data in held.done if data.startswith("hot")]
    assert hot == [f"hot:{number}" for number in range(300)]


@pytest.mark.parametrize("crashes", [False, True])
async def test_a_drain_handles_all_that_is_parked(shared_server: AnyServer, crashes: bool):
    held = Held()
    wanted = Handler(held, concurrency=4, key=key_of)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(50):
            await client.publish("a", f"hot:{number}")
        await eventually(lambda: node_of(p, "a").detail.get("parked") == 49)
        assert not await p.drain(0.05)
        ref = p._session.tree.system.lookup(node_of(p, "a").path)  # type: ignore[union-attr]
        assert ref is not None
        if crashes:
            ref._cell.crash_with(RuntimeError("a bug of ours"))
        held.release()
        with within(5):
            await ref.stopped()
    assert held.done == [f"hot:{number}" for number in range(50)]


async def test_leaving_says_how_much_was_parked(shared_server: AnyServer, caplog):
    held = Held()
    wanted = Handler(held, concurrency=4, key=key_of)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(50):
            await client.publish("a", f"hot:{number}")
        await eventually(lambda: node_of(p, "a").detail.get("parked") == 49)
        asyncio.get_running_loop().call_later(0.1, held.let_go["hot:0"].set)
        with within(4):
            await p.close()
    assert held.done == ["hot:0"]
    assert "messages_not_handled" in caplog.text
    assert "49" in caplog.text


async def test_workers_that_are_made_anew_lose_nothing_that_was_parked(shared_server: AnyServer):
    held = Held()
    wanted = Handler(held, concurrency=4, key=key_of, on_failure=lambda _: None)
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"a": wanted}) as p,
    ):
        for number in range(50):
            await client.publish("a", f"hot:{number}")
        await eventually(lambda: node_of(p, "a").detail.get("parked") == 49)
        ref = p._session.tree.system.lookup(node_of(p, "a").path)  # type: ignore[union-attr]
        assert ref is not None
        ref._cell.crash_with(RuntimeError("a bug of ours"))
        held.release()
        await eventually(lambda: len(held.done) == 50)
        assert node_of(p, "a").restarts == 1
    assert held.done == [f"hot:{number}" for number in range(50)]


async def test_a_key_that_cannot_be_had_fails_its_message_alone(shared_server: AnyServer):
    failures, heard = [], []
    keys: dict[str, Any] = {"1": 1, "list": []}

    def by(message: Any) -> Any:
        return keys[message["data"]]

    wanted = Handler(
        lambda message: heard.append(message["data"]),
        concurrency=2,
        key=by,
        on_failure=failures.append,
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):
        for data in ("none", "list", "1"):
            await client.publish("a", data)
        await eventually(lambda: heard == ["1"])
    assert [type(failure.error) for failure in failures] == [KeyError, TypeError]
    assert [failure.message["data"] for failure in failures] == ["none", "list"]


async def test_payloads_are_decoded_once_for_their_key(shared_server: AnyServer):
    seen, failures = [], []
    wanted = Handler(
        lambda payload, message: seen.append((payload, message["data"])),
        decode=dict[str, int],
        concurrency=2,
        key="id",
        on_failure=failures.append,
    )
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": wanted}):
        for data in ("{", '{"id": 1}'):
            await client.publish("a", data)
        await eventually(lambda: seen and failures)
    assert seen == [({"id": 1}, '{"id": 1}')]
    assert failures[0].message["data"] == "{"
    assert not any(isinstance(failure.message, Lagged) for failure in failures)
