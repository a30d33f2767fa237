"""The byte side of a connection: bytes in, replies out, in the order of the commands.

There is no task: the event loop calls the protocol, the protocol resolves what is pending. The
methods under "The hot path" run for every read from the socket.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from actors.redis import exceptions
from actors.redis.config.locations import Location
from actors.redis.config.settings import ConnectionSettings
from actors.redis.wire.pending_reply import Pending
from actors.redis.wire.resp import INCOMPLETE, PushNotification, reader
from supervisor.log import get_logger

__all__ = ["CloseCallback", "RespProtocol"]

log = get_logger("mailslot.redis")

#: Called once with the connection and why it ended.
CloseCallback = Callable[[Any, BaseException], None]

_ids = itertools.count(1)

# hiredis moves what is left of its buffer to the front after every kilobyte it consumed: fed with
# more than this at once, it spends its time on that (a megabyte at once: three times as much).
_SLICE: Final = 32 * 1024
# What one read may bring: enough to make system calls rare, and not more than about 2 ms of work.
_MAX_BUFFER: Final = 256 * 1024


class RespProtocol(asyncio.BufferedProtocol):
    """The protocol of one transport.

    ``drain`` and ``on_push`` are attributes that a subscriber replaces by its own. Whoever used a
    connection in a way that outlives the use, a subscription for instance, sets ``tainted``.
    """

    def __init__(self, settings: ConnectionSettings, location: Location) -> None:
        loop = asyncio.get_running_loop()
        self.id = next(_ids)
        self.settings = settings
        #: Where the server listens.
        self.location = location
        #: What waits for replies, the oldest first.
        self.pending: deque[Pending] = deque()
        #: Why the connection can no longer be used; None while it can.
        self.lost: BaseException | None = None
        #: The connection must not be used for anything else after this use.
        self.tainted = False
        #: The loop's time of the latest read.
        self.last_read = loop.time()
        #: Until then the server surely lived, and had sent what it owed: the loop's time of the
        #: read before the latest one, since what a read brings came after the one before it. How
        #: long before the latest read it came nobody knows: the loop may have been late.
        self.proof = self.last_read
        self._emptied = self.last_read
        self.bytes_read = 0
        #: The server was told not to answer.
        self.noreply = False

        parser = reader()
        #: Takes the parser's ``gets`` and handles all replies that are there.
        self.drain: Callable[[Callable[[], object]], None] = self._drain
        #: Takes each push.
        self.on_push: Callable[[list[Any]], None] = _ignore
        self._loop = loop
        self._now = loop.time
        # hiredis takes any buffer; its stub knows bytes and str only.
        self._feed: Callable[[Any, int, int], None] = parser.feed
        self._gets = parser.gets
        self._buffer = bytearray(_SLICE)
        self._view = memoryview(self._buffer)
        self._transport: asyncio.Transport | None = None
        self._close_callbacks: list[CloseCallback] = []
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # --- The hot path -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next read goes."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the ``nbytes`` that were read."""
        self.proof = self._emptied
        self.last_read = now = self._now()
        self.bytes_read += nbytes
        try:
            if nbytes <= _SLICE:
                self._feed(self._buffer, 0, nbytes)
                self.drain(self._gets)
            else:
                for start in range(0, nbytes, _SLICE):
                    self._feed(self._buffer, start, min(_SLICE, nbytes - start))
                    self.drain(self._gets)
        except Exception as error:
            self._break(error)
        if nbytes < len(self._buffer):
            self._emptied = now
        elif nbytes < _MAX_BUFFER:
            self._buffer = bytearray(2 * nbytes)
            self._view = memoryview(self._buffer)

    def _drain(self, gets: Callable[[], object]) -> None:
        while (reply := gets()) is not INCOMPLETE:
            if type(reply) is PushNotification:
                self.on_push(reply)
            else:
                self.deliver(reply)

    def deliver(self, reply: object) -> None:
        """Give ``reply`` to what has waited longest.

        Raises:
            ProtocolError: nothing waits.
        """
        if not self.pending:
            raise exceptions.ProtocolError(
                f"{self.location} sent {reply!r:.200} though nothing was asked"
            )
        self.pending.popleft().resolve(reply)

    # --- Writing ----------------------------------------------------------------------------------

    def write(self, data: bytes, *pendings: Pending) -> None:
        """Send ``data``, packed commands, and expect a reply for each of ``pendings``.

        Raises:
            ConnectionError: the connection is closed.
        """
        if self.lost is not None or self._transport is None:
            raise self._loss()
        self.pending.extend(pendings)
        self._transport.write(data)

    async def drain_writes(self) -> None:
        """Wait until the transport's buffer has room again.

        Raises:
            ConnectionError: the connection is closed.
        """
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
        """Whether commands can be sent, as far as is known."""
        transport = self._transport
        return self.lost is None and transport is not None and not transport.is_closing()

    def close(self, cause: BaseException | None = None) -> None:
        """Close once all that was written is out; what is pending fails."""
        self._lose(cause or exceptions.ConnectionError("it was closed by this side"))
        if self._transport is not None:
            self._transport.close()

    def abort(self, cause: BaseException | None = None) -> None:
        """Close at once, what was not yet sent is lost; what is pending fails."""
        self._lose(cause or exceptions.ConnectionError("it was closed by this side"))
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed and the close callbacks have run."""
        await self._closed.wait()

    def add_close_callback(self, callback: CloseCallback) -> None:
        """Have ``callback(connection, cause)`` called once the connection has ended.

        Where it has already, that is soon.
        """
        if self._closed.is_set():
            self._loop.call_soon(callback, self, cast(BaseException, self.lost))
        else:
            self._close_callbacks.append(callback)

    def _lose(self, cause: BaseException) -> None:
        # The first cause is the true one, what follows are its consequences.
        if self.lost is None:
            self.lost = cause

    def _break(self, error: Exception) -> None:
        """End the connection for what reading from it raised."""
        if isinstance(error, hiredis.ProtocolError):
            error = exceptions.ProtocolError(
                f"{self.location} sent what is no RESP ({error}); "
                "check that it is a Redis or Valkey server and whether the port speaks TLS"
            )
        elif not isinstance(error, exceptions.ConnectionError):
            log.error("reading_failed", location=str(self.location), exc_info=error)
        self.abort(error)

    def _loss(self) -> exceptions.ConnectionError:
        """Return a new error for whoever needs the connection that is gone."""
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

    def eof_received(self) -> None:
        """Note that the server ended it; the transport then closes itself."""
        self._lose(exceptions.ConnectionError("the server closed it"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is pending and tell who wanted to know."""
        self._lose(exc or exceptions.ConnectionError("the server closed it"))
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
        """Note that the transport's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the transport's buffer has room."""
        self._writable.set()

    def __repr__(self) -> str:
        state = "open" if self.lost is None else "closed"
        return f"<{type(self).__name__} {self.id} to {self.location}, {state}>"


def _ignore(push: list[Any]) -> None:
    """Drop a push that nobody listens to."""
