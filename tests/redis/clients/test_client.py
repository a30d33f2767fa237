from __future__ import annotations

import asyncio
import inspect
import ssl
from pathlib import Path
from typing import Any

import pytest

from actors.client import Redis
from actors.cluster import RedisCluster
from actors.redis.clients.client_options import ClientOptions, URLOptions
from actors.redis.config.credentials import UserPassCredentialProvider
from actors.redis.exceptions import (
    AuthenticationFailureError,
    ConnectionError,  # noqa: A004
    DataError,
    ReplyTimeoutError,
    UnknownCommandError,
)
from actors.redis.pools.connection_pool import ConnectionPool
from actors.testing import EmbeddedServer
from supervisor.model.retry_policy import ConstantRetryPolicy, NoRetryPolicy
from tests.redis.helpers import HELLO, peer, says
from tests.support import eventually


@pytest.fixture
async def client(shared_server):
    async with Redis.from_url(shared_server.url, decode_responses=True) as client:
        yield client


async def subscribed(client, *command):
    """Yield a connection that ``command`` subscribed, and the list of its pushes."""
    connection = await client.connection_pool.open_dedicated()
    pushes: list[Any] = []
    connection.on_push = pushes.append
    connection.write(b" ".join(command) + b"\r\n")
    await eventually(lambda: len(pushes) == len(command) - 1)
    pushes.clear()
    return connection, pushes


async def test_publish_counts_its_receivers_and_they_get_the_message(client):
    _, pushes = await subscribed(client, b"SUBSCRIBE", b"news")
    assert await client.publish("news", "é") == 1
    assert await client.publish(b"news", b"\xff\x00") == 1
    assert await client.publish("news", 7) == 1
    assert await client.publish("other", "x") == 0
    await eventually(lambda: len(pushes) == 3)
    assert [push[2] for push in pushes] == ["é".encode(), b"\xff\x00", b"7"]


async def test_spublish(client):
    _, pushes = await subscribed(client, b"SSUBSCRIBE", b"shard")
    assert await client.spublish("shard", "x") == 1
    await eventually(lambda: pushes == [[b"smessage", b"shard", b"x"]])


async def test_who_is_subscribed(client):
    await subscribed(client, b"SUBSCRIBE", b"one", b"two")
    await subscribed(client, b"SUBSCRIBE", b"one")
    await subscribed(client, b"PSUBSCRIBE", b"p*", b"q*")
    await subscribed(client, b"SSUBSCRIBE", b"{s}1", b"{s}2")
    assert await client.pubsub_channels() == {"one", "two"}
    assert await client.pubsub_channels("t*") == {"two"}
    assert await client.pubsub_numsub("one", "two", "none") == {"one": 2, "two": 1, "none": 0}
    assert await client.pubsub_numsub() == {}
    assert await client.pubsub_numpat() == 2
    assert await client.pubsub_shardchannels() == {"{s}1", "{s}2"}
    assert await client.pubsub_shardchannels("*1") == {"{s}1"}
    assert await client.pubsub_shardnumsub("{s}1", "x") == {"{s}1": 1, "x": 0}


async def test_ping_and_echo(client):
    assert await client.ping() == "PONG"
    assert await client.ping("hello") == "hello"
    assert await client.echo("é") == "é"


async def test_any_other_command_by_words_or_in_one(client):
    assert await client.execute_command("SET", "key", "value") == "OK"
    assert await client.execute_command("GET", "key") == "value"
    assert await client.execute_command("CONFIG GET", "port") == {
        "port": str(client.connection_pool.location.port)
    }
    assert await client.execute_command(b"OBJECT ENCODING", "key") == "embstr"
    with pytest.raises(UnknownCommandError):
        await client.execute_command("NOSUCH")
    with pytest.raises(DataError):
        await client.execute_command("SET", "key", None)
    with pytest.raises(DataError, match="no command"):
        await client.execute_command()
    assert await client.ping() == "PONG"


async def test_replies_are_bytes_unless_decoding_is_asked_for(shared_server):
    async with Redis(shared_server.host, shared_server.port) as client:
        assert await client.ping() == b"PONG"
        assert await client.execute_command("HELLO") == {**await client.execute_command("HELLO")}
        await client.execute_command("HSET", "hash", "field", b"\xff")
        assert await client.execute_command("HGETALL", "hash") == {b"field": b"\xff"}
    async with Redis(
        shared_server.host, shared_server.port, decode_responses=True, encoding="latin-1"
    ) as client:
        assert await client.execute_command("HGETALL", "hash") == {"field": "ÿ"}
        await client.execute_command("SET", "key", "é")
    async with Redis.from_url(shared_server.url, decode_responses=True) as client:
        # The byte of é in Latin-1 is not valid UTF-8: the reply stays bytes.
        assert await client.execute_command("GET", "key") == b"\xe9"
        assert await client.execute_command("HGETALL", "hash") == {"field": b"\xff"}


