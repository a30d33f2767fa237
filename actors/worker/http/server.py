"""The HTTP server of the worker: it answers a few GET requests from memory, on loopback by default.

h11, a small library without dependencies, parses and writes HTTP; this module reads and writes the
sockets. A web framework would add a dozen packages.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import h11
import msgspec

from supervisor.forks import close_in_forks, forget
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

# Seconds in which a client has to send its request and to take the answer.
_PATIENCE: Final = 10.0
_MOST_CONNECTIONS: Final = 64
_ALLOWED: Final = {b"GET", b"HEAD"}
#: The host in a Host header: a name, an IPv4 address, or an IPv6 address in brackets.
_HOST: Final = re.compile(r"\[([^\]]*)\](:\d+)?|([^:]*)(:\d+)?")


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
        self._asked_for = address[0].lower()
        # The connections, the oldest one first, and those that have not sent a whole request.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._idle: dict[asyncio.Task[Any], None] = {}

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address is not available.
        """
        self._server = await asyncio.start_server(self._serve, *self.address)
        for listening in self._server.sockets:
            close_in_forks(listening.fileno())
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
        for listening in self._server.sockets:
            forget(listening.fileno())
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
        if len(self._tasks) >= _MOST_CONNECTIONS:
            # So that a probe is answered, whatever others do with their connections.
            next(iter(self._idle or self._tasks)).cancel()
        self._tasks[task] = self._idle[task] = None
        try:
            await self._converse(reader, writer, task)
        except (OSError, TimeoutError):
            pass  # the client went away
        except asyncio.CancelledError:
            pass  # by __aexit__; asyncio would log a stream callback that ends cancelled
        finally:
            self._tasks.pop(task, None)
            self._idle.pop(task, None)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[Any]
    ) -> None:
        connection = h11.Connection(h11.SERVER)
        while connection.states[h11.CLIENT] is not h11.CLOSED:
            async with asyncio.timeout(_PATIENCE):
                try:
                    request = await _next_request(connection, reader)
                except h11.RemoteProtocolError as error:
                    writer.write(_refusal(connection, error))
                    await writer.drain()
                    return
                if request is None:
                    return
                self._idle.pop(task, None)
                writer.write(_reply(connection, request.method, self._answer(request)))
                await writer.drain()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()
            self._idle[task] = None

    def _answer(self, request: h11.Request) -> Answer:
        if not self._is_ours(request):
            text = "no answers for this Host: name the address, localhost or what --http names\n"
            return Answer(text.encode(), status=421)
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

    def _is_ours(self, request: h11.Request) -> bool:
        """Return whether ``request`` may be answered, by its Host.

        A web page may lead a name of its own to the loopback address, and have the browser read
        what answers there. Its requests have that name as their Host.
        """
        if not ipaddress.ip_address(self.address[0]).is_loopback:
            return True  # whoever can connect can read
        given = dict(request.headers).get(b"host")
        if given is None:  # HTTP/1.0, which no browser speaks
            return True
        found = _HOST.fullmatch(given.decode("ascii", "replace").lower())
        host = "" if found is None else found[1] or found[3] or ""
        return host in ("localhost", self._asked_for) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refusal(connection: h11.Connection, error: h11.RemoteProtocolError) -> bytes:
    """Return the answer to what is no HTTP request; empty if an answer has begun."""
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return b""
    text = f"no HTTP request: {error}\n"
    return _reply(connection, b"GET", Answer(text.encode(), status=error.error_status_hint))


def _reply(connection: h11.Connection, method: bytes, answer: Answer) -> bytes:
    headers = {
        "content-type": answer.type,
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **answer.headers,
    }
    response = h11.Response(status_code=answer.status, headers=list(headers.items()))
    sent = connection.send(response) or b""
    if method != b"HEAD":
        sent += connection.send(h11.Data(data=answer.body)) or b""
    return sent + (connection.send(h11.EndOfMessage()) or b"")


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
