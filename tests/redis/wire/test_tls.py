from __future__ import annotations

import asyncio
import ssl
import time

import pytest

from actors.client import Redis
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.config.tls import make_ssl_context
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.connection_pool import ConnectionPool
from actors.redis.wire.connection import Connection
from tests.redis.helpers import HELLO, peer, settings_of, silent, tunnel


def at(port, context, host="localhost", **options):
    return ConnectionSettings(location=TCPLocation(host, port), ssl_context=context, **options)


@pytest.fixture
async def tls_port(shared_server, certificates):
    handler = tunnel(shared_server.host, shared_server.port)
    async with peer(handler, context=certificates.server_context()) as port:
        yield port


async def test_commands_and_large_payloads_over_tls(tls_port, certificates):
    context = make_ssl_context(ca_certs=certificates.ca, check_hostname=True, cert_reqs="required")
    connection = await Connection.open(at(tls_port, context))
    payload = b"x" * 512 * 1024
    for _ in range(3):
        assert await connection.execute("ECHO", payload) == payload
    connection.close()
    await connection.wait_closed()


async def test_closing_does_not_wait_for_a_peer_that_is_gone(shared_server, certificates):
    handler = tunnel(shared_server.host, shared_server.port)
    async with peer(handler, context=certificates.server_context()) as port:
        connection = await Connection.open(at(port, make_ssl_context(cert_reqs="none")))
    started = time.monotonic()
    connection.close()
    await connection.wait_closed()
    assert time.monotonic() - started < 1.5


async def test_closing_does_not_wait_for_a_peer_that_answers_nothing(certificates):
    async def deaf(reader, writer):
        await reader.read(1000)
        writer.write(HELLO)
        await writer.drain()
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with peer(deaf, context=certificates.server_context()) as port:
        pool = ConnectionPool(
            location=TCPLocation("localhost", port), ssl_context=make_ssl_context(cert_reqs="none")
        )
        async with pool:
            pool.release(await pool.acquire())
            assert pool.idle == 1
            started = time.monotonic()
        assert time.monotonic() - started < 0.9


async def test_abort_is_immediate(tls_port):
    connection = await Connection.open(at(tls_port, make_ssl_context(cert_reqs="none")))
    started = time.monotonic()
    connection.abort()
    await connection.wait_closed()
    assert time.monotonic() - started < 0.5


async def test_an_unknown_authority_is_refused_by_default(tls_port):
    with pytest.raises(ConnectionError, match=r"certificate was not accepted .*ssl_ca_certs"):
        await Connection.open(at(tls_port, make_ssl_context()))


async def test_the_host_name_is_checked_when_asked(tls_port, certificates):
    trusting = make_ssl_context(ca_certs=certificates.ca)
    connection = await Connection.open(at(tls_port, trusting, host="127.0.0.1"))
    connection.close()
    await connection.wait_closed()
    checking = make_ssl_context(ca_certs=certificates.ca, check_hostname=True)
    with pytest.raises(ConnectionError, match="certificate was not accepted"):
        await Connection.open(at(tls_port, checking, host="127.0.0.1"))


async def test_a_client_certificate(shared_server, certificates):
    context = certificates.server_context(client_certificate=True)
    handler = tunnel(shared_server.host, shared_server.port)
    async with peer(handler, context=context) as port:
        url = (
            f"rediss://localhost:{port}?ssl_ca_certs={certificates.ca}"
            f"&ssl_certfile={certificates.cert}&ssl_keyfile={certificates.key}"
        )
        async with Redis.from_url(url) as client:
            assert await client.ping() == b"PONG"
        async with Redis("localhost", port, ssl=True, ssl_ca_certs=certificates.ca) as client:
            with pytest.raises(ConnectionError):
                await client.ping()


async def test_plain_to_a_tls_port_and_tls_to_a_plain_port(tls_port, shared_server):
    plain = ConnectionSettings(location=TCPLocation("localhost", tls_port))
    with pytest.raises(ConnectionError, match=r"closed|RESP"):
        await Connection.open(plain)
    tls = settings_of(shared_server, ssl_context=make_ssl_context(), connect_timeout=0.5)
    with pytest.raises(ConnectionError, match="TLS"):
        await Connection.open(tls)


async def test_a_silent_peer_in_the_tls_handshake():
    async with peer(silent) as port:
        with pytest.raises(TimeoutError, match="TLS handshake"):
            await Connection.open(at(port, make_ssl_context(), connect_timeout=0.1))


# --- the options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cert_reqs", "mode"),
    [
        (None, ssl.CERT_OPTIONAL),
        ("none", ssl.CERT_NONE),
        ("optional", ssl.CERT_OPTIONAL),
        ("required", ssl.CERT_REQUIRED),
        ("REQUIRED", ssl.CERT_REQUIRED),
        (ssl.CERT_NONE, ssl.CERT_NONE),
        (ssl.CERT_REQUIRED, ssl.CERT_REQUIRED),
    ],
)
def test_how_certificates_are_verified(cert_reqs, mode):
    context = make_ssl_context(cert_reqs=cert_reqs)
    assert (context.verify_mode, context.check_hostname) == (mode, False)


def test_a_folder_of_authorities(certificates):
    make_ssl_context(ca_certs=str(certificates.folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cert_reqs": "maybe"}, "none, optional, required"),
        ({"cert_reqs": "none", "check_hostname": True}, "needs the certificate to be verified"),
        ({"keyfile": "/k"}, "without ssl_certfile"),
        ({"certfile": "/nonexistent"}, "check ssl_certfile='/nonexistent'"),
        ({"ca_certs": "/nonexistent"}, "ssl_ca_certs='/nonexistent'"),
        ({"ca_certs": __file__}, "TLS files cannot be used"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        make_ssl_context(**options)
