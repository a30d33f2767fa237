"""What an operator reads: few lines, each with the cause, none twice."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.pubsub.helpers import (
    QUICK,
    Heard,
    client_of,
    data_of,
    drain,
    kill_subscribers,
    publish_many,
)
from tests.servers import AnyServer
from tests.support import eventually

# Nothing here depends on whose server it is.
pytestmark = pytest.mark.embedded_only


@pytest.fixture
def lines(caplog):
    """The lines of level warning and above, so far."""
    caplog.set_level(logging.WARNING)

    def read() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    return read


async def test_a_life_without_faults_says_nothing(shared_server: AnyServer, lines):
    heard = Heard()
    async with client_of(shared_server) as client:
        async with client.pubsub(channels=["a"], channel_handlers={"b": heard}) as p:
            await p.subscribe("c")
            await publish_many(client, "a", 100)
            await publish_many(client, "b", 100)
            await data_of(p, 100)
            await heard.wait(100)
            await p.unsubscribe("c", "unknown")
            await p.psubscribe("x*")
            await drain(p)
        async with client.pubsub(channels=["a"]):
            pass
    assert lines() == []


async def test_a_lost_connection_is_a_line_for_the_loss_and_one_for_the_gap(
    server: AnyServer, lines
):
    names = [f"channel-{i}" for i in range(500)]
    async with client_of(server) as client, client.pubsub(channels=names) as p:
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 500)
        await eventually(lambda: "event='gap'" in lines()[-1])
    said = lines()
    assert len(said) <= 3
    loss, gap = said[0], said[-1]
    assert "readers/connection" in loss
    assert "the server closed it" in loss
    assert "event='gap'" in gap
    assert "targets=500" in gap
    assert "seconds=0." in gap
    assert "reason='connection lost: the server closed it'" in gap


async def test_an_outage_says_why_it_lasts(server: AnyServer, lines):
    async with (
        client_of(server) as client,
        client.pubsub(channel_handlers={"a": Heard()}, retry_policy=QUICK) as p,
    ):
        await server.stop()
        await eventually(lambda: sum("refused" in line for line in lines()) >= 2)
        await server.start()
        await eventually(lambda: p.stats().gaps == 1)
    refused = next(line for line in lines() if "refused" in line)
    assert f"cannot connect to {server.host}:{server.port}: connection refused" in refused
    assert "check host and port, and that the server runs" in refused
    assert sum("event='gap'" in line for line in lines()) == 1


async def test_shed_messages_do_not_flood_the_log(shared_server: AnyServer, lines):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], mailbox=10) as p,
    ):
        await publish_many(client, "a", 5000)
        await eventually(lambda: p.stats().received == 5000)
    assert len(lines()) <= 1


async def test_leaving_in_an_outage_adds_nothing(server: AnyServer, lines):
    async with client_of(server) as client:
        async with client.pubsub(channels=["a"], channel_handlers={"b": Heard()}) as p:
            server.kill()
            await eventually(lambda: p.connection is None)
            await asyncio.sleep(0.05)
            before = len(lines())
        assert lines()[before:] == []


async def test_a_consumer_that_sheds_is_a_line_in_a_while(shared_server: AnyServer, lines):
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], mailbox=10, ignore_subscribe_messages=True) as p,
    ):
        for _ in range(5):
            await publish_many(client, "a", 100)
        await eventually(lambda: p.stats().shed == 490)
        (line,) = lines()
    assert "'messages_shed'" in line
    assert "capacity=10 overflow='drop_oldest'" in line


async def test_a_gap_or_a_lag_is_no_message_that_a_handler_handled(server: AnyServer):
    heard = Heard()
    async with (
        client_of(server) as client,
        client.pubsub(
            channel_handlers={"a": heard}, on_gap=lambda _: None, retry_policy=QUICK
        ) as p,
    ):
        for turn in range(1, 4):
            kill_subscribers(server)
            await eventually(lambda n=turn: p.stats().gaps == n)
        await client.publish("a", "1")
        await heard.wait(1)
        parts = p._session.tree
        assert parts is not None
        await eventually(lambda: _processed(parts.system) == 1)


def _processed(system) -> int:
    def walk(node) -> int:
        own = node.detail.get("processed", 0) if "handlers/" in node.path else 0
        return own + sum(walk(child) for child in node.children)

    return walk(system.tree())
