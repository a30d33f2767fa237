"""A worker on a real server, inside of the test's own program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from actors import Actor, Gap, Kind, PubSubMessage, Redis
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.worker import State, Worker
from actors.worker.run.partition import Partition
from actors.worker.run.settings import Previous
from tests.pubsub.helpers import numsub
from tests.servers import AnyServer
from tests.support import eventually
from tests.worker.helpers import Customer, Failures, Order, make_worker

pytestmark = pytest.mark.embedded_only


@pytest.fixture
async def client(server: AnyServer) -> AsyncIterator[Redis[Any]]:
    async with Redis(server.host, server.port) as client:
        yield client


async def test_handlers_get_what_they_ask_for(server, client):
    app: Worker[Customer] = make_worker(server, context=Customer())
    seen: dict[str, Any] = {}

    @app.channel("typed")
    async def typed(order: Order, customer: Customer, message: PubSubMessage) -> None:
        seen["typed"] = (order, customer.name, message["channel"])

    @app.channel("plain")
    def plain(message: dict[str, Any]) -> None:
        seen["plain"] = message["data"]

    @app.channel("raw")
    async def raw(data: bytes) -> None:
        seen["raw"] = data

    @app.channel("text")
    async def text(data: str) -> None:
        seen["text"] = data

    @app.channel("packed", format="msgpack")
    async def packed(order: Order) -> None:
        seen["packed"] = order

    @app.channel("threaded", in_thread=True)
    def threaded(order: Order, customer: Customer) -> None:
        seen["threaded"] = (order.id, customer.name)

    @app.pattern("pat*")
    async def pattern(message: PubSubMessage) -> None:
        seen["pattern"] = (message["pattern"], message["channel"])

    @app.channel("acted")
    class Acts(Actor[Order]):
        def __init__(self, customer: Customer) -> None:
            self.customer = customer

        def receive(self, order: Order) -> None:
            seen["acted"] = (order.id, self.customer.name)

    async with app:
        await client.publish("typed", '{"id": 1}')
        await client.publish("plain", "as it is")
        await client.publish("raw", b"\xff\x00")
        await client.publish("text", "words")
        await client.publish("packed", msgspec.msgpack.encode(Order(2)))
        await client.publish("threaded", '{"id": 3}')
        await client.publish("pattern", "x")
        await client.publish("acted", '{"id": 4}')
        await eventually(lambda: len(seen) == 8)
    assert seen == {
        "typed": (Order(1), "context", "typed"),
        "plain": "as it is",
        "raw": b"\xff\x00",
        "text": "words",
        "packed": Order(2),
        "threaded": (3, "context"),
        "pattern": ("pat*", "pattern"),
        "acted": (4, "context"),
    }
    assert app.drained is not None
    assert app.drained.in_time
    assert app.drained.left == 0


async def test_it_is_a_supervision_tree(server):
    app = make_worker(server, name="shop", probe_interval=5.0)

    @app.actor
    class Ledger(Actor[Any]):
        pass

    @app.channel("orders")
    async def on_order(message): ...

    assert app.tree().status == "new"
    async with app:
        assert app.snapshot().state is State.RUNNING
        await eventually(lambda: all(node.status == "running" for node in app.tree().walk()))
        paths = {node.path for node in app.tree().walk()}
        pubsub = next(path for path in paths if path.count("/") == 1 and "pubsub" in path)
        assert {"shop", "shop/Ledger-1", "shop/probe", f"{pubsub}/handlers/orders"} <= paths
    assert app.state is State.STOPPED


async def test_hooks_and_actors_start_and_stop_in_order(server, client):
    app: Worker[Customer] = make_worker(server, context_type=Customer)
    order: list[str] = []

    @app.on_startup
    async def first() -> None:
        order.append("first")

    @app.on_startup
    def second(worker: Worker[Customer]) -> None:
        worker.context = Customer("of the hook")
        order.append("second")

    @app.actor(name="ledger")
    class Ledger(Actor[Any]):
        def __init__(self, customer: Customer) -> None:
            order.append(f"actor with context {customer.name}")

        async def on_stop(self, reason) -> None:
            order.append("actor stopped")

    @app.channel("a")
    async def handler(message) -> None:
        await asyncio.sleep(0.05)
        order.append("handled")

    @app.on_shutdown
    def third() -> None:
        order.append("third")

    @app.on_shutdown
    async def fourth(worker: Worker[Customer]) -> None:
        await worker.client.publish("elsewhere", "still connected")
        order.append("fourth")

    async with app:
        await client.publish("a", "x")
        await eventually(lambda: app.snapshot().received == 1)
    assert order == [
        "first",
        "second",
        "actor with context of the hook",
        "handled",
        "actor stopped",
        "third",
        "fourth",
    ]


async def test_a_context_that_no_hook_set_fails_the_start(server):
    app = make_worker(server, context_type=Customer)

    @app.channel("a")
    async def handler(order: Order, customer: Customer): ...

    with pytest.raises(RuntimeError, match="have a start-up hook set"):
        async with app:
            raise AssertionError("it started")
    assert app.state is State.STOPPED


async def test_middleware_is_one_chain_around_every_handler(server, client):
    app = make_worker(server)
    log: list[Any] = []

    @app.middleware
    async def outer(message, next):
        log.append("outer in")
        result = await next(message)
        log.append("outer out")
        return result

    @app.middleware
    async def inner(message, next):
        if message["data"] == "drop":
            log.append("dropped")
            return None
        return await next({**message, "data": message["data"].replace("1", "2")})

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        log.append(order)

    @app.channel("plain")
    def on_plain(message) -> None:
        log.append(message["data"])

    @app.channel("acted")
    class Acts(Actor[Order]):
        def receive(self, order: Order) -> None:
            log.append(("actor", order))

    async with app:
        for channel, data, count in [
            ("orders", '{"id": 1}', 3),
            ("plain", "1", 6),
            ("plain", "drop", 9),
            ("acted", '{"id": 1}', 12),
        ]:
            await client.publish(channel, data)
            await eventually(lambda count=count: len(log) == count)
    assert log == [
        *("outer in", Order(2), "outer out"),
        *("outer in", "2", "outer out"),
        *("outer in", "dropped", "outer out"),
        *("outer in", ("actor", Order(2)), "outer out"),
    ]


async def test_what_is_in_a_mailbox_is_handled_before_it_stops(server, client):
    app = make_worker(server)
    handled: list[int] = []

    @app.channel("slow")
    async def slow(order: Order) -> None:
        await asyncio.sleep(0.002)
        handled.append(order.id)

    @app.channel("concurrent", concurrency=4, key="id")
    async def concurrent(order: Order) -> None:
        await asyncio.sleep(0.002)
        handled.append(order.id)

    async with app:
        for number in range(200):
            await client.publish(("slow", "concurrent")[number % 2], b'{"id": %d}' % number)
        await eventually(lambda: app.snapshot().received == 200)
    assert sorted(handled) == list(range(200))
    assert app.drained is not None
    assert app.drained.left == 0
    assert numsub(server, "slow") == 0


async def test_what_is_declared_while_it_runs_comes_too_late(server):
    app = make_worker(server)

    @app.channel("a")
    async def on_a(message: Any) -> None: ...

    async with app:
        for declare in (
            lambda: app.channel("b")(on_a),
            lambda: app.channels(["b", "c"], on_a),
            lambda: app.actor(Actor),
            lambda: app.middleware(on_a),
        ):
            with pytest.raises(RuntimeError, match="runs already: declare before it starts"):
                declare()
    app.channel("b")(on_a)
    assert len(app.routes) == 2


async def test_a_drain_ends_at_its_deadline(server, client):
    app = make_worker(server, drain_timeout=0.3)
    stopped: list[str] = []

    @app.channel("stuck")
    async def stuck(message) -> None:
        await asyncio.sleep(60)

    @app.on_shutdown
    def hook() -> None:
        stopped.append("hook")

    begun = asyncio.get_running_loop().time()
    async with app:
        for _ in range(3):
            await client.publish("stuck", "x")
        await eventually(lambda: app.snapshot().received == 3)
    assert app.drained is not None
    assert not app.drained.in_time
    assert app.drained.left == 2  # and one in hand
    assert asyncio.get_running_loop().time() - begun < 2


async def test_bad_messages_are_failures_with_a_reason(server, client):
    failures = Failures()
    app = make_worker(server, on_failure=failures)
    handled: list[Any] = []

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        if order.item == "raise":
            raise RuntimeError("no")
        handled.append(order.id if len(order.item) < 1000 else len(order.item))

    @app.channel("text")
    async def on_text(text: str) -> None:
        handled.append(text)

    async with app:
        await client.publish("orders", "{")
        await client.publish("orders", '{"id": "seven"}')
        await client.publish("orders", b"\xff\xfe\xfd")
        await client.publish("orders", msgspec.json.encode(Order(1, "x" * 512 * 1024)))
        await client.publish("orders", '{"id": 2, "item": "raise"}')
        await client.publish("text", b"\xff")
        await client.publish("text", "fine")
        await eventually(lambda: len(failures) == 5 and len(handled) == 2)
        snapshot = app.snapshot()
    assert handled == [512 * 1024, "fine"]
    assert sorted(error.__name__ for error in failures.errors()) == [
        "DecodeError",
        "DecodeError",
        "RuntimeError",
        "UnicodeDecodeError",
        "ValidationError",
    ]
    assert {failure.handler.rpartition(".")[2] for failure in failures} == {"on_order", "on_text"}
    assert snapshot.failed == 5
    by_name = {handler.name: handler for handler in snapshot.handlers}
    assert by_name["orders"].failed == 4
    kinds = {note.error.partition("(")[0]: note.count for note in snapshot.recent_failures}
    # What is no JSON and what is no UTF-8 do not decode, in the same line.
    assert kinds == {
        "ValidationError": 1,
        "DecodeError": 2,
        "RuntimeError": 1,
        "UnicodeDecodeError": 1,
    }


async def test_it_consumes_its_share_only(server):
    names = [f"c{number}" for number in range(20)]
    workers = []
    for index in range(3):
        app = make_worker(server)
        app.partition = Partition(index, 3)
        for name in names:
            app.channel(name)(_nothing)
        app.pattern("p.*")(_nothing)
        workers.append(app)
    async with workers[0], workers[1], workers[2]:
        assert {numsub(server, name) for name in names} == {1}
        shares = [len(app.snapshot().handlers) for app in workers]
    assert sum(shares) == 21
    assert all(shares)


async def test_a_process_that_follows_another_says_what_was_missed(server, client):
    events: list[Any] = []
    app = make_worker(server, on_gap=events.append)
    app.previous = Previous(alive_at=1000.0, reason="killed by signal 9")

    @app.channel("a", on_gap=lambda gap: events.append(("own", gap)))
    async def on_a(order: Order) -> None:
        events.append(order)

    @app.pattern("b*")
    async def on_b(message) -> None: ...

    async with app:
        assert [type(event) for event in events] == [tuple, Gap]
        own, gap = events[0][1], events[1]
        assert (own.kind, own.name, own.since, own.reason) == (
            *(Kind.CHANNEL, "a", 1000.0),
            "killed by signal 9",
        )
        assert (gap.kind, gap.name) == (Kind.PATTERN, "b*")
        assert app.snapshot().gaps == 2
        await client.publish("a", '{"id": 1}')
        await eventually(lambda: events[-1] == Order(1))


async def test_what_the_body_raises_surfaces(server):
    app = make_worker(server)
    app.channel("a")(_nothing)
    with pytest.raises(KeyError):
        async with app:
            raise KeyError("the body's")
    assert app.state is State.STOPPED


async def test_every_shutdown_hook_runs(server):
    app, ran = make_worker(server), []
    app.channel("a")(_nothing)

    @app.on_shutdown
    def first() -> None:
        raise KeyError("first")

    @app.on_shutdown
    async def second() -> None:
        ran.append(app.state)

    with pytest.raises(KeyError, match="first") as raised:
        async with app:
            pass
    assert ran == [State.DRAINING]
    assert "first" in raised.value.__notes__[0]


@pytest.mark.parametrize("fails", ["first hook", "second hook", "actor", "broker"])
async def test_hooks_that_ran_are_taken_back_where_the_start_fails(server, fails):
    where = "redis://localhost:1" if fails == "broker" else server
    app, ran = make_worker(where, start_timeout=0.2), []
    app.channel("a")(_nothing)

    @app.on_startup
    async def first() -> None:
        ran.append("first")
        if fails == "first hook":
            raise KeyError(fails)

    @app.on_startup
    async def second() -> None:
        ran.append("second")
        if fails == "second hook":
            raise KeyError(fails)

    @app.actor
    class Up(Actor[Any]):
        async def on_stop(self, reason) -> None:
            ran.append("actor")

    if fails == "actor":

        @app.actor
        class Broken(Actor[Any]):
            async def on_start(self) -> None:
                raise KeyError(fails)

    @app.on_shutdown
    async def third() -> None:
        ran.append("third")
        raise KeyError("third")  # is logged, and hides nothing

    @app.on_shutdown
    def fourth() -> None:
        ran.append("fourth")

    with pytest.raises(Exception, match="localhost:1" if fails == "broker" else fails):
        async with app:
            raise AssertionError("it started")
    assert (
        ran
        == {
            "first hook": ["first"],
            "second hook": ["first", "second", "third", "fourth"],
            "actor": ["first", "second", "actor", "third", "fourth"],
            "broker": ["first", "second", "third", "fourth"],
        }[fails]
    )


async def test_it_runs_until_it_is_asked_to_stop(server):
    app = make_worker(server)
    app.channel("a")(_nothing)
    running = asyncio.create_task(app.run())
    await eventually(lambda: app.state is State.RUNNING)
    app.request_stop()
    drained = await running
    assert drained.in_time
    async with app:  # and once more
        assert app.state is State.RUNNING
        assert app.drained is None
        with pytest.raises(RuntimeError, match="it runs once at a time"):
            await app.__aenter__()
    assert app.drained is not None


async def test_no_broker_at_the_start_is_an_error_that_says_so():
    app = make_worker("redis://127.0.0.1:1", start_timeout=0.3)
    app.channel("a")(_nothing)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
        async with app:
            raise AssertionError("it started")
    assert app.state is State.STOPPED


async def test_an_actor_that_cannot_be_kept_alive_ends_the_worker(server):
    app = make_worker(server, intensity=2, period=30.0)
    app.channel("a")(_nothing)

    @app.actor(name="broken", restart="permanent")
    class Broken(Actor[Any]):
        async def on_start(self) -> None:
            self.context.timers.after(0.001, "go")

        def receive(self, message) -> None:
            raise RuntimeError("broken for good")

    with pytest.raises(Exception, match="gave up after 2 restarts"):
        await asyncio.wait_for(app.run(), 5)
    assert app.state is State.STOPPED


async def _nothing(message: Any) -> None: ...
