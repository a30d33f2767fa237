"""``app.channels``: many names with one handler; and handlers of batches in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from actors import Batch, PubSubMessage
from actors.worker.run.partition import Partition
from supervisor import SpecError
from tests.support import eventually
from tests.worker.helpers import Customer, Failures, Order, make_worker
from tests.worker.run.test_worker import client as client  # a fixture

pytestmark = pytest.mark.embedded_only


def on_any(message: PubSubMessage) -> None:
    """A handler."""


def handlers_of(app: Any) -> list[str]:
    group = next(node for node in app.tree().walk() if node.path.endswith("/handlers"))
    return [child.id for child in group.children]


async def test_many_channels_have_one_handler_and_one_actor(server, client):
    got: list[tuple[str, int]] = []
    app = make_worker(server)

    @app.channels(["a", "b", "a"])
    async def on_order(order: Order, message: PubSubMessage) -> None:
        got.append((message["channel"], order.id))

    app.channels(["c*", "d*"], on_any, kind="pattern")
    app.channel("alone")(on_any)
    async with app:
        for number in range(3):
            for channel in ("a", "b"):
                await client.publish(channel, f'{{"id": {number}}}')
        await eventually(lambda: len(got) == 6)
        assert got == [(channel, number) for number in range(3) for channel in ("a", "b")]
        assert len(handlers_of(app)) == 3
        assert app.tree() is not None


async def test_a_function_finds_the_names_after_the_start_up_hooks(server, client):
    got: list[str] = []
    names: list[str] = []
    app = make_worker(server)

    @app.on_startup
    def load() -> None:
        names.extend(["x", "y"])

    async def find() -> list[str]:
        return names

    @app.channels(find)
    def on_text(text: str) -> None:
        got.append(text)

    async with app:
        await client.publish("y", "here")
        await eventually(lambda: got == ["here"])


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ("news", "must return names, not 'news'"),
        (None, "must return names, not None"),
        (["a", ""], "each name must be a str or bytes with something in it: ''"),
        (["taken"], "channel 'taken' has several handlers"),
    ],
)
async def test_a_function_that_finds_no_names_fails_the_start(server, found, problem):
    app = make_worker(server)
    app.channel("taken")(on_any)
    app.channels(lambda: found, on_any)
    with pytest.raises(SpecError, match=problem):
        await app.__aenter__()


async def test_each_partition_takes_its_names(server, client):
    names = [f"orders.{number}" for number in range(20)]
    shares = []
    for index in range(2):
        app = make_worker(server)
        app.channels(names, on_any)
        app.partition = Partition(index, 2)
        async with app:
            shares.append(set(await client.execute_command("PUBSUB", "CHANNELS", "orders.*")))
    assert len(shares[0] | shares[1]) == 20
    assert not shares[0] & shares[1]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("news", "names must be several str or bytes, or a function, not 'news'"),
        (7, "names must be several str or bytes, or a function, not 7"),
    ],
)
def test_one_name_is_no_group(names, problem):
    with pytest.raises(SpecError, match=problem):
        make_worker().channels(names, on_any)


def test_problems_of_groups_are_told_with_all_others():
    app = make_worker()
    app.channels(["a", "", 3], on_any)  # type: ignore[list-item]
    app.channels(["a", "b"], on_any, concurrency=0)
    app.channels(["s"], on_any, kind="shard_channel")
    app.channels(["b"], on_any, kind="nonsense")
    with pytest.raises(SpecError) as caught:
        app.validate()
    problems = "\n".join(caught.value.problems)
    assert "each name must be a str or bytes with something in it: ''" in problems
    assert "each name must be a str or bytes with something in it: 3" in problems
    assert "channel 'a' has 2 handlers, it can have one: on_any, on_any" in problems
    assert "concurrency must be 1 to 1024, not 0" in problems
    assert "only clusters have shard channels" in problems
    assert "unknown kind 'nonsense'" in problems


# -- batches in a worker -----------------------------------------------------------------------


async def test_a_batch_is_a_list_of_what_the_annotation_says(server, client):
    got: list[Any] = []
    failures = Failures()
    app = make_worker(server, context=Customer(), on_failure=failures)
    batch = Batch(max=2, wait=60)

    @app.channel("orders", batch=batch)
    async def on_orders(orders: list[Order], customer: Customer) -> None:
        got.append((orders, customer.name))

    @app.channel("raw", batch=batch)
    def on_raw(payloads: list[bytes], messages: list[PubSubMessage]) -> None:
        got.append((payloads, [one["channel"] for one in messages]))

    @app.channel("texts", batch=batch)
    def on_texts(texts: Sequence[str]) -> None:
        got.append(texts)

    @app.channel("any", batch=batch)
    def on_messages(messages) -> None:
        got.append([one["data"] for one in messages])

    async with app:
        for channel, payloads, expected in (
            ("orders", ('{"id": 1}', '{"id": 2}'), ([Order(1), Order(2)], "context")),
            ("raw", (b"\xff", "x"), ([b"\xff", b"x"], ["raw", "raw"])),
            ("texts", ("a", "b"), ["a", "b"]),
            ("any", ("c", "d"), ["c", "d"]),
        ):
            for payload in payloads:
                await client.publish(channel, payload)
            await eventually(lambda expected=expected: got and got[-1] == expected)
    assert failures == []


async def test_middleware_sees_each_message_of_a_batch(server, client):
    seen: list[str] = []
    got: list[list[str]] = []
    app = make_worker(server)

    @app.middleware
    async def note(message: Any, step: Any) -> Any:
        seen.append(message["data"])
        return await step(message)

    @app.channel("texts", batch=Batch(max=3, wait=60))
    def on_texts(texts: list[str]) -> None:
        got.append(texts)

    async with app:
        for text in "abc":
            await client.publish("texts", text)
        await eventually(lambda: got == [["a", "b", "c"]])
    assert seen == ["a", "b", "c"]


def test_a_handler_of_batches_takes_lists():
    app = make_worker()

    @app.channel("orders", batch=Batch())
    async def on_order(order: Order) -> None: ...

    with pytest.raises(SpecError, match=r"called with lists: annotate it list\[Order\]"):
        app.validate()
