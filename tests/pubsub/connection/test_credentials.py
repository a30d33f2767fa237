"""P14: credentials that end are renewed on the live, subscribed connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors import Redis, exceptions
from actors.redis.config.credentials import AbstractCredentialProvider, ExpiringUserPass, UserPass
from tests.pubsub.helpers import (
    QUICK,
    Heard,
    client_of,
    data_of,
    kill_subscribers,
    subscribers,
    within,
)
from tests.redis.helpers import HELLO, answers, confirmation, peer
from tests.servers import AnyServer, ask
from tests.support import eventually


class Tokens(AbstractCredentialProvider):
    """Passwords that last a while, each of them known to the server before it is handed out."""

    def __init__(self, server: AnyServer, expires_in: float | None = 0.5) -> None:
        self.server = server
        self.expires_in = expires_in
        self.given: list[str] = []
        self.fail_next: Exception | None = None

    async def get_credentials(self) -> UserPass:
        await asyncio.sleep(0)
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error
        token = f"token-{len(self.given)}"
        self.given.append(token)
        ask(self.server, "ACL", "SETUSER", "u", "on", f">{token}", "+@all", "&*")
        if self.expires_in is None:
            return UserPass("u", token)
        return ExpiringUserPass("u", token, self.expires_in)


async def test_p14_a_live_subscribed_connection_is_authenticated_anew(server: AnyServer):
    heard = Heard()
    tokens = Tokens(server)
    async with (
        client_of(server) as publisher,
        client_of(server, credential_provider=tokens) as client,
        client.pubsub(channels=["a"], channel_handlers={"b": heard}) as p,
    ):
        (before,) = subscribers(server)
        auths = _auths(server)
        with within(3):
            await eventually(lambda: len(tokens.given) >= 3 and _auths(server) >= auths + 2)
        (after,) = subscribers(server)
        assert before["id"] == after["id"], "the connection is the same"
        for i in range(3):
            await publisher.publish("a", str(i))
            await publisher.publish("b", str(i))
        assert await data_of(p, 3) == ["0", "1", "2"]
        await heard.wait(3)
        assert p.stats().gaps == p.stats().reconnects == 0


def _auths(server: AnyServer) -> int:
    for line in ask(server, "INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_auth:"):
            return int(line.partition("calls=")[2].partition(",")[0])
    return 0


async def test_p14_renewal_begins_before_the_end(server: AnyServer):
    tokens = Tokens(server, expires_in=1.0)
    async with client_of(server, credential_provider=tokens) as client, client.pubsub():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await eventually(lambda: len(tokens.given) == 2)
        assert 0.5 < loop.time() - begun < 0.95


async def test_p14_a_provider_that_fails_once_is_asked_again(server: AnyServer, caplog):
    tokens = Tokens(server, expires_in=1.0)
    async with (
        client_of(server, credential_provider=tokens) as client,
        client.pubsub(channels=["a"]) as p,
    ):
        tokens.fail_next = RuntimeError("the token service is away")
        await eventually(lambda: tokens.fail_next is None)
        await eventually(lambda: len(tokens.given) == 2)
        assert p.stats().reconnects == 0
    assert "reauthentication_failed" in caplog.text
    assert "the token service is away" in caplog.text


async def test_p14_credentials_without_an_end_are_asked_for_once_a_connection(server: AnyServer):
    tokens = Tokens(server, expires_in=None)
    async with (
        client_of(server, credential_provider=tokens) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as p,
    ):
        assert tokens.given == ["token-0"]
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 1)
        assert tokens.given == ["token-0", "token-1"]


async def test_p14_renewal_works_while_handlers_are_busy(server: AnyServer):
    """Nothing of it waits for a consumer."""
    release = asyncio.Event()

    async def stuck(_) -> None:
        await release.wait()

    tokens = Tokens(server)
    async with (
        client_of(server, credential_provider=tokens) as client,
        client.pubsub(channel_handlers={"a": stuck}) as p,
    ):
        ask(server, "PUBLISH", "a", "1")
        await eventually(lambda: len(tokens.given) >= 3)
        assert p.stats().reconnects == 0
        release.set()


# -- nothing waits for a renewal (P9, P13) ---------------------------------------------------------


class Scripted(AbstractCredentialProvider):
    """Answers each call by the next of ``turns``; the last one stays."""

    def __init__(self, *turns: Callable[[], Awaitable[UserPass]]) -> None:
        self.turns = list(turns)
        self.asked = 0

    async def get_credentials(self) -> UserPass:
        turn = self.turns[min(self.asked, len(self.turns) - 1)]
        self.asked += 1
        return await turn()


def lasting(seconds: float) -> Callable[[], Awaitable[UserPass]]:
    async def turn() -> UserPass:
        return ExpiringUserPass("default", "", seconds)

    return turn


async def hangs() -> UserPass:
    await asyncio.Event().wait()
    raise AssertionError


def raises(error: BaseException) -> Callable[[], Awaitable[UserPass]]:
    async def turn() -> UserPass:
        raise error

    return turn


@pytest.mark.parametrize("stuck", ["provider", "server"])
async def test_p9_a_silent_server_is_found_while_a_renewal_is_stuck(server: AnyServer, stuck: str):
    provider = Scripted(lasting(0.2), hangs if stuck == "provider" else lasting(60), lasting(60))
    async with (
        client_of(server, credential_provider=provider, stream_timeout=0.2) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.3, retry_policy=QUICK) as p,
    ):
        server.pause()
        await eventually(lambda: p.connection is None)
        assert provider.asked >= 2, "the renewal had begun"
        server.resume()
        await eventually(lambda: p.connection is not None)


async def test_p14_a_lost_connection_is_restored_while_the_provider_hangs(server: AnyServer):
    provider = Scripted(lasting(0.1), hangs, lasting(60))
    async with (
        client_of(server, credential_provider=provider) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as p,
    ):
        await eventually(lambda: provider.asked == 2)
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 1)
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]


async def test_p13_leaving_does_not_wait_for_a_renewal(server: AnyServer):
    provider = Scripted(lasting(0.1), hangs)
    async with client_of(server, credential_provider=provider) as client:
        async with client.pubsub(channels=["a"]):
            await eventually(lambda: provider.asked == 2)
            left = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - left < 2


@pytest.mark.embedded_only
async def test_p14_an_auth_without_an_answer_costs_nothing_and_is_sent_again(caplog):
    """A proxy may swallow AUTH and carry everything else."""
    auths = 0

    def reply(command: list[bytes]) -> bytes:
        nonlocal auths
        match command[0]:
            case b"HELLO":
                return HELLO
            case b"AUTH":
                auths += 1
                return b""
            case b"PING":
                return b"+PONG\r\n"
        return confirmation(command)

    provider = Scripted(lasting(0.2), lasting(60))
    async with (
        peer(answers(reply)) as port,
        Redis("127.0.0.1", port, credential_provider=provider, connect_timeout=0.2) as client,
        client.pubsub(channels=["a"], max_idle_seconds=0.1) as p,
    ):
        await eventually(lambda: auths == 2)
        assert p.stats().reconnects == 0
    assert "did not answer AUTH within 0.2 s" in caplog.text
    assert "next_try='in 1 s'" in caplog.text


async def test_p14_a_provider_that_hangs_at_a_renewal_is_asked_again(server: AnyServer, caplog):
    provider = Scripted(lasting(0.2), hangs, lasting(60))
    async with (
        client_of(server, credential_provider=provider, connect_timeout=0.3) as client,
        client.pubsub(channels=["a"]) as p,
    ):
        await eventually(lambda: provider.asked == 3)
        await eventually(lambda: _auths(server) == 1)
        assert p.stats().reconnects == 0
    assert "the credential provider did not answer within 0.3 s" in caplog.text


# -- a provider that fails while a lost connection is restored -------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route to the token service"),
        RuntimeError("503"),
        TimeoutError("the token service"),
        exceptions.ConnectionError("the token service"),
        exceptions.AuthenticationFailureError("the token service refuses its own password"),
        KeyError("token"),
        asyncio.CancelledError(),  # it awaits a task that somebody else has cancelled
    ],
    ids=lambda error: type(error).__name__,
)
async def test_p14_a_provider_that_fails_while_reconnecting_is_asked_again(
    server: AnyServer, error: BaseException, caplog
):
    provider = Scripted(lasting(60), *[raises(error)] * 4, lasting(60))
    async with (
        client_of(server, credential_provider=provider) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as p,
    ):
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 1)
        assert provider.asked == 6
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]
    assert "the credential provider failed" in caplog.text
    assert str(error) in caplog.text


async def test_p14_a_provider_that_fails_at_first_is_waited_for_as_long_as_a_server(
    server: AnyServer,
):
    provider = Scripted(*[raises(OSError("no route"))] * 3, lasting(60))
    async with client_of(server, credential_provider=provider) as client:
        async with client.pubsub(channels=["a"], retry_policy=QUICK) as p:
            assert provider.asked == 4
            assert p.subscribed
        provider.turns = [raises(OSError("no route to the token service"))]
        with pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channels=["a"], retry_policy=QUICK, start_timeout=0.2):
                pytest.fail("it must not come this far")
    (cause,) = caught.value.exceptions
    assert isinstance(cause, OSError), "the provider's own error"
    assert "no route to the token service" in str(cause)


async def test_p14_a_rotation_that_the_server_hears_of_late_ends_nothing(server: AnyServer):
    """The provider makes new credentials a moment before the server knows them."""

    async def early() -> UserPass:
        return UserPass("u", "next")

    async def first() -> UserPass:
        return UserPass("u", "first")

    ask(server, "ACL", "SETUSER", "u", "on", ">first", "+@all", "&*")
    provider = Scripted(first, early)
    async with (
        client_of(server) as publisher,
        client_of(server, credential_provider=provider) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as p,
    ):
        kill_subscribers(server)
        await eventually(lambda: provider.asked >= 4)
        ask(server, "ACL", "SETUSER", "u", "on", ">next", "+@all", "&*")
        await eventually(lambda: p.stats().gaps == 1)
        await publisher.publish("a", "1")
        assert await data_of(p, 1) == ["1"]


async def test_p14_fresh_credentials_that_are_refused_again_and_again_end_it(server: AnyServer):
    async def wrong() -> UserPass:
        return UserPass("u", "wrong")

    async def right() -> UserPass:
        return UserPass("u", "right")

    ask(server, "ACL", "SETUSER", "u", "on", ">right", "+@all", "&*")
    provider = Scripted(right, wrong)
    with pytest.raises(ExceptionGroup) as caught:
        async with (
            client_of(server, credential_provider=provider) as client,
            client.pubsub(channels=["a"], retry_policy=QUICK) as p,
        ):
            kill_subscribers(server)
            async for _ in p:
                pass
    (cause,) = caught.value.exceptions
    assert isinstance(cause, exceptions.AuthenticationFailureError)
    assert provider.asked == 6


async def test_p14_a_renewal_that_is_refused_is_tried_again_with_fresh_credentials(
    server: AnyServer, caplog
):
    async def wrong() -> UserPass:
        return ExpiringUserPass("default", "wrong", 60)

    ask(server, "ACL", "SETUSER", "default", "on", "resetpass", ">")  # the password is empty
    provider = Scripted(lasting(0.2), wrong, lasting(60))
    async with (
        client_of(server, credential_provider=provider) as client,
        client.pubsub(channels=["a"]) as p,
    ):
        await eventually(lambda: provider.asked == 3)
        assert p.stats().reconnects == 0
    assert "reauthentication_failed" in caplog.text
