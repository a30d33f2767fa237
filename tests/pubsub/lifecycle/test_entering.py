"""Entering where connecting hangs: one clear error, in time, with the address and the cause."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Redis, exceptions
from actors.redis.config.credentials import AbstractCredentialProvider, UserPass
from tests.pubsub.helpers import client_of, within
from tests.redis.helpers import peer, silent


async def cause_of(client: Redis[Any], **options: Any) -> Exception:
    with within(1.5), pytest.raises(ExceptionGroup, match="could not start") as caught:
        async with client, client.pubsub(channels=["a"], start_timeout=0.3, **options):
            pass
    (cause,) = caught.value.exceptions
    return cause


@pytest.mark.parametrize("connect_timeout", [0.3, 30, None])
async def test_a_port_that_never_answers_is_named_when_entering(connect_timeout):
    async with peer(silent) as port:
        cause = await cause_of(Redis("127.0.0.1", port, connect_timeout=connect_timeout))
    assert isinstance(cause, exceptions.ConnectionError)
    assert isinstance(cause, TimeoutError)
    assert f"127.0.0.1:{port} within 0.3 s" in str(cause)
    assert "it accepted the connection and did not answer; is it a Redis server?" in str(cause)


async def test_tls_to_a_plain_port_is_named_when_entering(shared_server):
    cause = await cause_of(Redis(shared_server.host, shared_server.port, ssl=True))
    assert f"{shared_server.host}:{shared_server.port} within 0.3 s (start_timeout)" in str(cause)
    assert "did not finish the TLS handshake" in str(cause)


async def test_a_credential_provider_that_hangs_is_named_when_entering(shared_server):
    class Hangs(AbstractCredentialProvider):
        async def get_credentials(self) -> UserPass:
            await asyncio.Event().wait()
            raise AssertionError

    cause = await cause_of(client_of(shared_server, credential_provider=Hangs()))
    assert "the credential provider did not answer" in str(cause)
