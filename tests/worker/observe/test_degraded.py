"""Handlers that fail or shed: what /ready says, and that everybody who looks is told why."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors import Breaker, FailureSpan, Health, Redis
from actors.worker import Worker
from actors.worker.cli.top_state import Look, View, pressed
from actors.worker.cli.top_view import rendered
from actors.worker.http.endpoints import Stats, endpoints
from actors.worker.http.port import HttpPort
from actors.worker.observe.health import is_ready
from actors.worker.observe.recent import Counts, Recent
from actors.worker.observe.snapshot import HandlerState, ProcessState
from supervisor import SpecError
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker
from tests.worker.observe.test_health import HEALTHY, healthy, worker
from tests.worker.web import get

FAILURES = FailureSpan.of("KeyError('db')", 0.0).then("OSError('down')", 60.0)


def handler(recent: Counts, **changes: Any) -> HandlerState:
    known = HandlerState("a", "p", "w/p/handlers/a", "running", 0, 0.0, 9, 0, 0, 0)
    return msgspec.structs.replace(known, recent=recent, **changes)


# -- the verdict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recent", "health", "says"),
    [
        (Counts(10, 10), Health(), "failed on 10 of its 10 messages of the last 60 s: 2 failures"),
        (Counts(10, 5), Health(), "failed on 5 of its 10"),
        (Counts(10, 4), Health(), None),
        (Counts(10, 4), Health(failing=0.4, over=5), "4 of its 10 messages of the last 5 s"),
        (Counts(1000, 1), Health(failing=0), "failed on 1 of its 1000"),
        (Counts(1000, 0), Health(failing=0), None),
        (Counts(10, 10), Health(failing=None), None),
        (Counts(0, 1), Health(), "failed on 1 of its 1"),  # it was not counted as handled yet
        (Counts(9, 0, 1), Health(), "shed 1 of its 10 messages of the last 60 s"),
        (Counts(9, 0, 1), Health(shedding=0.1), "shed 1 of its 10"),
        (Counts(9, 0, 1), Health(shedding=0.2), None),
        (Counts(9, 0, 1), Health(shedding=None), None),
        (Counts(), Health(failing=0, shedding=0), None),
    ],
)
def test_a_handler_counts_from_the_users_thresholds_on(recent, health, says):
    verdict = is_ready(healthy(handlers=(handler(recent, failures=FAILURES),), health=health))
    assert verdict.ok
    assert verdict.reasons == ()
    if says is None:
        assert verdict.degraded == ()
    else:
        (degraded,) = verdict.degraded
        assert degraded.startswith("handler a ")
        assert says in degraded


def test_an_open_breaker_is_told_with_what_opened_it():
    opened = handler(Counts(10, 10), breaker="open", failures=FAILURES)
    for health in (Health(), Health(failing=None, shedding=None)):
        (degraded,) = is_ready(healthy(handlers=(opened,), health=health)).degraded
        assert degraded == (
            "handler a is not called, its breaker is open: 2 failures, the first at"
            " 1970-01-01T00:00:00Z: KeyError('db'); the last at 1970-01-01T00:01:00Z:"
            " OSError('down')"
        )


def test_degraded_is_unready_only_where_the_user_says_so():
    bad = handler(Counts(10, 10))
    verdict = is_ready(healthy(handlers=(bad,), health=Health(unready=True)))
    assert not verdict.ok
    assert verdict.reasons == verdict.degraded
    assert is_ready(healthy(handlers=(bad,))).ok


def test_of_several_processes_each_is_named_and_many_handlers_are_a_number():
    up = ProcessState(0, 10, 0.2, 0)
    one = msgspec.structs.replace(HEALTHY, handlers=(handler(Counts(1, 1)),) * 8)
    degraded = is_ready(worker(one, processes=(up,))).degraded
    assert len(degraded) == 6
    assert degraded[0].startswith("process 0: handler a failed on 1 of its 1")
    assert degraded[-1] == "process 0: and 3 more about handlers"


def test_wrong_thresholds_are_refused():
    with pytest.raises(SpecError) as caught:
        Health(failing=1.5, shedding="x", over=0, unready=1)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 4
    with pytest.raises(SpecError, match="health must be a Health"):
        Worker(health=0.5).validate()  # type: ignore[arg-type]


# -- what handlers did lately ----------------------------------------------------------------------


def test_what_is_long_ago_does_not_count():
    recent, now = Recent(60.0, 0.0), 0.0
    assert recent.of("a", Counts(5, 5)) == Counts(5, 5)
    recent.note(now, {"a": Counts(5, 5), "idle": Counts(3)})
    while now < 200.0:
        now += 0.5
        if recent.due(now):
            recent.note(now, {"b": Counts(int(now))})
    assert recent.of("idle", Counts(3)) == Counts()
    assert recent.of("a", Counts(7, 6)) == Counts(2, 1)
    assert recent.of("new", Counts(7, 6, 1)) == Counts(7, 6, 1)
    assert recent.of("a", Counts(1, 6)) == Counts(1, 1)  # it was subscribed anew
    assert len(recent._notes) <= 8


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.integers(0, 9)), max_size=80))
def test_the_window_is_as_long_as_asked_for_and_little_longer(steps):
    recent, now, total, noted = Recent(60.0, 0.0), 0.0, 0, 0
    came: list[tuple[float, int]] = []
    for passes, handled in steps:
        now += passes
        if recent.due(now):
            recent.note(now, {"a": Counts(total)} if total != noted else {})
            noted = total
        total += handled
        came.append((now, handled))
        seen = recent.of("a", Counts(total)).handled
        assert seen >= sum(count for at, count in came if at > now - 60.0)
        # A part of the window, and what passed since the look before the last note.
        assert seen <= sum(count for at, count in came if at >= now - 60.0 - 10.0 - 60.0)


# -- a worker whose handler fails everything -----------------------------------------------------


@pytest.mark.embedded_only
class TestFailsEverything:
    """Its first error is in each of the places where an operator looks."""

    FIRST = "ConnectionRefusedError('no database')"

    def app(self, server: Any, **options: Any) -> Worker[Any]:
        app = make_worker(server, on_failure=Failures(), **options)
        numbers = iter(range(1_000_000))

        async def fails(order: Order) -> None:
            if next(numbers) == 0:
                raise ConnectionRefusedError("no database")
            raise TimeoutError("still none")

        app.channel("bad", breaker=None)(fails)

        @app.channel("fine")
        async def fine(order: Order) -> None: ...

        return app

    async def fail(self, server: Any, app: Worker[Any]) -> None:
        async with Redis(server.host, server.port) as client:
            for number in range(5):
                await client.publish("bad", f'{{"id": {number}}}')
                await client.publish("fine", f'{{"id": {number}}}')
            await eventually(lambda: sum(one.handled for one in app.snapshot().handlers) == 10)

    async def test_in_ready(self, server):
        app = self.app(server)
        async with HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http, app:
            await self.fail(server, app)
            answer = await get(http.address, "/ready")
        assert answer.status == 200
        (degraded,) = answer.json()["degraded"]
        assert degraded.startswith("handler bad failed on 5 of its 5 messages")
        assert self.FIRST in degraded
        assert "TimeoutError('still none')" in degraded

    async def test_in_ready_as_a_reason_if_asked_for(self, server):
        app = self.app(server, health=Health(unready=True))
        async with HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http, app:
            assert (await get(http.address, "/ready")).status == 200
            await self.fail(server, app)
            answer = await get(http.address, "/ready")
        assert answer.status == 503
        assert self.FIRST in answer.json()["reasons"][0]

    async def test_in_stats(self, server):
        app = self.app(server)
        async with HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http, app:
            await self.fail(server, app)
            stats = (await get(http.address, "/stats")).json()
        assert self.FIRST in stats["ready"]["degraded"][0]
        (snapshot,) = stats["worker"]["snapshots"]
        bad, fine = snapshot["handlers"]
        assert bad["failures"]["first_error"] == self.FIRST
        assert bad["failures"]["count"] == 5
        assert bad["recent"] == {"handled": 5, "failed": 5, "shed": 0}
        assert fine["failures"] is None
        first, then = snapshot["recent_failures"]  # folded: two lines of code raised five errors
        assert (first["count"], first["error"]) == (1, self.FIRST)
        assert (then["count"], then["error"]) == (4, "TimeoutError('still none')")
        assert then["first_at"] <= then["at"]
        assert "test_degraded.py:" in then["place"]

    async def test_in_top(self, server):
        app = self.app(server)
        async with app:
            await self.fail(server, app)
            worker_snapshot = app.worker_snapshot()
        verdict = is_ready(worker_snapshot)
        seen = Look.of(Stats(verdict, verdict, worker_snapshot), None)
        console = Console(width=400, record=True, file=io.StringIO())
        console.print(rendered(seen, View(), height=40, problem=""))
        text = console.export_text()
        assert "degraded" in text.splitlines()[0]
        assert self.FIRST in text
        assert "fails: 4 times since " in text
        chosen = next(row.key for row in seen.rows if row.handler.name == "bad")
        console.print(rendered(seen, pressed(View(), "\r", [chosen]), height=40, problem=""))
        (line,) = [one for one in console.export_text().splitlines() if "5 in all" in one]
        assert "TimeoutError('still none')" in line


@pytest.mark.embedded_only
async def test_a_breaker_that_opened_is_in_ready_with_its_first_error_until_it_closes(server):
    app, bad = make_worker(server, on_failure=Failures()), [True]

    @app.channel("bad", breaker=Breaker(3, 0.1))
    async def fails(order: Order) -> None:
        if bad[0]:
            raise ValueError(f"order {order.id}")

    async with app, Redis(server.host, server.port) as client:

        async def says(*texts: str) -> bool:
            degraded = " ".join(is_ready(app.worker_snapshot()).degraded)
            return all(text in degraded for text in texts)

        for number in range(3):
            await client.publish("bad", f'{{"id": {number}}}')
        await eventually(lambda: says("its breaker is open: 3 failures", "order 0", "order 2"))
        bad[0] = False

        async def closed() -> bool:
            await client.publish("bad", '{"id": 9}')
            return app.snapshot().handlers[0].breaker == "closed"

        await eventually(closed)
        assert not await says("breaker")


@pytest.mark.embedded_only
async def test_a_handler_that_sheds_is_degraded(server):
    go = asyncio.Event()
    app = make_worker(server, drain_timeout=0.2)

    @app.channel("slow", mailbox=2, overflow="drop_oldest")
    async def slow(message) -> None:
        await go.wait()

    async with app, Redis(server.host, server.port) as client:
        assert is_ready(app.worker_snapshot()).degraded == ()
        for _ in range(10):
            await client.publish("slow", "x")
        await eventually(
            lambda: "handler slow shed " in str(is_ready(app.worker_snapshot()).degraded)
        )
        go.set()


@pytest.mark.embedded_only
async def test_payloads_that_do_not_decode_are_failures_too(server):
    app = make_worker(server, on_failure=Failures())

    @app.channel("orders")
    async def on_order(order: Order) -> None: ...

    async with app, Redis(server.host, server.port) as client:
        for _ in range(3):
            await client.publish("orders", "{")
        await eventually(lambda: "3 of its 3" in str(is_ready(app.worker_snapshot()).degraded))
        assert "DecodeError" in str(is_ready(app.worker_snapshot()).degraded)
