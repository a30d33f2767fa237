"""The HTTP server of the worker: it answers a few GET requests from memory, on loopback by default.

h11, a small library without dependencies, parses and writes HTTP; this module reads and writes the
sockets. A web framework would add a dozen packages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import h11
import msgspec

from supervisor.log import get_logger

log = get_logger("mailslot.worker")

# Seconds in which a client has to send its request and to take the answer.
_PATIENCE: Final = 10.0
_MOST_CONNECTIONS: Final = 64
_ALLOWED: Final = {b"GET", b"HEAD"}


class Answer(msgspec.Struct, frozen=True):
    """An HTTP response."""

    body: bytes
    type: str = "text/plain; charset=utf-8"  # the media type of the body
    status: int = 200
    headers: Mapping[str, str] = {}

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Answer:
        """Return a response with ``value`` as JSON."""
        return cls(msgspec.json.encode(value), "application/json", status)


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and port of ``HOST:PORT``; without a host it is loopback.

    Raises:
        ValueError: the text is no address.
    """
    host, _, port = text.removeprefix("http://").removesuffix("/").rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535 or "/" in host:
        raise ValueError(f"an address is written HOST:PORT, 127.0.0.1:8080 for instance: {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


class HttpServer:
    """Answers GET requests; an async context manager.

    Args:
        address: host and port to listen on; port 0: a free one.
        routes: for each path the function that makes the answer.
    """

    def __init__(
        self, address: tuple[str, int], routes: Mapping[str, Callable[[], Answer]]
    ) -> None:
        self.address = address
        self._routes = routes
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address is not available.
        """
        self._server = await asyncio.start_server(self._serve, *self.address)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = (host, port)
        log.info("http", url=self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The URL of the server."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    # -- one connection ----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) <= _MOST_CONNECTIONS:
                await self._converse(reader, writer)
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            pass  # the client went away, or does not speak HTTP
        except asyncio.CancelledError:
            pass  # by __aexit__; asyncio would log a stream callback that ends cancelled
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while connection.states[h11.CLIENT] is not h11.CLOSED:
            async with asyncio.timeout(_PATIENCE):
                request = await _next_request(connection, reader)
                if request is None:
                    return
                writer.write(self._reply(connection, request))
                await writer.drain()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    def _reply(self, connection: h11.Connection, request: h11.Request) -> bytes:
        answer = self._answer(request)
        headers = {
            "content-type": answer.type,
            "content-length": str(len(answer.body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **answer.headers,
        }
        response = h11.Response(status_code=answer.status, headers=list(headers.items()))
        sent = connection.send(response) or b""
        if request.method != b"HEAD":
            sent += connection.send(h11.Data(data=answer.body)) or b""
        return sent + (connection.send(h11.EndOfMessage()) or b"")

    def _answer(self, request: h11.Request) -> Answer:
        if request.method not in _ALLOWED:
            return Answer(b"only GET\n", status=405, headers={"allow": "GET, HEAD"})
        path = request.target.decode("ascii", "replace").partition("?")[0]
        route = self._routes.get(path)
        if route is None:
            known = " ".join(self._routes)
            return Answer(f"nothing here; there is {known}\n".encode(), status=404)
        try:
            return route()
        except Exception as error:
            log.error("http_failed", path=path, error=repr(error), exc_info=error)
            return Answer(f"{type(error).__name__}\n".encode(), status=500)


async def _next_request(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> h11.Request | None:
    """Return the next request and ignore its body; None: the client sends no more."""
    request = None
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            case h11.Request():
                request = event
            case h11.EndOfMessage():
                return request
            case h11.ConnectionClosed() | h11.PAUSED:
                return None
