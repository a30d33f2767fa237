"""The metrics of a real worker: how long messages wait and take, and whether it is degraded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors import Actor, Batch, Redis
from actors.worker import Worker
from actors.worker.observe.metrics import render
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker

pytestmark = pytest.mark.embedded_only


def values(app: Worker[Any]) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels but for the process."""
    text = render(app.worker_snapshot())[0].decode()
    return {
        (
            sample.name,
            *(value for key, value in sample.labels.items() if key != "process"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def above(found: dict[tuple[str, ...], float], what: str, handler: str, bound: str) -> float:
    """How many took longer than ``bound``."""
    name = f"mailslot_handler_{what}_seconds"
    return found[f"{name}_count", handler] - found[f"{name}_bucket", handler, bound]


async def publish(client: Redis, channel: str, count: int) -> None:
    for number in range(count):
        await client.publish(channel, f'{{"id": {number}}}')


@pytest.mark.parametrize(
    "options",
    [{}, {"concurrency": 2}, {"concurrency": 2, "key": "item"}, {"in_thread": True}],
    ids=["one", "concurrent", "keyed", "thread"],
)
async def test_how_long_messages_take_and_wait(server, options):
    app = make_worker(server, on_failure=Failures())

    def slow(order: Order) -> None:
        time.sleep(0.03)

    async def slow_async(order: Order) -> None:
        await asyncio.sleep(0.03)

    app.channel("orders", **options)(slow if "in_thread" in options else slow_async)
    async with app, Redis(server.host, server.port) as client:
        await publish(client, "orders", 8)
        await eventually(lambda: app.snapshot().handlers[0].handled == 8)
        # The message in hand is counted when it is done, or when its turn is.
        await eventually(
            lambda: values(app).get(("mailslot_handler_handling_seconds_count", "orders")) == 8
        )
        found = values(app)
    assert above(found, "handling", "orders", "0.025") == 8
    assert found["mailslot_handler_handling_seconds_sum", "orders"] >= 8 * 0.03
    assert found["mailslot_handler_waiting_seconds_count", "orders"] == 8
    # All but those that a free worker takes at once have waited for others.
    assert above(found, "waiting", "orders", "0.0025") >= 4


async def test_of_a_batch_calls_take_and_messages_wait(server):
    app, calls = make_worker(server), []

    @app.channel("orders", batch=Batch(max=10))
    async def slow(orders: list[Order]) -> None:
        calls.append(len(orders))
        await asyncio.sleep(0.03)

    async with app, Redis(server.host, server.port) as client:
        await publish(client, "orders", 25)
        await eventually(lambda: sum(calls) == 25)
        name = "mailslot_handler_handling_seconds_count"
        await eventually(lambda: values(app).get((name, "orders")) == len(calls))
        found = values(app)
    assert found["mailslot_handler_waiting_seconds_count", "orders"] == 25
    assert above(found, "handling", "orders", "0.025") == len(calls)


async def test_actors_failures_and_patterns_are_measured_too(server):
    app = make_worker(server, on_failure=Failures())

    @app.channel("actor")
    class Slow(Actor[Order]):
        async def receive(self, order: Order) -> None:
            await asyncio.sleep(0.03)
            if order.id == 1:
                raise ValueError("crash")

    @app.pattern("p.*")
    async def fast(message: Any) -> None:
        raise KeyError("fails")

    async with app, Redis(server.host, server.port) as client:
        await publish(client, "actor", 3)
        await publish(client, "p.1", 3)
        name = "mailslot_handler_handling_seconds_count"
        await eventually(
            lambda: (values(app).get((name, "actor")), values(app).get((name, "p.*"))) == (3, 3)
        )
        found = values(app)
    assert above(found, "handling", "actor", "0.025") == 3
    assert found["mailslot_handler_waiting_seconds_count", "p.*"] == 3
    assert found["mailslot_degraded",] == 1
    assert found["mailslot_ready",] == 1


async def test_a_handler_without_messages_has_no_histogram(server):
    app = make_worker(server)

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    async with app:
        found = values(app)
    assert not [key for key in found if key[0].startswith("mailslot_handler_handling")]
    assert found["mailslot_degraded",] == 0
