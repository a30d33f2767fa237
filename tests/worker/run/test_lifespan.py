"""A worker inside another program: the program goes on, and hears of a worker that gives up."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors import Actor, Gap, PubSubMessage, Redis
from actors.redis.exceptions import ConnectionError as RedisConnectionError
from actors.worker import Partition, State, Worker
from actors.worker.observe.health import is_live, is_ready
from supervisor import EscalatedError, SpecError
from tests.pubsub.helpers import kill_subscribers, numsub
from tests.servers import AnyServer
from tests.support import eventually
from tests.worker.helpers import make_worker

pytestmark = pytest.mark.embedded_only


@pytest.fixture
async def client(server: AnyServer) -> AsyncIterator[Redis[Any]]:
    async with Redis(server.host, server.port) as client:
        yield client


def make_fragile(where: Any, **options: Any) -> tuple[Worker[Any], list[str], list[Gap]]:
    """A worker that gives up when "crash" has been published twice; what it heard, and its gaps."""
    heard: list[str] = []
    gaps: list[Gap] = []
    app = make_worker(where, intensity=1, on_gap=gaps.append, **options)

    @app.actor(name="fragile")
    class Fragile(Actor[str]):
        def receive(self, message: str) -> None:
            if message == "exit":
                raise SystemExit(7)
            raise RuntimeError("a bad message")

    @app.channel("news")
    async def on_news(message: PubSubMessage) -> None:
        heard.append(message["data"])
        if message["data"] in ("crash", "exit"):
            fragile = app.system.lookup("fragile")
            assert fragile is not None
            fragile.tell(message["data"])
        if message["data"] == "slow":
            await asyncio.sleep(60)

    return app, heard, gaps


def state_of(app: Worker[Any]) -> State:
    return app.state


async def crash(client: Redis[Any], heard: list[str]) -> None:
    for _ in range(2):
        count = len(heard)
        await client.publish("news", "crash")
        await eventually(lambda count=count: len(heard) > count)


async def is_heard(client: Redis[Any], heard: list[str], text: str) -> bool:
    await client.publish("news", text)
    return text in heard


async def test_a_worker_that_gave_up_starts_again_and_the_program_goes_on(server, client):
    app, heard, gaps = make_fragile(server)
    async with app.lifespan():
        assert app.state is State.RUNNING
        await crash(client, heard)
        await eventually(lambda: app.state is State.GAVE_UP)
        view = app.worker_snapshot()
        assert is_live(view).ok  # nobody else has to start it again
        (reason,) = is_ready(view).reasons
        assert reason.startswith("it gave up: EscalatedError")
        assert "a bad message" in reason
        await eventually(lambda: is_heard(client, heard, "after"), 20, 0.05)
        assert (app.state, app.gave_up) == (State.RUNNING, None)
        assert [gap.name for gap in gaps] == ["news"]
        assert gaps[0].since <= gaps[0].until
        assert gaps[0].reason.startswith("the worker gave up: EscalatedError")
    assert state_of(app) is State.STOPPED
    assert app.drained is not None
    assert app.drained.in_time


async def test_it_starts_again_each_time(server, client):
    app, heard, gaps = make_fragile(server)
    async with app.lifespan():
        for number in range(2):
            await eventually(lambda: numsub(server, "news") == 1, 20)
            await crash(client, heard)
            await eventually(lambda: app.state is State.GAVE_UP)
            await eventually(lambda: app.state is State.RUNNING, 20)
            assert len(gaps) == number + 1


async def test_what_waited_for_a_handler_when_it_gave_up_is_told_as_a_gap(server, client):
    app, heard, gaps = make_fragile(server)
    async with app.lifespan():
        await eventually(lambda: is_heard(client, heard, "first"))
        published = time.time()
        await client.publish("news", "slow")
        await eventually(lambda: "slow" in heard)
        await client.publish("news", "waits")
        fragile = app.system.lookup("fragile")
        assert fragile is not None
        for _ in range(2):
            fragile.tell("crash")
        await eventually(lambda: app.state is State.GAVE_UP, 20)
        await eventually(lambda: gaps, 20)
        assert "waits" not in heard
        assert gaps[0].since <= published


async def test_p10_refused_credentials_are_tried_again_and_the_gap_begins_with_the_loss(server):
    app, heard, gaps = make_fragile(server)
    async with app.lifespan(), Redis(server.host, server.port) as admin:
        await eventually(lambda: is_heard(admin, heard, "first"))
        lost = time.time()
        await admin.execute_command("CONFIG", "SET", "requirepass", "another")
        await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
        await eventually(lambda: app.state is State.GAVE_UP)
        (reason,) = is_ready(app.worker_snapshot()).reasons
        assert "refused HELLO 3" in reason
        await admin.execute_command("CONFIG", "SET", "requirepass", "")
        await eventually(lambda: is_heard(admin, heard, "after"), 30, 0.05)
        assert gaps[0].since <= lost + 0.001


async def test_a_function_hears_why_and_may_leave_it_down(server, client):
    told: list[Exception] = []
    app, heard, _ = make_fragile(server, on_give_up=told.append)
    async with app.lifespan():
        await crash(client, heard)
        await eventually(lambda: told)
        assert isinstance(told[0], EscalatedError)
        assert app.state is State.GAVE_UP
        assert is_live(app.worker_snapshot()).ok
    assert state_of(app) is State.STOPPED


@pytest.mark.parametrize("fails", [False, True])
async def test_a_function_may_have_it_started_again(server, client, fails):
    async def on_give_up(error: Exception) -> Any:
        if fails:
            raise RuntimeError("no pager")
        return "restart"

    app, heard, _ = make_fragile(server, on_give_up=on_give_up)
    async with app.lifespan():
        await crash(client, heard)
        await eventually(lambda: app.state is State.GAVE_UP)
        await eventually(lambda: is_heard(client, heard, "after"), 20, 0.05)


@pytest.mark.parametrize(
    ("message", "ends_with"), [("crash", EscalatedError), ("exit", SystemExit)]
)
async def test_exit_ends_the_program_as_its_server_is_ended(server, client, message, ends_with):
    """A SystemExit of an actor ends the program whatever ``on_give_up`` says (S2)."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    app, _, _ = make_fragile(server, on_give_up="exit" if message == "crash" else "restart")
    try:
        with pytest.raises(ends_with):
            async with app.lifespan():
                for _ in range(2):
                    await client.publish("news", message)
                async with asyncio.timeout(20):
                    await asked.wait()
                live, ready = is_live(app.worker_snapshot()), is_ready(app.worker_snapshot())
                assert ends_with.__name__ in live.reasons[0]
                assert ends_with.__name__ in ready.reasons[0]
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_a_first_start_that_fails_is_the_programs_error():
    app = make_worker("redis://127.0.0.1:1", start_timeout=0.2)
    app.channel("news")(lambda message: None)
    with pytest.raises(RedisConnectionError):
        async with app.lifespan():
            pass
    assert state_of(app) is State.STOPPED


