"""The HTTP port of ``mailslot run``: uvicorn serves the ASGI application (extra ``asgi``).

What uvicorn has no settings for is done here: signals stay the worker's, a port that nobody asks
does not wake the process, and clients that keep connections open without a use for them do not
keep others from being answered. (uvicorn's ``limit_concurrency`` would answer a health probe 503
because strangers have connections open.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from actors.worker.http.answer import Answer, Receive, Route, Scope, Send
from actors.worker.http.application import Application
from actors.worker.http.hosts import may_ask
from supervisor.forks import close_in_forks, forget
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: Seconds in which a client has to send a request and to take the answer.
_PATIENCE: Final = 10.0
#: Seconds for which a connection without a request stays open after an answer.
_KEEP_ALIVE: Final = 5
#: Seconds in which answers under way must be taken when the port is closed.
_LAST: Final = 1
_MOST_CONNECTIONS: Final = 64
#: Bytes of a request line with its headers.
_LONGEST_REQUEST: Final = 16 * 1024
_SILENT: Final = logging.getLogger("mailslot.http")
_SILENT.setLevel(logging.CRITICAL)
_FOREIGN: Final = Answer(
    b"no answers for this Host: name the address, localhost or what --http names\n", status=421
)


class HttpPort:
    """Serves ``routes`` at an address; an async context manager.

    Args:
        address: host and port to listen on; port 0: a free one.
        routes: what is answered, by path.
    """

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Route]) -> None:
        self.address = address
        self._name = address[0]  # the host that the user gave
        self._application = Application(routes)
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address is not available.
        """
        self._sockets = await _listen(*self.address)
        for listening in self._sockets:
            close_in_forks(listening.fileno())
        host, port = self._sockets[0].getsockname()[:2]
        self.address = (host, port)
        self._server = _Server(_config(self))
        self._serving = asyncio.create_task(self._server.serve(self._sockets), name="http")
        log.info("http", url=self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for listening in self._sockets:
            forget(listening.fileno())
        self._server.end()
        try:
            await self._serving
        finally:
            for listening in self._sockets:
                listening.close()
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()

    @property
    def url(self) -> str:
        """The URL of the port."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as the ASGI application that uvicorn serves."""
        given = dict(scope["headers"]).get(b"host")
        host = None if given is None else given.decode("latin-1")
        if may_ask(host, listens_on=self.address[0], name=self._name):
            await self._application(scope, receive, send)
        else:
            await _FOREIGN.send(scope, send)


def _config(application: HttpPort) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=_Connection,
        ws="none",
        lifespan="off",
        workers=1,
        log_config=None,  # a uvicorn of the user's own has the same loggers
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_LAST,
        h11_max_incomplete_event_size=_LONGEST_REQUEST,
    )


class _Server(uvicorn.Server):
    """A uvicorn server that installs no signal handlers, and that sleeps until :meth:`end`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Stop without waiting for clients."""
        self.force_exit = True
        self._ended.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop wakes up ten times a second."""
        await self._ended.wait()


class _Connection(H11Protocol):
    """A connection that is closed unless it sends a request within ``_PATIENCE`` seconds.

    Where there are too many, the one whose last request is the oldest is closed.
    """

    last_request: float  # by the clock of the event loop; without a request: when it was opened
    _overdue: asyncio.TimerHandle

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Strangers must not fill the log.
        self.access_log, self.logger = False, _SILENT

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for this connection."""
        super().connection_made(transport)
        self._be_patient()
        all_of_them = cast(set[_Connection], self.connections)
        open_ones = [one for one in all_of_them if not one.transport.is_closing()]
        if len(open_ones) > _MOST_CONNECTIONS:
            min(open_ones, key=lambda one: one.last_request).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle requests; each whole one gives the client as much time again."""
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            # Garbage after the answer has begun: uvicorn has tried to send a 400 there.
            self.transport.abort()
        if self.conn.their_state is h11.DONE:
            self._overdue.cancel()
            self._be_patient()

    def eof_received(self) -> None:
        """Refuse what the client has sent, if it is less than a request."""
        sent, _ = self.conn.trailing_data
        if sent and self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.send_400_response("This is no whole HTTP request.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._overdue.cancel()
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        loop = asyncio.get_running_loop()
        self.last_request = loop.time()
        self._overdue = loop.call_later(_PATIENCE, self.transport.abort)


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for all addresses of ``host``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            sockets.append(socket.create_server(address, family=family))
    except BaseException:
        for listening in sockets:
            listening.close()
        raise
    return sockets
