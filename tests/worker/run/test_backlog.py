"""Up to when all that came was handled: what a killed process takes with it came after that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Actor, Redis
from actors.worker import Worker
from tests.servers import AnyServer
from tests.support import eventually
from tests.worker.helpers import make_worker

pytestmark = pytest.mark.embedded_only


@pytest.fixture
async def client(server: AnyServer) -> AsyncIterator[Redis[Any]]:
    async with Redis(server.host, server.port) as client:
        yield client


class Gate:
    """A handler that lets its messages through one at a time."""

    def __init__(self) -> None:
        self.passed = asyncio.Semaphore(0)
        self.taken: list[str] = []

    async def __call__(self, message: Any) -> None:
        self.taken.append(message["data"])
        await self.passed.acquire()


async def advances(app: Worker[Any], moment: float) -> None:
    """Everything from before ``moment`` comes to be handled."""
    await eventually(lambda: app.handled_until() > moment)


def declare(app: Worker[Any], how: str, gate: Gate) -> None:
    if how == "actor":

        @app.channel("gate")
        class Gated(Actor[Any]):
            async def receive(self, message: Any) -> None:
                await gate(message)

    else:
        options: dict[str, Any] = {
            "function": {},
            "drop_newest": {"mailbox": 1, "overflow": "drop_newest"},
            "concurrent": {"concurrency": 2, "key": lambda message: 0},
        }[how]
        app.channel("gate", **options)(gate)


@pytest.mark.parametrize("how", ["function", "drop_newest", "actor", "concurrent"])
async def test_what_is_in_hand_is_not_handled(server, client, how):
    app, gate, others = make_worker(server), Gate(), []
    declare(app, how, gate)
    app.channel("other")(lambda message: others.append(message))
    async with app:
        await advances(app, time.time())
        sent = []
        for number in range(2):
            sent.append(time.time())
            await client.publish("gate", str(number))
            await advances_or_stays(app)
        # Others come and go, and this one's first message is in hand.
        await client.publish("other", "x")
        await eventually(lambda: others and gate.taken == ["0"])
        for _ in range(20):
            assert app.handled_until() <= sent[0]
            await asyncio.sleep(0.01)
        gate.passed.release()
        await eventually(lambda: gate.taken == ["0", "1"])
        await advances(app, sent[0] - 0.05)
        assert app.handled_until() <= sent[1]
        gate.passed.release()
        await advances(app, time.time())
        assert app.oldest_age == 0.0


async def advances_or_stays(app: Worker[Any]) -> None:
    """Let there be looks between two messages, as there are in a process."""
    for _ in range(3):
        app.handled_until()
        await asyncio.sleep(0.02)


async def test_what_the_deadline_leaves_is_not_handled(server, client):
    app, gate = make_worker(server, drain_timeout=0.2), Gate()
    app.channel("gate")(gate)
    async with app:
        sent = time.time()
        await client.publish("gate", "x")
        await eventually(lambda: gate.taken == ["x"])
    assert app.drained is not None
    assert not app.drained.in_time
    assert app.handled_until() <= sent


async def test_many_idle_handlers_cost_next_to_nothing(server):
    app = make_worker(server, subscription_timeout=30.0)
    for number in range(2000):
        app.channel(f"c{number}")(lambda message: None)
    async with app:
        app.handled_until()
        begun = time.process_time()
        for _ in range(10):
            app.handled_until()
        # There are six looks a second; with a tree of them all, each would take this long.
        assert time.process_time() - begun < 0.1


async def test_p10_what_an_open_gap_misses_is_not_handled(server):
    app = make_worker(server)
    app.channel("a")(lambda message: None)
    async with app:
        await advances(app, time.time())
        killed = time.time()
        server.kill()
        await eventually(lambda: app.handled_until() < time.time() - 1, 20)
        assert app.handled_until() <= killed + 0.1
        await server.start()
        await eventually(lambda: app.handled_until() > killed + 1, 20)
