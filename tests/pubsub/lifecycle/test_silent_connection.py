"""P9: a silent connection is read on until a second one is answered; nothing comes twice."""

from __future__ import annotations

import asyncio

import pytest

from actors import Redis
from actors.testing import FaultProxy
from tests.pubsub.helpers import QUICK, Gaps, Heard, client_of, data_of, within
from tests.servers import AnyServer, ask
from tests.support import eventually


@pytest.mark.parametrize("paths", [["a"], ["a", "b", "c*"]])
async def test_p9_a_server_that_stands_still_costs_no_message(server: AnyServer, paths, caplog):
    """What is published meanwhile waits at the server, and comes on the old connection."""
    gaps, heard = Gaps(), Heard()
    names = [path.rstrip("*") for path in paths]
    async with (
        client_of(server, stream_timeout=None) as publisher,
        client_of(server) as client,
        client.pubsub(
            channel_handlers={name: heard for name in paths if "*" not in name},
            pattern_handlers={name: heard for name in paths if "*" in name},
            max_idle_seconds=0.2,
            on_gap=gaps,
        ) as p,
    ):
        await publisher.publish(names[0], "0")
        await heard.wait(1)
        connection = p.connection
        server.pause()
        published = [
            asyncio.create_task(publisher.publish(name, str(i)))
            for i in range(1, 21)
            for name in names
        ]
        await eventually(lambda: p.connection is None)
        assert p.unconfirmed(), "nothing proves that they are live"
        server.resume()
        await asyncio.gather(*published)
        await heard.wait(1 + len(published))
        await eventually(lambda: p.connection is connection)
        await publisher.publish(names[0], "last")
        await heard.wait(2 + len(published))
        for i in range(1, 21):
            assert heard.count(str(i)) == len(names)
        assert len(heard) == 2 + len(published), "each of them once"
        assert gaps == []
        assert p.stats().reconnects == 0
        assert p.unconfirmed() == []
    assert "silent_connection_speaks_again" in caplog.text


async def test_p9_a_network_that_stands_still_costs_no_message(server: AnyServer):
    heard = Heard()
    async with (
        FaultProxy(server.host, server.port) as net,
        client_of(server) as publisher,
        Redis("127.0.0.1", net.port, decode_responses=True, stream_timeout=0.2) as client,
        client.pubsub(channel_handlers={"a": heard}, max_idle_seconds=0.2) as p,
    ):
        net.pause()
        for i in range(20):
            await publisher.publish("a", str(i))
        await eventually(lambda: p.connection is None)
        net.resume()
        await heard.wait(20)
        await publisher.publish("a", "last")
        await heard.wait(21)
        assert heard == [*map(str, range(20)), "last"]
        assert p.stats().gaps == p.stats().reconnects == 0


async def test_p9_again_and_again(server: AnyServer):
    heard = Heard()
    async with (
        client_of(server, stream_timeout=None) as publisher,
        client_of(server, stream_timeout=0.1) as client,
        client.pubsub(channel_handlers={"a": heard}, max_idle_seconds=0.1) as p,
    ):
        for turn in range(5):
            server.pause()
            publishing = asyncio.create_task(publisher.publish("a", str(turn)))
            await eventually(lambda: p.connection is None)
            server.resume()
            await publishing
            await eventually(lambda: p.connection is not None)
        await heard.wait(5)
        assert heard == ["0", "1", "2", "3", "4"]
        assert p.stats().reconnects == p.stats().gaps == 0
        # The second connections are gone.
        await eventually(lambda: ask(server, "CLIENT", "LIST").count("sub=1") == 1)
        await eventually(lambda: client.connection_pool.in_use == 1)


async def test_p9_a_dead_path_is_replaced_as_soon_as_a_second_one_is_answered(
    server: AnyServer, caplog
):
    gaps, heard = Gaps(), Heard()
    async with (
        FaultProxy(server.host, server.port) as net,
        client_of(server) as publisher,
        Redis("127.0.0.1", net.port, decode_responses=True, stream_timeout=0.2) as client,
        client.pubsub(channel_handlers={"a": heard}, max_idle_seconds=0.2, on_gap=gaps) as p,
    ):
        await publisher.publish("a", "0")
        await heard.wait(1)
        net.swallow()
        assert await publisher.publish("a", "lost") == 1
        await asyncio.sleep(0.05)  # the proxy reads it, and passes nothing on
        net.heal()  # this connection is dead from now on, and new ones work
        await eventually(lambda: gaps, 15)
        assert "silent: no answer to a PING within 0.2 s" in gaps[0].reason
        assert p.stats().reconnects == 1
        await publisher.publish("a", "1")
        await heard.wait(2)
        assert heard == ["0", "1"]
        assert client.connection_pool.in_use == 1
    assert caplog.text.count("silent_connection_replaced") == 1


async def test_p9_a_server_that_stays_silent_is_given_up_and_found_again(server: AnyServer):
    gaps = Gaps()
    async with (
        client_of(server, connect_timeout=0.3, stream_timeout=0.1) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.1, on_gap=gaps, retry_policy=QUICK) as p,
    ):
        server.pause()
        await eventually(lambda: not p.nodes())
        server.resume()
        await eventually(lambda: p.stats().gaps == 1)
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]
        assert "silent" in gaps[0].reason


async def test_p9_a_server_that_dies_while_it_is_silent(server: AnyServer):
    async with (
        client_of(server) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.1, retry_policy=QUICK) as p,
    ):
        server.pause()
        await eventually(lambda: p.connection is None)
        server.kill()
        await eventually(lambda: not p.nodes())
        await server.start()
        await eventually(lambda: p.stats().gaps == 1)
        assert p.stats().reconnects == 1


async def test_p13_leaving_while_the_server_is_silent(server: AnyServer):
    async with client_of(server) as client:
        async with client.pubsub(channels=["a"], max_idle_seconds=0.1) as p:
            server.pause()
            await eventually(lambda: p.connection is None)
            left = within(2)
            left.__enter__()
        left.__exit__(None, None, None)
        assert client.connection_pool.in_use == 0
        server.resume()
