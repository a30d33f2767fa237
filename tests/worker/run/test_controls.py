"""What an operator does to a running worker: pauses, resumes, closed breakers, drains."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Actor, Batch, Breaker, Redis
from actors.worker import Worker
from actors.worker.observe.health import is_ready
from actors.worker.observe.snapshot import HandlerState
from actors.worker.run.controls import Act, Action, Refused, control
from tests.support import eventually
from tests.worker.helpers import Failures, make_worker

pytestmark = pytest.mark.embedded_only


def state(app: Worker[Any], name: str = "orders") -> HandlerState:
    (found,) = [one for one in app.snapshot().handlers if one.name == name]
    return found


def act(app: Worker[Any], what: Act, name: str = "orders") -> None:
    control(app, Action(what, 0, state(app, name).path))


async def publish(client: Redis[Any], *payloads: Any, channel: str = "orders") -> None:
    for payload in payloads:
        await client.publish(channel, str(payload))


class Kept:
    """Keeps what it handles."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def one(self, message: Any) -> None:
        self.seen.append(message["data"])

    async def many(self, messages: list[Any]) -> None:
        self.seen += [message["data"] for message in messages]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"concurrency": 3, "key": lambda message: message["channel"]},
        {"batch": Batch(10)},
        {"timeout": 20.0},
    ],
    ids=["plain", "concurrent", "batch", "timeout"],
)
async def test_a_paused_handler_leaves_its_messages_in_its_mailbox(server, options):
    app, kept = make_worker(server), Kept()
    app.channel("orders", **options)(kept.many if "batch" in options else kept.one)
    app.channel("other")(kept.one)
    async with app, Redis(server.host, server.port) as client:
        act(app, Act.PAUSE)
        await publish(client, *range(5))
        await publish(client, "others go on", channel="other")
        await eventually(lambda: kept.seen == ["others go on"])
        await eventually(lambda: state(app).depth == 5)
        assert state(app).paused
        verdict = is_ready(app.worker_snapshot())
        assert verdict.ok
        assert "handler orders is paused: 5 messages wait" in verdict.degraded
        act(app, Act.RESUME)
        await eventually(lambda: kept.seen[1:] == ["0", "1", "2", "3", "4"])
        assert not state(app).paused
        assert not is_ready(app.worker_snapshot()).degraded


async def test_a3_a_paused_mailbox_fills_by_its_policy_and_counts_what_it_sheds(server):
    app, kept, lagged = make_worker(server), Kept(), []
    app.channel("orders", mailbox=3, overflow="drop_oldest", on_lagged=lagged.append)(kept.one)
    async with app, Redis(server.host, server.port) as client:
        act(app, Act.PAUSE)
        await publish(client, *range(10))
        await eventually(lambda: state(app).shed == 7)
        assert "shed 7" in str(is_ready(app.worker_snapshot()).degraded)
        act(app, Act.RESUME)
        await eventually(lambda: kept.seen == ["7", "8", "9"])
        assert sum(lagged) == 7


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"mailbox": 2, "overflow": "block"}])
async def test_a_drain_handles_what_a_paused_handler_has(server, options):
    app, kept = make_worker(server, drain_timeout=30.0), Kept()
    app.channel("orders", **options)(kept.one)
    async with app, Redis(server.host, server.port) as client:
        act(app, Act.PAUSE)
        await publish(client, *range(8))
        await eventually(lambda: state(app).depth >= 2)
    assert app.drained is not None
    assert app.drained.in_time
    assert sorted(kept.seen) == [str(number) for number in range(8)]


async def test_an_actor_of_the_users_is_paused_across_a_crash(server):
    app, seen = make_worker(server), []

    @app.channel("orders")
    class Keeper(Actor[Any]):
        async def receive(self, message: Any) -> None:
            if message["data"] == "crash":
                raise RuntimeError("crash")
            seen.append(message["data"])

    async with app, Redis(server.host, server.port) as client:
        await publish(client, "crash")
        await eventually(lambda: state(app).restarts == 1)
        await eventually(lambda: state(app).status == "running")
        act(app, Act.PAUSE)
        await publish(client, "waits")
        await eventually(lambda: state(app).depth == 1)
        assert seen == []
        act(app, Act.RESUME)
        await eventually(lambda: seen == ["waits"])


async def test_an_open_breaker_is_closed_and_the_handler_called_again(server):
    app, kept = make_worker(server, on_failure=Failures()), Kept()
    broken = True

    @app.channel("orders", breaker=Breaker(2, 3600))
    async def on_order(message: Any) -> None:
        if broken:
            raise RuntimeError("no database")
        await kept.one(message)

    async with app, Redis(server.host, server.port) as client:
        with pytest.raises(Refused, match="is closed"):
            act(app, Act.CLOSE_BREAKER)
        await publish(client, *range(3))
        await eventually(lambda: state(app).breaker == "open")
        broken = False
        await publish(client, "is not called")
        await eventually(lambda: state(app).failed == 4)
        act(app, Act.CLOSE_BREAKER)
        assert state(app).breaker == "closed"
        await publish(client, "is called")
        await eventually(lambda: kept.seen == ["is called"])


async def test_a_drain_ends_the_worker(server):
    app, kept = make_worker(server), Kept()
    app.channel("orders")(kept.one)

    async def drain_soon() -> None:
        await eventually(lambda: app.started and app.snapshot().handlers, 20)
        control(app, Action(Act.DRAIN))

    draining = asyncio.create_task(drain_soon())
    async with asyncio.timeout(60):
        drained = await app.run()
    await draining
    assert drained.in_time


async def test_what_cannot_be_done_is_refused(server):
    app = make_worker(server)
    app.channel("orders", concurrency=2)(Kept().one)
    with pytest.raises(Refused, match="not running"):
        control(app, Action(Act.PAUSE, 0, "worker"))
    async with app:
        path = state(app).path
        with pytest.raises(Refused, match="path is missing"):
            control(app, Action(Act.PAUSE, 0, ""))
        for no_handler in ("worker", "worker/sampler", f"{path}/worker-0", f"{path}x"):
            with pytest.raises(Refused, match="there is no handler"):
                control(app, Action(Act.PAUSE, 0, no_handler))
