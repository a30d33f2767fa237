"""A worker whose channels recover (R2)."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Gap, History, PubSubMessage, Recover, Redis
from supervisor import SpecError
from tests.pubsub.helpers import kill_subscribers
from tests.servers import AnyServer
from tests.support import eventually
from tests.worker.helpers import Order, make_worker

ORDERS = History(maxlen=100)


async def test_r2_channels_get_what_they_missed(server: AnyServer):
    app = make_worker(server)
    orders: list[int] = []
    rates: list[tuple[str, str]] = []
    plain: list[str] = []
    gaps: list[Gap] = []

    @app.channel("orders", recover=Recover(since="all"), on_gap=gaps.append)
    async def on_order(order: Order, message: PubSubMessage) -> None:
        assert message["id"].endswith(f"-{order.id}")
        orders.append(order.id)

    @app.channels(["eur", "usd"], recover=True, on_gap=gaps.append)
    def on_rate(message: dict[str, Any]) -> None:
        rates.append((message["channel"], message["data"]))

    @app.channel("plain")
    def on_plain(data: str) -> None:
        plain.append(data)

    async with Redis(server.host, server.port) as client:
        await client.publish("orders", '{"id": 1}', history=ORDERS)
        async with app:
            await eventually(lambda: orders == [1])
            kill_subscribers(server)
            for number in range(2, 5):
                await client.publish("orders", f'{{"id": {number}}}', history=ORDERS)
                await client.publish("eur", str(number), history=ORDERS)
                await client.publish("usd", str(number), history=ORDERS)
            await eventually(lambda: len(orders) == 4 and len(rates) == 6)
            await client.publish("plain", "x", history=ORDERS)
            await eventually(lambda: plain)
            names = [handler.name for handler in app.snapshot().handlers]
            assert not any("histories" in name for name in names)
    assert orders == [1, 2, 3, 4]
    for channel in ("eur", "usd"):
        assert [data for name, data in rates if name == channel] == ["2", "3", "4"]
    assert gaps == []
    assert app.drained is not None
    assert app.drained.in_time


def test_what_cannot_be_recovered_is_said_before_anything_is_connected():
    app = make_worker()
    app.pattern("a*", recover=True)(print)
    app.channel("a{b", recover=Recover())(print)
    app.channels(["fine", "}"], recover=True)(print)
    app.channel("d", recover="yes")(print)  # type: ignore[arg-type]
    app.channel("e", recover=False)(print)
    with pytest.raises(SpecError) as raised:
        app.validate()
    problems = raised.value.problems
    assert len(problems) == 4
    for says in (
        "a pattern names none",
        "'a{b' cannot have a history",
        "'}' cannot have a history",
    ):
        assert any(says in problem for problem in problems), says
    assert any("recover must be a Recover" in problem for problem in problems)
