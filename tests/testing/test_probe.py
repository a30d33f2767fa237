"""The probe: what it takes, what matches, and what it says when nothing does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actors import ActorSystem, HandlerFailure, Redis
from actors.testing import Probe
from tests.worker.helpers import Order, make_worker

MESSAGE = {"type": "message", "pattern": None, "channel": "a", "data": "x"}


async def test_each_message_is_expected_once_in_any_order():
    probe = Probe()
    for one in ("a", 1, Order(1), Order(2), MESSAGE):
        probe(one)
    assert await probe.expect(lambda one: isinstance(one, Order) and one.id == 2) == Order(2)
    assert await probe.expect(Order) == Order(1)
    assert await probe.expect("x") is MESSAGE
    assert await probe.expect() == "a"
    assert await probe.expect(int) == 1
    await probe.expect_nothing()
    assert len(probe.messages) == 5


async def test_it_waits_and_hears_of_other_threads():
    probe = Probe()
    thread = threading.Timer(0.05, probe.tell, ["late"])
    thread.start()
    try:
        assert await probe.expect("late") == "late"
    finally:
        thread.join()


async def test_what_is_missing_is_said():
    probe = Probe("bills")
    with pytest.raises(AssertionError, match=r"bills: no 'x' within 0.01 s; nothing came"):
        await probe.expect("x", within=0.01)
    probe("y")
    with pytest.raises(AssertionError, match=r"no Order within 0.01 s; what came .*: 'y' \(0 exp"):
        await probe.expect(Order, within=0.01)
    with pytest.raises(AssertionError, match=r"expected no message, and got 'y'"):
        await probe.expect_nothing()
    probe.clear()
    await probe.expect_nothing()


async def test_two_wait_for_different_messages():
    probe = Probe()
    waiting = asyncio.gather(probe.expect("b"), probe.expect("a"))
    await asyncio.sleep(0)
    probe("a")
    probe("b")
    assert list(await waiting) == ["b", "a"]


async def test_as_an_actor():
    probe = Probe()
    async with ActorSystem("shop") as system:
        system.spawn(probe.actor()).tell("hello")
        assert await probe.expect(str) == "hello"


async def test_as_a_handler_and_a_failure_sink(shared_server):
    heard, failures, gaps = Probe(), Probe("failures"), Probe("gaps")
    app = make_worker(shared_server, on_failure=failures, on_gap=gaps)
    app.channel("orders", decode=Order)(heard)
    app.channel("plain")(heard)
    async with app, Redis(shared_server.host, shared_server.port) as client:
        await client.publish("orders", '{"id": 1}')
        await client.publish("orders", b"\xff")
        await client.publish("plain", "pie")
        assert await heard.expect(Order) == Order(1)
        assert (await heard.expect("pie"))["channel"] == "plain"
        failure = await failures.expect(HandlerFailure)
        assert failure.channel == "orders"
        await gaps.expect_nothing()
