"""A worker in a thread: its start, how it is, its end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from actors import Redis, exceptions
from actors.worker.process.thread_host import Host
from tests.support import eventually
from tests.worker.helpers import make_worker

pytestmark = pytest.mark.embedded_only


@pytest.fixture
def ended():
    return threading.Event()


@pytest.fixture
def host(ended):
    """Host an app, and stop it at the end."""
    hosts = []

    def begin(app):
        hosts.append(Host(app, ended.set))
        hosts[-1].start()
        return hosts[-1]

    yield begin
    for one in hosts:
        one.stop()
        assert ended.wait(20)


def nowhere(**options):
    """A worker of a server that does not answer."""
    app = make_worker("redis://127.0.0.1:1", **options)

    @app.channel("orders")
    async def on_order(data: bytes) -> None: ...

    return app


async def within(future, timeout=20.0):
    return await asyncio.wait_for(asyncio.wrap_future(future), timeout)


async def test_a_hosted_worker_handles_messages_and_drains(shared_server, host, ended):
    app, heard = make_worker(shared_server), []

    @app.channel("orders")
    async def on_order(data: bytes) -> None:
        heard.append((data, threading.current_thread().name))

    hosted = host(app)
    await within(hosted.started)
    report = hosted.report(5.0)
    assert (report.state, report.ready, report.reasons) == ("running", True, ())
    async with Redis.from_url(shared_server.url) as client:
        assert await client.publish("orders", b"tea") == 1
    await eventually(lambda: heard == [(b"tea", "mailslot-worker")])
    assert not ended.is_set()
    hosted.stop()
    drained = await within(hosted.drained)
    assert (drained.in_time, drained.left) == (True, 0)
    assert await asyncio.to_thread(ended.wait, 20)
    assert hosted.report(5.0).state == "stopped"


async def test_a_worker_that_cannot_start_says_why(host, ended):
    hosted = host(nowhere(start_timeout=0.3))
    with pytest.raises(exceptions.ConnectionError, match="refused"):
        await within(hosted.started)
    assert await within(hosted.drained) is None
    assert await asyncio.to_thread(ended.wait, 20)


async def test_a_worker_that_waits_for_its_server_gives_up_when_it_is_stopped(host, ended):
    hosted = host(nowhere(start_timeout=None))
    await eventually(lambda: hosted.report(5.0).state == "starting")
    hosted.stop()
    assert await within(hosted.drained) is None
    assert await asyncio.to_thread(ended.wait, 20)


async def test_a_worker_whose_event_loop_is_held_is_silent(shared_server, host):
    app, held, go_on = make_worker(shared_server), threading.Event(), threading.Event()

    @app.channel("orders")
    async def on_order(data: bytes) -> None:
        held.set()
        go_on.wait(20)

    hosted = host(app)
    await within(hosted.started)
    async with Redis.from_url(shared_server.url) as client:
        await client.publish("orders", b"tea")
    assert await asyncio.to_thread(held.wait, 20)
    began = time.monotonic()
    report = await asyncio.to_thread(hosted.report, 0.2)
    assert time.monotonic() - began < 10
    assert (report.state, report.ready) == ("silent", False)
    assert "has not answered for 0.2 s" in report.reasons[0]
    go_on.set()
    await eventually(lambda: hosted.report(5.0).state == "running")


async def test_a_worker_that_ends_by_itself_is_told(host, ended):
    app = nowhere()

    @app.on_startup
    async def fail() -> None:
        raise ValueError("no shop")

    hosted = host(app)
    with pytest.raises(ValueError, match="no shop"):
        await within(hosted.started)
    assert await asyncio.to_thread(ended.wait, 20)
    assert not hosted.asked
