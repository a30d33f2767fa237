"""Bytes in, replies out: each reply goes to the oldest command that waits for one.

There is no task: the event loop calls the protocol, and the protocol resolves the pending replies.
The methods under "The hot path" run for every read from the socket.
"""

from __future__ import annotations

import asyncio
import itertools
import reprlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from actors.redis import exceptions
from actors.redis.config.settings import ConnectionSettings
from actors.redis.wire.announcements import (
    ALL_TYPES,
    LONGEST_STRING,
    PUSHES,
    SEARCHED,
    announces_too_much,
)
from actors.redis.wire.pending_reply import Pending
from actors.redis.wire.resp import INCOMPLETE, PushNotification, reader
from supervisor.forks import close_in_forks, forget
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

#: Called once, with the connection and the reason for its end.
CloseCallback = Callable[[Any, BaseException], None]

_ids = itertools.count(1)

_CLOSED_HERE: Final = "this side closed it"
_CLOSED_THERE: Final = "the server closed it"

# How many bytes hiredis is given at once. After every kilobyte that it parsed, hiredis moves the
# rest of its buffer to the front: with a megabyte at once, parsing takes three times as long.
_SLICE: Final = 32 * 1024
# How many bytes one read may bring: enough to make system calls rare, and at most 2 ms of work.
_MAX_BUFFER: Final = 256 * 1024
_NEWLINE: Final = ord("\n")
_search_pushes, _search_all = PUSHES.search, ALL_TYPES.search


