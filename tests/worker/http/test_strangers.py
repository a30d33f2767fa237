"""The HTTP port answers its own users, whatever others send, keep open, or have browsers ask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from actors.worker.http import port as http_port
from actors.worker.http.endpoints import endpoints
from actors.worker.http.port import HttpPort
from tests.worker.helpers import make_worker
from tests.worker.web import get

pytestmark = pytest.mark.embedded_only


@asynccontextmanager
async def serving(host: str, *, buffer: int | None = None) -> AsyncIterator[int]:
    """Run the HTTP port of a worker that waits for its start; yields the number of the port.

    With ``buffer``, so many bytes of answers wait in the system for each client that does not read.
    """
    view = make_worker().worker_snapshot
    async with HttpPort((host, 0), endpoints(view)) as http:
        if buffer is not None:
            for listening in http._sockets:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        yield http.address[1]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving("127.0.0.1") as number:
        yield number


async def ask(port: int, data: bytes) -> bytes:
    """Send ``data`` and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def request(host: str | None, path: str = "/stats", version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", "connection: close"]
    lines += [] if host is None else [f"host: {host}"]
    return "\r\n".join([*lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_live_is_answered_while_others_keep_connections_open(port):
    sends = [b"", b"GET", b"GET /live HTTP/1.1\r\nhost: localhost\r\n", b"POST / HTTP/1.1\r\n"]
    async with AsyncExitStack() as stack:
        for number in range(150):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(sends[number % len(sends)])
        # Before any limit of time for those: three times, since each answer frees a place.
        async with asyncio.timeout(5):
            for _ in range(3):
                assert (await get(("127.0.0.1", port), "/live")).status == 200


async def test_live_is_answered_while_others_do_not_read():
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        # With such buffers the answers get stuck after a few of them.
        port = await stack.enter_async_context(serving("127.0.0.1", buffer=4096))
        for _ in range(100):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, ("127.0.0.1", port))
            asking = b"GET /page.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500
            await loop.sock_sendall(client, asking)
        async with asyncio.timeout(9):
            assert (await get(("127.0.0.1", port), "/live")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{}", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("path", ["/stats", "/", "/tree", "/metrics"])
async def test_a_page_of_others_reads_nothing_through_a_name_of_its_own(port, host, path):
    answer = await ask(port, request(host.format(port), path))
    assert status(answer) in (400, 403, 421)
    assert b"worker" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:{}", "LOCALHOST:{}", "localhost", "[::1]:{}", "10.1.2.3:{}"]
)
async def test_addresses_and_localhost_are_its_own(port, host):
    assert status(await ask(port, request(host.format(port)))) == 200


async def test_old_clients_without_a_host_are_answered(port):
    assert status(await ask(port, request(None, "/live", version="1.0"))) == 200


async def test_on_other_addresses_names_are_for_whoever_can_connect():
    async with serving("0.0.0.0") as number:
        assert status(await ask(number, request("worker.svc.example:80", "/live"))) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\x00\x01\x02\r\n\r\n",
        b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET /live\r\n\r\n",
        b"GET /live HTTP/1.1\r\n\r\n",  # no Host
        b"GET /live HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        b"GET /live HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n",
        b"GET /live HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET /live HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1, 2\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_told_so(port, data):
    assert 400 <= status(await ask(port, data)) < 500


async def test_garbage_after_an_answer_ends_the_connection_and_fills_no_log(port, caplog):
    head = b"POST /live HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    async with asyncio.timeout(60):
        assert status(await reader.readuntil(b"only GET and HEAD\n")) == 405
        writer.write(b"no chunk\r\n\r\n")
        assert await reader.read() == b""
    writer.close()
    assert status(await ask(port, head + b"no chunk\r\n\r\n")) in (400, 405)
    assert caplog.records == []


@pytest.mark.parametrize(
    "sent", [b"", b"GET /live HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nhost: a\r\n"]
)
async def test_whoever_sends_no_request_is_let_go(monkeypatch, port, sent):
    monkeypatch.setattr(http_port, "_PATIENCE", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


async def test_a_request_that_is_longer_than_any_is_refused(port):
    assert status(await ask(port, b"GET /" + 20_000 * b"a")) in (400, 431)


async def test_closing_waits_for_nobody_for_long():
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        async with serving("127.0.0.1", buffer=4096) as port:
            for asking in (b"", b"GET", b"GET /page.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, asking)
            begun = loop.time()
        assert loop.time() - begun < 8
