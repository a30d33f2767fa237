"""P14: credentials that end are renewed on the live, subscribed connection."""

from __future__ import annotations

import asyncio

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