async def test_a_start_hook_that_exits_ends_the_program(server):
    app, _, _ = make_fragile(server)

    @app.on_startup
    def leave() -> None:
        raise SystemExit(9)

    with pytest.raises(SystemExit, match="9"):
        async with app.lifespan():
            pass


async def test_leaving_waits_for_no_back_off_and_the_lifespan_may_be_entered_again(server, client):
    app, heard, _ = make_fragile(server)
    for _ in range(2):
        async with app.lifespan():
            await eventually(lambda: numsub(server, "news") == 1)
            await crash(client, heard)
            await eventually(lambda: app.state is State.GAVE_UP)
        assert state_of(app) is State.STOPPED
        assert app.gave_up is None


async def test_a_worker_that_was_asked_to_stop_does_not_start_again(server):
    app, _, _ = make_fragile(server)

    @app.on_shutdown
    def fail() -> None:
        raise ZeroDivisionError("no such file")

    with pytest.raises(ZeroDivisionError):
        async with app.lifespan():
            app.request_stop()
            await eventually(lambda: app.state is State.STOPPED, 20)
            assert app.gave_up is None


async def test_an_error_of_the_program_drains_the_worker_and_stays_the_error(server, client):
    app, heard, _ = make_fragile(server)
    with pytest.raises(ZeroDivisionError):
        async with app.lifespan():
            await eventually(lambda: is_heard(client, heard, "first"))
            _ = 1 // 0
    assert app.drained is not None
    assert app.drained.in_time


async def test_a_cancelled_program_takes_its_worker_along(server):
    app, _, _ = make_fragile(server)
    entered = asyncio.Event()

    async def program() -> None:
        async with app.lifespan():
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(program())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state_of(app) is State.STOPPED
    await eventually(lambda: numsub(server, "news") == 0)


async def test_a_lost_connection_is_no_reason_to_give_up(server, client):
    app, heard, _ = make_fragile(server)
    async with app.lifespan():
        await eventually(lambda: is_heard(client, heard, "first"))
        kill_subscribers(server)
        await eventually(lambda: is_heard(client, heard, "after"), 20, 0.05)
        assert app.gave_up is None


async def test_a_program_may_have_its_loop_in_a_thread(server):
    """As the test clients of web frameworks have it; nothing is left when the thread has ended."""
    app, _, _ = make_fragile(server)

    async def program() -> None:
        async with app.lifespan():
            assert is_live(app.worker_snapshot()).ok

    for _ in range(2):
        thread = threading.Thread(target=lambda: asyncio.run(program()))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert state_of(app) is State.STOPPED

    def watches() -> int:
        return sum("watches the loop" in one.name for one in threading.enumerate())

    await eventually(lambda: watches() == 0, 20, 0.05)


@pytest.mark.parametrize(
    ("processes", "options", "warned"),
    [("4", {}, True), ("1", {}, False), ("", {}, False), ("4", {"fan_out": True}, False)],
)
async def test_several_processes_that_share_nothing_are_warned_of(
    monkeypatch, processes, options, warned
):
    monkeypatch.setenv("WEB_CONCURRENCY", processes)
    with capture_logs() as logs:
        make_worker(**options).lifespan()
    assert ["every_process_consumes_everything"] * warned == [line["event"] for line in logs]


async def test_a_share_is_a_choice(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    app = make_worker()
    app.partition = Partition.parse("0/2")
    with capture_logs() as logs:
        app.lifespan()
    assert logs == []


def test_what_cannot_be_meant_is_a_problem():
    app = make_worker(fan_out=True, on_give_up="stop")
    app.partition = Partition.parse("0/2")
    with pytest.raises(SpecError) as caught:
        app.validate()
    text = str(caught.value)
    assert "on_give_up must be 'exit', 'restart' or a function, not 'stop'" in text
    assert "fan_out=True has every process consume everything, and the partition 0/2" in text
