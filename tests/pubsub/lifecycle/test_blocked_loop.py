"""Who holds the loop is named, whatever kind of handler it is."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest

from actors import Actor, Handler
from tests.pubsub.helpers import client_of
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


class Holds(Actor[Any]):
    """Blocks in a plain ``receive``."""

    def receive(self, message: Any) -> None:
        time.sleep(0.25)


def holds(message: Any) -> None:
    time.sleep(0.25)


async def holds_async(message: Any) -> None:
    await asyncio.sleep(0)
    time.sleep(0.25)


async def computes(message: Any) -> None:
    until = time.monotonic() + 0.25
    while time.monotonic() < until:
        pass


async def keeps_the_lock(message: Any) -> None:
    """One call that gives no other thread a chance to look."""
    begun, size = time.monotonic(), 20
    while time.monotonic() - begun < 0.3:
        begun, size = time.monotonic(), size + 1
        re.fullmatch("(a+)+b", "a" * size)


@pytest.mark.parametrize(
    "handler",
    [holds, holds_async, computes, keeps_the_lock, Holds, Handler(holds, concurrency=2)],
    ids=["plain", "async", "computes", "lock", "actor", "concurrent"],
)
async def test_a_handler_that_holds_the_loop_is_named(
    shared_server: AnyServer, handler: Any, caplog, full_speed
):
    async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": handler}):
        await client.publish("a", "x")
        await eventually(lambda: "handler_holds_the_loop" in caplog.text)
    line = next(r.getMessage() for r in caplog.records if "holds_the_loop" in r.getMessage())
    assert "/handlers/a" in line
    assert f"{__name__.rpartition('.')[2]}.py:" in line  # and where
    assert "in_thread=True" in line


async def test_those_that_give_way_are_not(shared_server: AnyServer, caplog, full_speed):
    """Neither one that takes long with many breaks, nor many that take a little each."""
    done = 0

    async def long(message: Any) -> None:
        nonlocal done
        for _ in range(60):
            time.sleep(0.005)
            await asyncio.sleep(0)
        done += 1

    def short(message: Any) -> None:
        nonlocal done
        time.sleep(0.005)
        done += 1

    handlers: dict[str, Any] = {f"short{number}": short for number in range(60)}
    async with (
        client_of(shared_server) as client,
        client.pubsub(channel_handlers={"long": long, **handlers}),
    ):
        for name in ("long", *handlers):
            await client.publish(name, "x")
        await eventually(lambda: done == 61)
    assert "holds_the_loop" not in caplog.text


async def test_the_watch_of_a_loop_ends_with_the_loops_thread(shared_server: AnyServer):
    """An exception in the watching thread would fail this test, by pytest's own means."""

    async def briefly() -> None:
        async with client_of(shared_server) as client, client.pubsub(channel_handlers={"a": holds}):
            watching.extend(one for one in watches() if one not in before)

    before = watches()
    watching: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: asyncio.run(briefly()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(watching) == 1
    await eventually(lambda: not watching[0].is_alive())


def watches() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "mailslot: watches the loop"]