class RespProtocol(asyncio.BufferedProtocol):
    """The protocol of one transport.

    A subscriber replaces the attributes ``drain`` and ``on_push`` by its own. Whoever leaves
    something behind on a connection, a subscription for instance, sets ``tainted``.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        loop = asyncio.get_running_loop()
        self.id = next(_ids)
        self.settings = settings
        #: Where the server listens.
        self.location = settings.location
        #: The replies to come, the next one first.
        self.pending: deque[Pending] = deque()
        #: Whether other replies are to come, too: commands of many tasks share the connection.
        self.shared = False
        #: The reason for the connection's end; None while it can be used.
        self.lost: BaseException | None = None
        #: Whether a pool must close the connection instead of giving it to the next user.
        self.tainted = False
        #: The loop's time of the latest read.
        self.last_read = loop.time()
        #: The loop's time of the last read before the latest one that emptied the socket. The bytes
        #: of the latest read came after that: the server was alive at that time, and all that it
        #: had sent by then has been read. (The latest read itself proves less: the loop may have
        #: been late with it.)
        self.proof = self.last_read
        self._emptied = self.last_read
        self.bytes_read = 0
        #: Whether the server was told not to answer.
        self.noreply = False

        parser = reader()
        #: Is given the parser's ``gets`` and handles all complete replies.
        self.drain: Callable[[Callable[[], object]], None] = self._drain
        #: Is given each push.
        self.on_push: Callable[[list[Any]], None] = _ignore
        self._loop = loop
        self._now = loop.time
        # hiredis takes any buffer, though its stub says bytes or str.
        self._feed: Callable[[Any, int, int], None] = parser.feed
        self._gets = parser.gets
        # How many bytes the parser keeps, and whether it is in the middle of a line or a string.
        self._unparsed, self._inside = parser.len, parser.has_data
        # The beginning of a header at the end of a read, which the parser has not seen yet.
        self._held = b""
        self._buffer = bytearray(_SLICE)
        self._view = memoryview(self._buffer)
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._close_callbacks: list[CloseCallback] = []
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # --- The hot path -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the ``nbytes`` that were read into the buffer."""
        self.proof = self._emptied
        self.last_read = now = self._now()
        self.bytes_read += nbytes
        quick = self._buffer[nbytes - 1] == _NEWLINE and not (self.pending or self.shared)
        search = _search_pushes if quick else _search_all
        try:
            end = nbytes - SEARCHED if nbytes > SEARCHED else 0
            if self._held:
                self._feed_carefully(self._held + self._view[:nbytes])
            elif search(self._buffer, end, nbytes):
                # Before the end there is nothing to fear.
                self._feed_slices(end)
                self._feed_carefully(bytes(self._view[end:nbytes]))
            elif nbytes <= _SLICE:
                self._feed(self._buffer, 0, nbytes)
                self.drain(self._gets)
            else:
                self._feed_slices(nbytes)
            if not quick and self._unparsed() > LONGEST_STRING:
                raise exceptions.ProtocolError(
                    f"{self.location} sends a string of more than {LONGEST_STRING} bytes"
                )
        except Exception as error:
            self._break(error)
        if nbytes < len(self._buffer):
            self._emptied = now
        elif nbytes < _MAX_BUFFER:
            self._buffer = bytearray(2 * nbytes)
            self._view = memoryview(self._buffer)

    def _feed_slices(self, nbytes: int) -> None:
        for start in range(0, nbytes, _SLICE):
            self._feed(self._buffer, start, min(_SLICE, nbytes - start))
            self.drain(self._gets)

    def _feed_carefully(self, data: bytes) -> None:
        """Parse ``data``, but nothing that announces too much; see :mod:`.announcements`."""
        self._held = b""
        start = 0
        for suspect in ALL_TYPES.finditer(data):
            self._feed(data, start, suspect.start() - start)
            self.drain(self._gets)
            start = suspect.start()
            if self._inside():
                continue  # in a payload, or in a line of text
            if announces_too_much(suspect.group()):
                raise exceptions.ProtocolError(
                    f"{self.location} announces a reply of {suspect.group()[1:].decode()}... "
                    "elements: more than any server sends"
                )
            self._held = data[start:]  # the rest of the header is to come
            return
        self._feed(data, start, len(data) - start)
        self.drain(self._gets)

    def _drain(self, gets: Callable[[], object]) -> None:
        while (reply := gets()) is not INCOMPLETE:
            if type(reply) is PushNotification:
                self.on_push(reply)
            else:
                self.deliver(reply)

    def deliver(self, reply: object) -> None:
        """Give ``reply`` to the command that has waited longest; ProtocolError if none waits."""
        if not self.pending:
            raise exceptions.ProtocolError(
                f"{self.location} sent {reprlib.repr(reply)} though nothing was asked"
            )
        self.pending.popleft().resolve(reply)

    # --- Writing ----------------------------------------------------------------------------------

    def write(self, data: bytes, *pendings: Pending) -> None:
        """Send ``data``, packed commands; their replies go to ``pendings``, one each.

        Raises:
            ConnectionError: the connection is closed.
        """
        if self.lost is not None or self._transport is None:
            raise self._loss()
        self.pending.extend(pendings)
        self._transport.write(data)

    async def drain_writes(self) -> None:
        """Wait until the transport's write buffer has room; ConnectionError once it is closed."""
        await self._writable.wait()
        if self.lost is not None:
            raise self._loss()

    # --- Flow control and the end -----------------------------------------------------------------

    def pause_reading(self) -> None:
        """Stop reading from the socket, until :meth:`resume_reading`."""
        if self._transport is not None and self.usable:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and self.usable:
            self._transport.resume_reading()

    @property
    def usable(self) -> bool:
        """Whether commands can be sent, as far as this side knows."""
        transport = self._transport
        return self.lost is None and transport is not None and not transport.is_closing()

    def close(self, cause: BaseException | None = None) -> None:
        """Close once all written bytes are sent; pending replies fail."""
        self._lose(cause or exceptions.ConnectionError(_CLOSED_HERE))
        if self._transport is not None:
            self._transport.close()

    def abort(self, cause: BaseException | None = None) -> None:
        """Close at once, unsent bytes are lost; pending replies fail."""
        self._lose(cause or exceptions.ConnectionError(_CLOSED_HERE))
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed and the close callbacks have run."""
        await self._closed.wait()

    def add_close_callback(self, callback: CloseCallback) -> None:
        """Have ``callback(connection, cause)`` called when the connection ends.

        If it has ended already, the loop calls ``callback`` soon.
        """
        if self._closed.is_set():
            self._loop.call_soon(callback, self, cast(BaseException, self.lost))
        else:
            self._close_callbacks.append(callback)

    def _lose(self, cause: BaseException) -> None:
        # Later causes are consequences of the first.
        if self.lost is None:
            self.lost = cause

    def _break(self, error: Exception) -> None:
        """End the connection for an error that reading from it raised."""
        if isinstance(error, hiredis.ProtocolError):
            error = exceptions.ProtocolError(
                f"{self.location} sent bytes that are no RESP ({error}); "
                "check that it is a Redis or Valkey server and whether the port speaks TLS"
            )
        elif not isinstance(error, exceptions.ConnectionError):
            log.error("reading_failed", location=str(self.location), exc_info=error)
        self.abort(error)

    def _loss(self) -> exceptions.ConnectionError:
        """Return a new error for a user of the connection, which is gone."""
        kind = (
            exceptions.ProtocolError
            if isinstance(self.lost, exceptions.ProtocolError)
            else exceptions.ConnectionError
        )
        error = kind(f"the connection to {self.location} is closed: {self.lost}")
        error.__cause__ = self.lost
        return error

    # --- Called by the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            # A forked process would keep the connection, and its subscriptions, beyond our end.
            self._fd = socket.fileno()
            close_in_forks(self._fd)

    def eof_received(self) -> None:
        """Note that the server closed the connection; the transport closes itself."""
        self._lose(exceptions.ConnectionError(_CLOSED_THERE))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending replies and run the close callbacks."""
        forget(self._fd)
        self._lose(exc or exceptions.ConnectionError(_CLOSED_THERE))
        cause = cast(BaseException, self.lost)
        while self.pending:
            self.pending.popleft().fail(self._loss())
        self._writable.set()
        self._closed.set()
        callbacks, self._close_callbacks = self._close_callbacks, []
        for callback in callbacks:
            try:
                callback(self, cause)
            except Exception as error:
                log.error("close_callback_failed", location=str(self.location), exc_info=error)

    def pause_writing(self) -> None:
        """Note that the transport's write buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the transport's write buffer has room."""
        self._writable.set()

    def __repr__(self) -> str:
        state = "open" if self.lost is None else "closed"
        return f"<{type(self).__name__} {self.id} to {self.location}, {state}>"


def _ignore(push: list[Any]) -> None:
    """Drop a push that nobody listens to."""
