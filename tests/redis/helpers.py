"""Peers for what no real server does: silence, old versions, nonsense; and TLS."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from tests.servers import AnyServer

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = b"%3\r\n+version\r\n+9.0.0\r\n+proto\r\n:3\r\n+id\r\n:7\r\n"


def settings_of(server: AnyServer, **options) -> ConnectionSettings:
    return ConnectionSettings(location=TCPLocation(server.host, server.port), **options)


@asynccontextmanager
async def peer(
    handler: Handler,
    *,
    context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[int]:
    """Run ``handler`` for each connection to a port of loopback; yield the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(handle, host, port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # The transports close in the next rounds of the loop.
        for _ in range(5):
            await asyncio.sleep(0)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def says(answer: bytes, *, then_close: bool = False) -> Handler:
    """Answer the first bytes with ``answer``, and all later ones not at all."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        await writer.drain()
        if not then_close:
            await asyncio.Event().wait()

    return handler


def tunnel(host: str, port: int) -> Handler:
    """Forward all bytes to another server; with a TLS context, decrypted."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(host, port)
        ways = [
            asyncio.ensure_future(copy(reader, back_writer)),
            asyncio.ensure_future(copy(back_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    return handler


class Certificates:
    """A certificate authority, and its certificate for localhost, for server and client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = str(folder / "ca.crt")
        self.cert = str(folder / "host.crt")
        self.key = str(folder / "host.key")
        self.foreign_ca = str(folder / "foreign.crt")
        self._authority("ca", "test authority")
        self._authority("foreign", "another authority")
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "host.key", "-out", "host.csr"),
            *("-subj", "/CN=localhost"),
        )
        (folder / "san.cnf").write_text("subjectAltName=DNS:localhost")
        self._openssl(
            *("x509", "-req", "-in", "host.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", "san.cnf", "-out", "host.crt"),
        )

    def _authority(self, name: str, subject: str) -> None:
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={subject}"),
        )

    def _openssl(self, *args: str) -> None:
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

    def server_context(self, *, client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if client_certificate:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def answers(reply: Callable[[list[bytes]], bytes | None]) -> Handler:
    """Answer each command with ``reply(command)``; None: close the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            command = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                command.append((await reader.readexactly(size + 2))[:-2])
            answer = reply(command)
            if answer is None:
                return
            writer.write(answer)

    return handler


def confirmation(command: list[bytes]) -> bytes:
    """The acknowledgement of a SUBSCRIBE."""
    pushes = (
        b">3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n" % (len(name), name, count)
        for count, name in enumerate(command[1:], 1)
    )
    return b"".join(pushes)
