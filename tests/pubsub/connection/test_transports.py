"""Pub/Sub over unix sockets and TLS, and by URL."""

from __future__ import annotations

import asyncio

import pytest

from actors import Redis, exceptions
from actors.testing import EmbeddedServer
from tests.pubsub.helpers import QUICK, Gaps, Heard, data_of, kill_subscribers, within
from tests.redis.helpers import Certificates, peer, tunnel
from tests.servers import AnyServer
from tests.support import eventually


async def test_unix_socket():
    heard, gaps = Heard(), Gaps()
    async with EmbeddedServer(unix_socket=True) as server:
        assert server.unix_socket_path is not None
        for client in (
            Redis(unix_socket_path=server.unix_socket_path, decode_responses=True),
            Redis.from_url(server.url, decode_responses=True),
        ):
            heard.clear()
            gaps.clear()
            async with (
                client,
                client.pubsub(
                    channels=["a"],
                    channel_handlers={"b": heard},
                    on_gap=gaps,
                    retry_policy=QUICK,
                    ignore_subscribe_messages=True,
                ) as p,
            ):
                await client.publish("a", "1")
                await client.publish("b", "2")
                assert await data_of(p, 1) == ["1"]
                await heard.wait(1)
                await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await eventually(lambda p=p: p.stats().gaps == 2)
                await client.publish("b", "3")
                await heard.wait(2)
                assert heard == ["2", "3"]


@pytest.mark.embedded_only
async def test_tls(server: AnyServer, certificates: Certificates):
    heard = Heard()
    context = certificates.server_context()
    async with (
        peer(tunnel(server.host, server.port), context=context) as port,
        Redis.from_url(
            f"rediss://localhost:{port}",
            decode_responses=True,
            ssl_ca_certs=certificates.ca,
            ssl_cert_reqs="required",
            ssl_check_hostname=True,
        ) as client,
        client.pubsub(
            channels=["a"], channel_handlers={"b": heard}, ignore_subscribe_messages=True
        ) as p,
    ):
        payload = "x" * 300_000
        await client.publish("a", payload)
        await client.publish("b", payload)
        assert await data_of(p, 1) == [payload]
        await heard.wait(1)
        kill_subscribers(server)
        await eventually(lambda: p.stats().gaps == 2)
        await client.publish("b", "after")
        await heard.wait(2)


@pytest.mark.embedded_only
async def test_tls_that_is_not_accepted_is_one_clear_error(
    server: AnyServer, certificates: Certificates
):
    context = certificates.server_context()
    # The tunnel's side of a handshake that fails is no concern of this test.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with (
        peer(tunnel(server.host, server.port), context=context) as port,
        Redis.from_url(
            f"rediss://localhost:{port}",
            ssl_ca_certs=certificates.foreign_ca,
            ssl_cert_reqs="required",
        ) as client,
    ):
        with within(2), pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(start_timeout=0.5):
                pass
    (error,) = caught.value.exceptions
    assert isinstance(error, exceptions.ConnectionError)
    assert "certificate was not accepted" in str(error)
