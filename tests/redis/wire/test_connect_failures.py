"""Failures while connecting: each gives one clear error soon and leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from actors.redis.config.credentials import AbstractCredentialProvider, ExpiringUserPass, UserPass
from actors.redis.config.locations import TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import (
    AuthenticationFailureError,
    AuthenticationRequiredError,
    AuthorizationError,
    CommandNotSupportedError,
    ConnectionError,  # noqa: A004
    ProtocolError,
    ResponseError,
)
from actors.redis.wire.connection import Connection
from tests.redis.helpers import HELLO, peer, says, settings_of, silent


def at(port, **options):
    return ConnectionSettings(location=TCPLocation("127.0.0.1", port), **options)


async def fails(settings, kind, match):
    started = time.monotonic()
    with pytest.raises(kind, match=match) as caught:
        await Connection.open(settings)
    assert time.monotonic() - started < 2
    return caught.value


async def test_a_refused_port_names_host_and_port_and_what_to_check():
    async with peer(silent) as port:
        pass
    error = await fails(
        at(port), ConnectionError, rf"127.0.0.1:{port}: connection refused; check host and port"
    )
    assert isinstance(error.__cause__, ConnectionRefusedError)


async def test_a_host_without_any_open_address():
    async with peer(silent) as port:
        pass
    settings = ConnectionSettings(location=TCPLocation("localhost", port))
    await fails(settings, ConnectionError, rf"localhost:{port}: .*check host and port")


async def test_an_unknown_host():
    location = TCPLocation("host.invalid", 6379)
    await fails(ConnectionSettings(location=location), ConnectionError, "cannot be resolved")
    location = TCPLocation("x" * 70, 6379)
    await fails(ConnectionSettings(location=location), ConnectionError, "cannot be resolved")


async def test_a_missing_socket():
    settings = ConnectionSettings(location=UnixDomainSocketLocation("/nonexistent/r.sock"))
    await fails(settings, ConnectionError, "/nonexistent/r.sock: there is no such socket")


async def test_a_listener_that_never_answers_is_a_timeout():
    async with peer(silent) as port:
        error = await fails(
            at(port, connect_timeout=0.1), TimeoutError, r"within 0.1 s: it accepted .*not answer"
        )
    # A policy that retries a server that is down retries this, too.
    assert isinstance(error, ConnectionError)


async def test_a_half_answered_handshake_is_a_timeout():
    async with peer(says(HELLO)) as port:
        await fails(at(port, connect_timeout=0.1, db=1), TimeoutError, "did not answer")


async def test_a_frozen_server_is_a_timeout(server):
    server.pause()
    try:
        await fails(settings_of(server, connect_timeout=0.1), TimeoutError, "did not answer")
    finally:
        server.resume()


async def test_a_web_server_is_no_redis():
    async with peer(says(b"HTTP/1.1 400 Bad Request\r\n\r\n", then_close=True)) as port:
        await fails(at(port), ProtocolError, "no RESP.*check that it is a Redis or Valkey server")


@pytest.mark.parametrize("answer", [b"*5000000000\r\n", b"\x15\x03\x01", b"$zz\r\n", b"+OK\r\n"])
async def test_garbage_ends_the_attempt(answer):
    async with peer(says(answer)) as port:
        await fails(at(port), (ProtocolError, CommandNotSupportedError), str(port))


async def test_more_than_was_asked_ends_the_connection():
    async with peer(says(HELLO + b"+MORE\r\n")) as port:
        await fails(at(port), ProtocolError, "MORE' though nothing was asked")


async def test_a_peer_that_hangs_up():
    async with peer(says(b"", then_close=True)) as port:
        error = await fails(at(port), ConnectionError, f"{port} is closed: the server closed it")
        assert "if that port speaks TLS, use ssl=True, rediss:// or valkeys://" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
        b"-NOPROTO unsupported protocol version\r\n",
    ],
)
async def test_an_old_server_is_told_apart_and_not_retried(answer):
    async with peer(says(answer)) as port:
        error = await fails(at(port), CommandNotSupportedError, r"RESP3.*Redis 6.0 or newer")
    assert not isinstance(error, ConnectionError)


async def test_a_full_server_is_a_connection_error(make_server):
    server = make_server({"maxclients": 1})
    first = await Connection.open(settings_of(server))
    await fails(settings_of(server), ConnectionError, "max number of clients")
    first.close()
    await first.wait_closed()


async def test_a_database_that_is_not_there(shared_server):
    await fails(settings_of(shared_server, db=99), ResponseError, "refused SELECT 99.*out of range")


# --- who one is -----------------------------------------------------------------------------------


async def test_a_password_is_needed(make_server):
    server = make_server({"requirepass": "secret"})
    await fails(settings_of(server), AuthenticationRequiredError, "username and password")
    error = await fails(
        settings_of(server, password="wrong-one"), AuthenticationFailureError, "user 'default'"
    )
    assert "wrong-one" not in repr(error)
    connection = await Connection.open(settings_of(server, password="secret"))
    assert await connection.execute("ACL", "WHOAMI") == b"default"
    connection.close()
    await connection.wait_closed()


async def test_users_of_an_acl(make_server):
    server = make_server(["--user", "reader", "on", ">pw", "+@all", "-select", "&*", "~*"])
    connection = await Connection.open(
        settings_of(server, username="reader", password="pw", client_name="r")
    )
    assert await connection.execute("ACL", "WHOAMI") == b"reader"
    with pytest.raises(AuthorizationError, match="no permissions"):
        await connection.execute("SELECT", 1)
    connection.close()
    await connection.wait_closed()
    await fails(
        settings_of(server, username="reader", password="x"), AuthenticationFailureError, "'reader'"
    )
    await fails(
        settings_of(server, username="reader", password="pw", db=1),
        AuthorizationError,
        "refused SELECT 1",
    )


class Provider(AbstractCredentialProvider):
    def __init__(self, *answers):
        self.answers = list(answers)

    async def get_credentials(self) -> UserPass:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def test_the_provider_is_asked_for_each_connection(make_server):
    server = make_server({"requirepass": "secret"})
    good, bad = UserPass("default", "secret"), UserPass("", "no")
    settings = settings_of(server, credential_provider=Provider(good, bad, good))
    for kind in (None, AuthenticationFailureError, None):
        if kind:
            await fails(settings, kind, "default")
            continue
        connection = await Connection.open(settings)
        assert connection.credentials_expire_at is None
        connection.close()
        await connection.wait_closed()


async def test_reauthentication_asks_again_on_a_subscribed_connection(make_server):
    server = make_server(
        ["--user", "a", "on", ">1", "+@all", "&*", "--user", "b", "on", ">2", "+@all"]
    )
    provider = Provider(ExpiringUserPass("a", "1", 10), UserPass("b", "2"), UserPass("b", "no"))
    connection = await Connection.open(settings_of(server, credential_provider=provider))
    now = asyncio.get_running_loop().time()
    assert connection.credentials_expire_at is not None
    assert 9 < connection.credentials_expire_at - now <= 10
    pushes: list[Any] = []
    connection.on_push = pushes.append
    connection.write(b"SUBSCRIBE a\r\n")
    await connection.reauthenticate()
    assert await connection.execute("ACL", "WHOAMI") == b"b"
    assert connection.credentials_expire_at is None
    assert len(pushes) == 1
    with pytest.raises(AuthenticationFailureError):
        await connection.reauthenticate()
    assert connection.usable
    connection.close()
    await connection.wait_closed()


async def test_what_the_provider_raises_comes_through(shared_server):
    settings = settings_of(shared_server, credential_provider=Provider(LookupError("vault")))
    await fails(settings, LookupError, "vault")


async def test_a_provider_that_hangs_is_a_timeout(shared_server):
    class Hangs(AbstractCredentialProvider):
        async def get_credentials(self) -> UserPass:
            await asyncio.Event().wait()
            raise AssertionError

    settings = settings_of(shared_server, credential_provider=Hangs(), connect_timeout=0.05)
    await fails(settings, TimeoutError, "credential provider did not answer")


# --- cancellation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(12))
async def test_cancelling_at_any_moment_leaves_nothing(shared_server, steps):
    task = asyncio.create_task(Connection.open(settings_of(shared_server, db=1)))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    try:
        connection = await task
    except asyncio.CancelledError:
        return
    connection.close()
    await connection.wait_closed()