async def test_many_at_once_stay_within_the_limit(shared_server):
    async with Redis(shared_server.host, shared_server.port, max_connections=3) as client:
        replies = await asyncio.gather(*(client.echo(str(number)) for number in range(200)))
        assert replies == [str(number).encode() for number in range(200)]
        assert client.connection_pool.idle <= 3


async def test_database_name_and_switches(shared_server):
    host, port = shared_server.host, shared_server.port
    async with Redis(host, port, 3, client_name="me", noevict=True) as client:
        info = (await client.execute_command("CLIENT INFO")).decode()
    assert " db=3 " in info
    assert " name=me " in info
    async with Redis.from_url(f"{shared_server.url}/4", db=5) as client:
        assert b" db=4 " in await client.execute_command("CLIENT INFO")
    async with Redis.from_url(shared_server.url, db=5) as client:
        assert b" db=5 " in await client.execute_command("CLIENT INFO")


async def test_unix_sockets():
    async with EmbeddedServer(unix_socket=True) as server:
        assert server.unix_socket_path is not None
        async with Redis(unix_socket_path=server.unix_socket_path) as client:
            assert await client.ping() == b"PONG"
        async with Redis(unix_socket_path=Path(server.unix_socket_path)) as client:
            assert await client.ping() == b"PONG"
        async with Redis.from_url(f"{server.url}?db=2") as client:
            assert b" db=2 " in await client.execute_command("CLIENT INFO")


async def test_a_pool_of_ones_own_can_be_shared(shared_server):
    pool = ConnectionPool(host=shared_server.host, port=shared_server.port, decode_responses=True)
    async with pool:
        for _ in range(2):
            async with Redis(connection_pool=pool, decode_responses=True) as client:
                assert client.decode_responses
                assert client.connection_pool is pool
                assert await client.ping() == "PONG"
        assert pool.idle == 1


async def test_passwords_and_providers(make_server):
    server = make_server({"requirepass": "secret"})
    async with Redis(server.host, server.port, password="no") as client:
        with pytest.raises(AuthenticationFailureError):
            await client.ping()
    provider = UserPassCredentialProvider(password="secret")
    async with Redis(server.host, server.port, credential_provider=provider) as client:
        assert await client.ping() == b"PONG"
    url = server.url.replace("://", "://:secret@")
    async with Redis.from_url(url) as client:
        assert await client.ping() == b"PONG"


async def test_use_before_entering_says_what_to_do(shared_server):
    with pytest.raises(RuntimeError, match="async with client"):
        await Redis.from_url(shared_server.url).ping()


async def test_noreply_is_fire_and_forget(shared_server, client):
    for each in (
        Redis.from_url(shared_server.url, noreply=True),
        Redis.from_url(f"{shared_server.url}?noreply=yes"),
        Redis(connection_pool=client.connection_pool, noreply=True),
    ):
        assert each.noreply
        async with each:
            assert await each.execute_command("SET", "noreply", 1) is None
            assert await each.publish("c", "m") == 0
            assert await each.pubsub_channels() == set()
            assert await each.pubsub_numsub("c") == {}
            await eventually(lambda: _equals(client, "noreply", "1"))
        await client.execute_command("DEL", "noreply")
    assert await client.ping() == "PONG"


# --- failures -------------------------------------------------------------------------------------


async def test_a_restarted_server_costs_no_command(server):
    async with Redis(server.host, server.port) as client:
        await client.ping()
        for _ in range(3):
            await server.restart()
            assert await client.publish("c", "m") == 0


async def test_without_a_policy_nothing_is_retried(server):
    server.kill()
    async with Redis(server.host, server.port, retry_policy=None) as client:
        with pytest.raises(ConnectionError, match="connection refused"):
            await client.ping()


async def test_connecting_is_retried_by_the_policy(server):
    server.kill()
    policy = ConstantRetryPolicy((ConnectionError,), retries=None, deadline=10, delay=0.02)
    async with Redis(server.host, server.port, retry_policy=policy) as client:
        publishing = asyncio.create_task(client.publish("c", "m"))
        await asyncio.sleep(0.1)
        assert not publishing.done()
        await server.restart()
        assert await publishing == 0


async def test_a_command_that_was_sent_is_never_sent_again():
    seen = []

    async def handler(reader, writer):
        await reader.read(1000)
        writer.write(HELLO)
        seen.append(await reader.read(1000))

    async with peer(handler) as port:
        async with Redis("127.0.0.1", port) as client:
            with pytest.raises(ConnectionError, match="is closed"):
                await client.publish("channel", "message")
            assert len(seen) == 1
            # A command that changes nothing is sent again: three attempts.
            with pytest.raises(ConnectionError):
                await client.ping()
            assert len(seen) == 4
        async with Redis("127.0.0.1", port, retry_policy=NoRetryPolicy()) as client:
            with pytest.raises(ConnectionError):
                await client.ping()
            assert len(seen) == 5


