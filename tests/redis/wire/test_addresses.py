"""A name with several addresses, of which the first ones do not work."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from actors import Redis
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.config.tls import make_ssl_context
from actors.redis.exceptions import (
    AuthenticationFailureError,
    ConnectionError,  # noqa: A004
    ConnectTimeoutError,
)
from actors.redis.wire.addresses import addresses_of, delay_between, first_to_answer
from actors.redis.wire.connection import Connection
from tests.redis.helpers import Certificates, peer, says, silent, tunnel
from tests.servers import AnyServer

pytestmark = pytest.mark.embedded_only

NAME = "redis.example"
DEAD = "127.0.0.2"
ALSO_DEAD = "127.0.0.3"
Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Gives NAME the addresses that it is called with."""
    real = socket.getaddrinfo

    def gives(*addresses: str) -> None:
        def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
            asked = addresses if host == NAME else [host]
            return [found for one in asked for found in real(one, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return gives


@asynccontextmanager
async def hole(port: int) -> AsyncIterator[None]:
    """An address that answers no SYN: the queue of its listener is full."""
    sockets = [socket.create_server((DEAD, port), backlog=0)]
    for _ in range(3):
        sockets.append(socket.socket())
        sockets[-1].setblocking(False)
        sockets[-1].connect_ex((DEAD, port))
    try:
        yield
    finally:
        for one in sockets:
            one.close()


@asynccontextmanager
async def nothing(port: int) -> AsyncIterator[None]:
    yield


def dead_address(how: str, port: int) -> Any:
    return {
        "answers no SYN": lambda: hole(port),
        "refuses": lambda: nothing(port),
        "accepts and is silent": lambda: peer(silent, host=DEAD, port=port),
        "accepts and drops": lambda: peer(says(b"", then_close=True), host=DEAD, port=port),
        "is no Redis": lambda: peer(says(b"HTTP/1.1 400\r\n\r\n"), host=DEAD, port=port),
        "is loading": lambda: peer(says(b"-LOADING wait\r\n"), host=DEAD, port=port),
    }[how]()


HOWS = [
    "answers no SYN",
    "refuses",
    "accepts and is silent",
    "accepts and drops",
    "is no Redis",
    "is loading",
]


@pytest.mark.parametrize("how", HOWS)
async def test_the_address_that_works_is_used(shared_server: AnyServer, resolve: Resolve, how):
    resolve(DEAD, "127.0.0.1")
    async with (
        dead_address(how, shared_server.port),
        Redis(NAME, shared_server.port, connect_timeout=60) as client,
        client.pubsub(channels=["a"], start_timeout=30) as pubsub,
    ):
        assert await client.ping() == b"PONG"
        assert pubsub.subscribed


async def test_two_dead_addresses_before_it(shared_server: AnyServer, resolve: Resolve):
    resolve(DEAD, ALSO_DEAD, "127.0.0.1")
    async with (
        hole(shared_server.port),
        peer(silent, host=ALSO_DEAD, port=shared_server.port),
        Redis(NAME, shared_server.port, connect_timeout=60) as client,
    ):
        assert await client.ping() == b"PONG"


async def test_the_first_address_is_preferred(shared_server: AnyServer, resolve: Resolve):
    called = asyncio.Event()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()

    resolve("127.0.0.1", DEAD)
    async with peer(second, host=DEAD, port=shared_server.port):
        connection = await Connection.open(at(shared_server.port))
        connection.close()
        await connection.wait_closed()
    assert not called.is_set()


def at(port: int, **options: Any) -> ConnectionSettings:
    return ConnectionSettings(location=TCPLocation(NAME, port), **options)


async def test_the_error_names_each_address_and_what_happened(resolve: Resolve):
    resolve("127.0.0.1", DEAD, ALSO_DEAD)
    async with peer(says(b"", then_close=True)) as port:
        with pytest.raises(ConnectionError) as caught:
            await Connection.open(at(port))
    text = str(caught.value)
    assert text.startswith(f"cannot connect to {NAME}:{port}: 127.0.0.1: the connection")
    assert "the server closed it" in text
    assert f"; {DEAD} and {ALSO_DEAD}: connection refused; check host and port" in text
    assert isinstance(caught.value.__cause__, ConnectionError)


async def test_the_timeout_names_each_address_and_what_is_missing(resolve: Resolve):
    resolve("127.0.0.1", DEAD, ALSO_DEAD)
    async with peer(silent) as port, hole(port):
        with pytest.raises(ConnectTimeoutError) as caught:
            await Connection.open(at(port, connect_timeout=0.6))
    text = str(caught.value)
    assert text.startswith(f"no connection to {NAME}:{port} within 0.6 s: ")
    assert "127.0.0.1: it accepted the connection and did not answer" in text
    assert f"{DEAD}: it did not accept the connection" in text
    assert f"{ALSO_DEAD}: cannot connect" in text
    assert "connection refused" in text


async def test_the_start_of_a_pubsub_object_says_so_too(resolve: Resolve):
    resolve("127.0.0.1", DEAD)
    async with peer(silent) as port, hole(port), Redis(NAME, port) as client:
        with pytest.raises(ExceptionGroup) as caught:
            await client.pubsub(channels=["a"], start_timeout=0.5).__aenter__()
    text = str(caught.value.exceptions[0])
    assert "127.0.0.1: it accepted" in text
    assert f"{DEAD}: it did not accept" in text


async def test_a_no_of_the_server_is_not_asked_for_twice(resolve: Resolve):
    called = 0

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal called
        called += 1

    resolve("127.0.0.1", DEAD)
    async with peer(says(b"-WRONGPASS invalid\r\n")) as port, peer(second, host=DEAD, port=port):
        with pytest.raises(AuthenticationFailureError):
            await Connection.open(at(port, password="secret"))
    assert called == 0


async def test_tls_checks_the_name_and_not_the_address(
    shared_server: AnyServer, certificates: Certificates, resolve: Resolve, monkeypatch
):
    monkeypatch.setattr(f"{__name__}.NAME", "localhost")  # the name in the certificate
    resolve(DEAD, "127.0.0.1")
    context = make_ssl_context(ca_certs=certificates.ca, check_hostname=True)
    server = tunnel(shared_server.host, shared_server.port)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(peer(server, context=certificates.server_context()))
        await stack.enter_async_context(hole(port))
        settings = ConnectionSettings(
            location=TCPLocation("localhost", port), ssl_context=context, connect_timeout=60
        )
        connection = await Connection.open(settings)
        assert await connection.execute("PING") == b"PONG"
        connection.abort()
        await connection.wait_closed()


async def test_a_caller_that_is_cancelled_leaves_nothing(resolve: Resolve):
    resolve("127.0.0.1", DEAD)
    async with peer(silent) as port, hole(port):
        task = asyncio.create_task(Connection.open(at(port)))
        await asyncio.sleep(0.4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- the parts ------------------------------------------------------------------------------------


async def test_addresses_are_not_looked_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert await addresses_of(TCPLocation("10.0.0.1", 1)) == ["10.0.0.1"]
    assert await addresses_of(TCPLocation("::1", 1)) == ["::1"]


async def test_a_name_has_each_address_once(resolve: Resolve):
    resolve("127.0.0.1", DEAD, "127.0.0.1")
    assert await addresses_of(TCPLocation(NAME, 1)) == ["127.0.0.1", DEAD]


@pytest.mark.parametrize("timeout", [None, 0.1, 1, 60])
@pytest.mark.parametrize("attempts", [2, 3, 20])
def test_each_address_has_its_share(attempts, timeout):
    delay = delay_between(attempts, timeout)
    assert 0 < delay <= 0.25
    assert timeout is None or delay * attempts <= timeout * 1.001


class Won:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_of_two_that_answer_at_once_one_is_closed():
    both = [Won(), Won()]
    gate = asyncio.Event()

    async def attempt(number: int) -> Won:
        await gate.wait()
        return both[number]

    attempts = {"a": lambda: attempt(0), "b": lambda: attempt(1)}
    race = asyncio.create_task(first_to_answer(TCPLocation("h", 1), attempts, 0.01))
    await asyncio.sleep(0.2)
    gate.set()
    winner = await race
    assert [one.aborted for one in both] == [one is not winner for one in both]


async def test_a_failure_begins_the_next_attempt_at_once():
    async def fails() -> Won:
        raise ConnectionError("no")

    async def works() -> Won:
        return Won()

    begun = time.monotonic()
    await first_to_answer(TCPLocation("h", 1), {"a": fails, "b": works}, 100)
    assert time.monotonic() - begun < 10
