"""The fault proxy: each fault, in front of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import ConnectionError as RedisConnectionError
from actors.redis.topology.parse import parse_nodes
from actors.redis.topology.update import at_addresses
from actors.redis.wire.connection import Connection
from actors.testing.clusters.cluster import EmbeddedCluster
from actors.testing.clusters.proxies import ClusterProxies
from actors.testing.proxies.proxy import Direction, FaultProxy
from actors.testing.servers.process import ServerProcess
from actors.testing.servers.server import EmbeddedServer
from tests.support import eventually

Connect = Callable[..., Any]
SOON = 0.15


@pytest.fixture
async def server() -> AsyncIterator[ServerProcess]:
    async with EmbeddedServer() as running:
        yield running


@pytest.fixture
async def proxy(server: ServerProcess) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.host, server.port) as running:
        yield running


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def open_one(address: tuple[str, int] | None = None) -> Connection:
            location = TCPLocation(*(address or proxy.address))
            settings = ConnectionSettings(location=location, connect_timeout=1)
            connection = await Connection.open(settings)
            stack.push_async_callback(connection.wait_closed)
            stack.callback(connection.abort)
            return connection

        yield open_one


async def silent(connection: Connection) -> bool:
    """Whether a PING gets no answer for a while and the connection stays open all the same."""
    future = connection.send_command("PING")
    await asyncio.wait([future], timeout=SOON)
    answered = future.done()
    future.cancel()
    return not answered and connection.usable


async def test_everything_passes_unchanged(proxy, connect):
    connection = await connect()
    blob = bytes(range(256)) * 2000
    assert await connection.execute("SET", "k", blob) == b"OK"
    assert await connection.execute("GET", "k") == blob
    assert (proxy.connections, proxy.accepted) == (1, 1)
    connection.close()
    await eventually(lambda: proxy.connections == 0)
    assert proxy.accepted == 1


async def test_the_end_of_the_server_reaches_the_client(server, connect):
    connection = await connect()
    server.kill()
    await eventually(lambda: not connection.usable)


@pytest.mark.parametrize("direction", list(Direction))
async def test_swallow(proxy, server, connect, direction):
    connection = await connect()
    direct = await connect((server.host, server.port))
    proxy.swallow(direction)
    connection.write(b"SET k v\r\n")
    assert await silent(connection)
    assert await direct.execute("EXISTS", "k") == (Direction.TO_SERVER not in direction)
    # What lost bytes stays lost; what comes later is well.
    proxy.heal()
    assert await silent(connection)
    assert await (await connect()).execute("PING") == b"PONG"
    proxy.cut()
    await eventually(lambda: not connection.usable and proxy.connections == 0)


async def test_swallow_hides_that_the_server_is_gone(proxy, server, connect):
    connection = await connect()
    proxy.swallow()
    server.kill()
    assert await silent(connection)
    with pytest.raises(TimeoutError):
        await connect()


async def test_pause_holds_everything_back_and_resume_loses_nothing(proxy, connect):
    connection = await connect()
    proxy.pause()
    futures = [connection.send_command("ECHO", str(i)) for i in range(100)]
    await asyncio.wait(futures, timeout=SOON)
    assert not any(future.done() for future in futures)
    proxy.resume()
    assert [await future for future in futures] == [b"%d" % i for i in range(100)]


async def test_delay(proxy, connect):
    connection = await connect()
    loop = asyncio.get_running_loop()
    proxy.delay(0.05)
    began = loop.time()
    assert await connection.execute("PING") == b"PONG"
    assert 0.1 <= loop.time() - began < 1
    # Less delay does not let later bytes overtake.
    slow = connection.send_command("ECHO", "first")
    await asyncio.sleep(0)
    proxy.delay(0)
    assert await connection.execute("ECHO", "second") == b"second"
    assert slow.done()
    assert await slow == b"first"
    with pytest.raises(ValueError, match="0 seconds or more"):
        proxy.delay(-1)


async def test_cut_resets_open_connections_and_no_others(proxy, connect):
    connections = [await connect() for _ in range(3)]
    proxy.cut()
    await eventually(lambda: not any(c.usable for c in connections) and proxy.connections == 0)
    assert isinstance(connections[0].lost, ConnectionResetError)
    assert await (await connect()).execute("PING") == b"PONG"


async def test_refuse_and_accept_on_the_same_port(proxy, connect):
    connection = await connect()
    port = proxy.port
    proxy.refuse()
    with pytest.raises(RedisConnectionError):
        await connect()
    assert await connection.execute("PING") == b"PONG"
    await proxy.accept()
    assert proxy.port == port
    assert await (await connect()).execute("PING") == b"PONG"


async def test_a_server_that_is_not_there(proxy, server, connect):
    server.kill()
    with pytest.raises(RedisConnectionError):
        await connect()
    await eventually(lambda: proxy.connections == 0)


async def test_drop_pushes_swallows_messages_and_nothing_else(proxy, server, connect):
    connection = await connect()
    pushes: list[list[Any]] = []
    connection.on_push = pushes.append
    direct = await connect((server.host, server.port))
    connection.write(b"SUBSCRIBE c\r\n")
    connection.write(b"PSUBSCRIBE c*\r\n")
    await eventually(lambda: len(pushes) == 2)
    await direct.execute("PUBLISH", "c", "seen")
    await eventually(lambda: len(pushes) == 4)

    proxy.drop_pushes = True
    assert proxy.drop_pushes
    assert await direct.execute("PUBLISH", "c", "unseen") == 2
    connection.write(b"SSUBSCRIBE s\r\n")
    await eventually(lambda: len(pushes) == 5)
    assert await direct.execute("SPUBLISH", "s", "unseen") == 1
    assert await connection.execute("PING") == b"PONG"
    assert [push[0] for push in pushes[2:]] == [b"message", b"pmessage", b"ssubscribe"]

    proxy.drop_pushes = False
    await direct.execute("SPUBLISH", "s", "seen")
    await eventually(lambda: pushes[-1][0] == b"smessage")
    assert pushes[-1][2] == b"seen"


async def test_drop_by_a_predicate(proxy, connect):
    connection = await connect()
    proxy.drop(lambda frame: b"secret" in frame)
    future = connection.send_command("ECHO", "secret")
    assert await silent(connection)
    # The lost reply's place is taken by the next: the client cannot know.
    assert future.done()
    assert await future == b"PONG"


async def test_faults_apply_to_bytes_that_are_no_resp():
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 hello\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server, FaultProxy(*server.sockets[0].getsockname()[:2]) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        assert await reader.readline() == b"\x16\x03\x01 hello\r\n"
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: proxy.connections == 0)


async def test_a_proxy_has_a_port_only_inside_its_context(server):
    proxy = FaultProxy(server.host, server.port)
    with pytest.raises(RuntimeError, match="no port"):
        _ = proxy.port
    async with proxy:
        assert proxy.port > 0
        assert proxy.target == (server.host, server.port)


async def test_leaving_ends_connections_that_hang(server, connect):
    async with FaultProxy(server.host, server.port) as own:
        connections = [await connect(own.address) for _ in range(2)]
        own.swallow()
        connections[0].write(b"PING\r\n")
        own.pause()
        connections[1].write(b"PING\r\n")
    await eventually(lambda: not any(c.usable for c in connections))


async def test_a_cluster_behind_proxies(connect):
    async with EmbeddedCluster(1, 1) as cluster, ClusterProxies(cluster.nodes) as proxies:
        node, replica = cluster.nodes
        connection = await connect(proxies[node].address)
        text = await connection.execute("CLUSTER", "NODES")
        announced = parse_nodes(text, proxies[node].address)
        view = at_addresses(announced, lambda node: proxies.address_remap(node.address))
        assert view.nodes[node.id].address == proxies[node].address
        assert view.nodes[replica.id].address == proxies[replica].address
        assert [(at.host, at.port) for at in proxies.startup_nodes] == [
            proxies[one].address for one in cluster.nodes
        ]
        assert proxies.connections == 1
        assert proxies.address_remap(("elsewhere", 1)) == ("elsewhere", 1)