async def test_a_port_that_nobody_listens_on(server):
    server.kill()
    async with Redis(server.host, server.port) as client:
        with pytest.raises(ConnectionError, match="refused"):
            await client.ping()


async def test_a_reply_that_does_not_come_in_time():
    async with (
        peer(says(HELLO)) as port,
        Redis("127.0.0.1", port, stream_timeout=0.05) as client,
    ):
        with pytest.raises(ReplyTimeoutError, match=r"did not answer within 0\.05 s"):
            await client.publish("channel", "message")
        assert client.connection_pool.idle == 0


async def test_a_cancelled_command_gives_its_connection_up(client):
    pool = client.connection_pool
    task = asyncio.create_task(client.execute_command("BLPOP", "nothing", 0))
    await eventually(lambda: pool.in_use == 1)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pool.in_use, pool.idle) == (0, 0)
    assert await client.ping() == "PONG"


# --- the constructor ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cache", "type_adapter"])
def test_what_is_not_supported_says_so(name):
    option: Any = {name: object()}
    with pytest.raises(NotImplementedError, match=name):
        Redis(**option)
    with pytest.raises(NotImplementedError, match=name):
        Redis.from_url("redis://h", **option)


def test_what_is_unknown_or_senseless_is_refused():
    option: Any = {"tiemout": 1}
    with pytest.raises(TypeError, match="tiemout"):
        Redis(**option)
    with pytest.raises(TypeError, match="tiemout"):
        Redis.from_url("redis://h", **option)
    with pytest.raises(ValueError, match="tiemout"):
        Redis.from_url("redis://h?tiemout=1")
    with pytest.raises(ValueError, match="no TLS on unix sockets"):
        Redis(unix_socket_path="/s", ssl=True)
    with pytest.raises(ValueError, match="ssl_cert_reqs"):
        Redis(ssl=True, ssl_cert_reqs="maybe")  # type: ignore[call-overload]


def test_tls_by_option():
    assert Redis(ssl=True).connection_pool.settings.ssl_context is not None
    assert Redis().connection_pool.settings.ssl_context is None
    mine = ssl.create_default_context()
    assert Redis(ssl_context=mine).connection_pool.settings.ssl_context is mine
    assert RedisCluster(ssl_context=mine).connection_pool.settings.ssl_context is mine


@pytest.mark.parametrize("client", [Redis, RedisCluster])
@pytest.mark.parametrize(
    "name", ["ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs"]
)
def test_options_for_tls_without_tls_are_refused_instead_of_going_on_in_plain_text(client, name):
    value: Any = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}.get(name, "/path")
    with pytest.raises(ValueError, match=f"^{name} without TLS: add ssl=True"):
        client(**{name: value})
    with pytest.raises(ValueError, match=f"{name} need TLS: use a rediss:// or valkeys:// URL"):
        client.from_url("redis://h", **{name: value})


@pytest.mark.parametrize("client", [Redis, RedisCluster])
@pytest.mark.parametrize("option", [{"host": "x"}, {"port": 1}, {"host": "x", "port": 1}])
def test_a_place_beside_a_url_is_refused(client, option):
    with pytest.raises(ValueError, match=f"^{', '.join(option)} beside a URL"):
        client.from_url("redis://h", **option)
    assert client.from_url("redis://h", **dict.fromkeys(option))


def test_the_parameters_are_those_of_the_reference():
    parameters = inspect.signature(Redis.__init__).parameters
    positional = [
        name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    assert positional == ["self", "host", "port", "db"]
    keywords = {name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert keywords == {
        *("username", "password", "credential_provider", "stream_timeout", "connect_timeout"),
        *("pool_timeout", "connection_pool", "connection_pool_cls", "unix_socket_path"),
        *("encoding", "decode_responses", "ssl", "ssl_context", "ssl_keyfile", "ssl_certfile"),
        *("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "max_connections"),
        *("max_idle_time", "client_name", "verify_version", "cache", "noreply", "noevict"),
        *("notouch", "retry_policy", "type_adapter"),
    }
    assert set(ClientOptions.__annotations__) == keywords - {"decode_responses"}
    assert set(URLOptions.__annotations__) - {"decode_components"} <= keywords


def test_the_repr_tells_where_and_no_secret():
    text = repr(Redis("h", 1, password="secret"))
    assert "h:1" in text
    assert "secret" not in text


async def _equals(client, key, value):
    return await client.execute_command("GET", key) == value
