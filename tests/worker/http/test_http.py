"""Health, metrics and the tree over HTTP, of workers on real servers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors import Actor, Redis
from actors.testing.proxies.proxy import FaultProxy
from actors.worker import Worker
from actors.worker.http.endpoints import endpoints
from actors.worker.http.hosts import parse_address
from actors.worker.http.port import HttpPort
from actors.worker.observe.health import is_ready
from tests.support import eventually
from tests.worker.helpers import Failures, Order, make_worker
from tests.worker.web import get

pytestmark = pytest.mark.embedded_only


@asynccontextmanager
async def serving(app: Worker[Any]):
    async with HttpPort(("127.0.0.1", 0), endpoints(app.worker_snapshot)) as http:
        yield http


def orders(where: Any, **options: Any) -> Worker[Any]:
    app = make_worker(where, **options)

    @app.channel("orders")
    async def on_order(order: Order) -> None:
        if order.item == "raise":
            raise RuntimeError("no")

    return app


async def status(http: HttpPort, path: str) -> int:
    return (await get(http.address, path)).status


async def is_status(http: HttpPort, path: str, code: int) -> bool:
    return await status(http, path) == code


async def test_what_there_is(server):
    app = orders(server, on_failure=Failures(), probe_interval=3.0, name="shop")
    async with serving(app) as http:
        assert await status(http, "/live") == 200
        assert await status(http, "/ready") == 503
        async with app, Redis(server.host, server.port) as client:
            await eventually(lambda: is_status(http, "/ready", 200))
            await client.publish("orders", '{"id": 1}')
            await client.publish("orders", '{"id": 2, "item": "raise"}')
            await eventually(lambda: app.snapshot().failed == 1)
            tree = await get(http.address, "/tree")
            assert tree.type == "application/json"
            assert tree.json()["id"] == "shop"
            assert "orders" in str(tree.json())
            stats = (await get(http.address, "/stats")).json()
            (handler,) = stats["worker"]["snapshots"][0]["handlers"]
            assert (handler["name"], handler["handled"], handler["failed"]) == ("orders", 2, 1)
            assert stats["ready"]["ok"]
            metrics = (await get(http.address, "/metrics")).body.decode()
            head = await get(http.address, "/live", "HEAD")
            assert (head.status, head.body) == (200, b"")
            assert await status(http, "/nothing") == 404
            assert (await get(http.address, "/live", "POST")).status == 405
        assert await status(http, "/ready") == 503
        assert await status(http, "/live") == 503
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    of_orders = (("handler", "orders"), ("process", "0"))
    assert values[("mailslot_ready",)] == 1
    assert values[("mailslot_handler_handled_total", *of_orders)] == 2
    assert values[("mailslot_handler_failed_total", *of_orders)] == 1
    assert values[("mailslot_mailbox_messages", *of_orders)] == 0
    assert ("python_info",) in {key[:1] for key in values}  # the user's own registry


async def test_an_outage_of_the_broker_is_no_reason_to_restart(server):
    app = orders(server, probe_interval=1.0)
    async with serving(app) as http, app:
        await eventually(lambda: is_status(http, "/ready", 200))
        server.kill()
        await eventually(lambda: is_status(http, "/ready", 503))
        assert await status(http, "/live") == 200
        await server.start()
        await eventually(lambda: is_status(http, "/ready", 200), 15)


async def test_a_path_that_swallows_messages_is_found_and_restarted(server):
    """TCP works, PING is answered, subscriptions are acknowledged: and nothing arrives."""
    interval = 1.2
    async with FaultProxy(server.host, server.port) as proxy:
        app = orders(f"redis://127.0.0.1:{proxy.port}", probe_interval=interval)
        async with serving(app) as http, app:
            await eventually(lambda: is_status(http, "/ready", 200))
            accepted = proxy.accepted
            loop = asyncio.get_running_loop()
            proxy.drop_pushes = True
            begun, begun_at = loop.time(), time.time()
            await eventually(lambda: is_status(http, "/ready", 503))
            assert loop.time() - begun <= interval + 0.1  # the look takes a moment, too
            assert await status(http, "/live") == 200
            await eventually(lambda: proxy.accepted > accepted)
            (path,) = app.snapshot().paths
            assert path.restarts >= 1
            await eventually(lambda: has_gap(app, "does not deliver"))
            # It begins with the last proof, though bytes came until the end.
            first = next(g for g in app.snapshot().recent_gaps if "does not deliver" in g.reason)
            assert begun_at - interval / 2 <= first.since <= begun_at
            proxy.drop_pushes = False
            await eventually(lambda: is_status(http, "/ready", 200), 10)
            heard: list[str] = [path.node for path in app.snapshot().paths]
            assert heard == ["server"]


def has_gap(app: Worker[Any], reason: str) -> bool:
    return any(reason in gap.reason for gap in app.snapshot().recent_gaps)


async def test_a_depth_and_its_age_are_seen(server):
    app = make_worker(server, drain_timeout=0.2)

    @app.channel("stuck")
    async def stuck(message) -> None:
        await asyncio.sleep(60)

    async with app, Redis(server.host, server.port) as client:
        for _ in range(4):
            await client.publish("stuck", "x")
        await eventually(lambda: app.snapshot().handlers[0].depth == 3)
        await eventually(lambda: app.snapshot().handlers[0].age > 0.5)


async def test_what_came_is_counted_without_the_probes(server):
    app = orders(server, probe_interval=1.5)
    async with app, Redis(server.host, server.port) as client:
        await client.publish("orders", '{"id": 1}')
        await eventually(lambda: app.snapshot().received >= 1)
        assert app._run.components is not None
        ((_, paths),) = app._run.components.paths
        before = paths.came_back
        await eventually(lambda: paths.came_back >= before + 3, 20)
        assert app.snapshot().received == 1


async def test_it_is_not_ready_before_a_probe_came_back(server):
    app = orders(server, probe_interval=5.0)
    async with app:
        verdict = is_ready(app.worker_snapshot())
        assert "no proof of delivery yet" in verdict.reasons[0]
        await eventually(lambda: is_ready(app.worker_snapshot()).ok)


async def test_an_actor_that_does_not_come_up_is_not_ready(server):
    app = orders(server)

    @app.channel("broken")
    class Broken(Actor[Order]):
        async def on_start(self) -> None:
            raise RuntimeError("no database")

    async with app:
        await eventually(lambda: "no database" in str(is_ready(app.worker_snapshot()).reasons))
        reasons = is_ready(app.worker_snapshot()).reasons
        assert all(reason.startswith("handler broken is ") for reason in reasons)


async def test_whoever_speaks_something_else_is_let_go(server):
    app = orders(server)
    async with serving(app) as http:
        reader, writer = await asyncio.open_connection(*http.address)
        writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        reader, writer = await asyncio.open_connection(*http.address)
        writer.write(
            b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2
        )  # one connection, two answers
        answers = b""
        while answers.count(b'{"ok"') < 2:
            answers += await reader.read(4096)
        writer.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [("8080", ("127.0.0.1", 8080)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:2", ("::1", 2))],
)
def test_addresses(text, address):
    assert parse_address(text) == address
