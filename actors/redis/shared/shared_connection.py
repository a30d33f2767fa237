"""The connection to one server that all ordinary commands share.

submit: queue -> at the end of this turn of the event loop, one write -> in flight -> reply

WRITING    all commands of one turn leave in one write (of a task that sends one after the other,
           each leaves at once); while the bytes in flight are at their bound, commands stay queued,
           and whoever awaits their replies waits longer
REPLIES    come in the order of the commands; the reply to a command whose caller was cancelled is
           read and discarded
DEADLINE   the oldest command in flight has had no reply for ``timeout`` seconds, or twice as long
           while other replies arrive: the connection counts as sick, and is closed
END        commands in flight fail, since they may have been carried out; queued commands wait for
           the next connection, and fail if there is none
CONNECT    for the first command, and after an end with queued commands; the pauses between attempts
           grow while attempts fail, or connections end without a reply

No command has a task or a timer of its own: one task connects, one timer looks at the oldest write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from actors.redis.config.locations import Location
from actors.redis.exceptions import (
    ConnectionError,  # noqa: A004 - the library's
    ReplyTimeoutError,
    UnansweredError,
)
from actors.redis.shared.command_queue import CommandQueue
from actors.redis.shared.in_flight import InFlight
from actors.redis.shared.reply_slots import DISCARD, Batch, ReplySlot
from actors.redis.shared.reply_watch import ReplyWatch
from actors.redis.wire.attempts import Attempts
from actors.redis.wire.connection import Connection

#: How many bytes of commands may be in flight: more commands wait for replies.
MAX_IN_FLIGHT: Final = 4 * 1024 * 1024
# Seconds without traffic after which the connection may have ended while the loop was busy.
_TRUSTED_IDLE: Final = 0.1
# After so many writes of one command each, the next command does not wait for the end of the turn.
_LONE_WRITES: Final = 8


class SharedConnection:
    """Sends the commands of any number of tasks over one connection; see the module's docstring.

    Args:
        open: opens a connection.
        location: where the server listens.
        timeout: seconds in which each reply must come; None: no limit.
        max_idle_time: seconds without commands after which the connection is closed; None: never.
        late: called twice a second while the oldest command waits for long.

    Attributes:
        connected: whether commands can be sent without :meth:`connect`.
    """

    def __init__(
        self,
        open: Callable[[], Awaitable[Connection]],
        location: Location,
        *,
        timeout: float | None,
        max_idle_time: float | None = None,
        late: Callable[[], None] | None = None,
    ) -> None:
        self.connected = False
        self.location = location
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._closed: ConnectionError | None = None
        self._retired = False
        self._queue = CommandQueue()
        # The futures of those who wait until all that is queued has been sent.
        self._posted: list[asyncio.Future[None]] = []
        self._flushing = False
        self._looked = False
        # Writes in a row that were of one command.
        self._lone_writes = 0
        self._in_flight = InFlight()
        self._watch = ReplyWatch(
            self._in_flight,
            timeout,
            max_idle_time,
            overdue=self._time_out,
            unused=self._close_unused,
            late=late,
        )
        self._attempts = Attempts(open, self._took, self._fail_queued)

    @property
    def busy(self) -> bool:
        """Whether commands are queued or in flight."""
        return bool(self._queue or self._in_flight.slots)

    @property
    def resting(self) -> bool:
        """Whether attempts to connect have failed, and the next one is not due yet."""
        return not self.connected and self._attempts.resting

    @property
    def ended(self) -> bool:
        """Whether there is neither a connection nor an attempt to connect."""
        return self._connection is None and not self._attempts.in_hand

    # --- Commands ---------------------------------------------------------------------------------

    def submit(self, command: bytes) -> asyncio.Future[Any]:
        """Queue a packed command and return the future of its reply; an error is its exception.

        UnansweredError and ReplyTimeoutError mean that the command was sent. Any other error that
        is no reply means that the command was not sent.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        queue = self._queue
        queue.commands.append(command)
        queue.slots.append(future)
        if self._lone_writes > _LONE_WRITES and not self._in_flight.slots:
            self._flush()
        else:
            self._flush_soon()
        return future

    def submit_all(self, commands: Sequence[bytes], slots: Iterable[ReplySlot]) -> None:
        """Queue packed commands, which leave one behind the other; ``slots`` has one for each."""
        self._queue.commands.extend(commands)
        self._queue.slots.extend(slots)
        self._flush_soon()

    def submit_batch(self, commands: Sequence[bytes]) -> asyncio.Future[list[Any]]:
        """Queue packed commands, which leave one behind the other.

        The result of the future is the list of the replies; errors are values in the list.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self.submit_all(commands, repeat(Batch(future, len(commands)), len(commands)))
        return future

    async def post(self, *commands: bytes) -> None:
        """Send packed commands, and wait until they have left; the replies are discarded."""
        left: asyncio.Future[None] = self._loop.create_future()
        self._posted.append(left)
        self.submit_all(commands, [DISCARD] * len(commands))
        await left
        if self._connection is not None:
            await self._connection.drain_writes()

    # --- Writing and reading ----------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        connection = self._connection
        if connection is None:
            self._go_on()
        elif connection.lost is None:  # else its close callback goes on with the queue
            now = self._loop.time()
            unused = not self._in_flight.slots and now - self._watch.used_at >= _TRUSTED_IDLE
            if not unused or self._has_looked():
                self._write(connection, now)

    def _has_looked(self) -> bool:
        """Whether the loop has read since the first command after a time without traffic."""
        self._looked = not self._looked
        if self._looked:
            self._flush_soon()
        return not self._looked

    def _write(self, connection: Connection, now: float) -> None:
        room = MAX_IN_FLIGHT - self._in_flight.size
        data, slots = self._queue.take(room, at_least_one=not self._in_flight.slots)
        if not data:
            return
        connection.write(data)
        self._lone_writes = self._lone_writes + 1 if len(slots) == 1 else 0
        if connection.noreply:
            for slot in slots:
                if not slot.done():
                    slot.set_result(None)
        else:
            self._in_flight.add(slots, len(data), now)
        self._watch.wrote(now)
        if self._posted and not self._queue:
            posted, self._posted = self._posted, []
            for left in posted:
                if not left.done():
                    left.set_result(None)

    def _read(self, gets: Callable[[], object]) -> None:
        before = len(self._in_flight.slots)
        self._in_flight.take_replies(gets)
        if len(self._in_flight.slots) < before:
            self._attempts.answered()
        if self._queue:
            self._flush_soon()
        elif self._retired and not self._in_flight.slots and self._connection is not None:
            self._connection.close()

    def _time_out(self, limit: float) -> None:
        silent = f"{self.location} did not answer within {self._timeout} s (stream_timeout)"
        text = f"{silent}; the connection was closed; the command may have been carried out"
        self._in_flight.fail_older(limit, lambda: ReplyTimeoutError(text))
        self.abort(ConnectionError(f"{silent} another command"))

    def _close_unused(self, seconds: float) -> None:
        if self._connection is not None and not self._queue:
            self._connection.close(ConnectionError(f"no command was sent for {seconds:.3g} s"))

    # --- Connecting -------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Wait for a connection; one attempt serves all callers.

        Raises:
            ConnectionError: the pool was left.
            Exception: why the attempt failed.
        """
        if not self.connected:
            await self._attempts.wait()

    def _took(self, connection: Connection) -> None:
        if self._connection is not None:
            # It was aborted, and its close callback is still to come.
            self._ended(self._connection, self._connection.lost or ConnectionError("replaced"))
        connection.shared, connection.drain = True, self._read
        connection.add_close_callback(self._ended)
        self._connection = connection
        self.connected = True
        self._watch.start(connection)
        self._flush_soon()
        if self._retired and not self.busy:
            connection.close()

    # --- The end ----------------------------------------------------------------------------------

    def _ended(self, connection: Connection, cause: BaseException) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self.connected = False
        self._watch.stop()

        def error() -> UnansweredError:
            lost = UnansweredError(
                f"the connection to {self.location} is closed: {cause}; "
                "the command was sent, and may have been carried out"
            )
            lost.__cause__ = cause
            return lost

        self._in_flight.fail_all(error)
        self._go_on(cause)

    def _go_on(self, cause: BaseException | None = None) -> None:
        """Connect again for what is queued."""
        if not self._queue:
            return
        if self._closed is not None:
            self._fail_queued(self._closed)
        elif cause is not None and self._attempts.futile:
            self._fail_queued(ConnectionError(f"{cause}; the command was not sent"))
        else:
            self._attempts.begin()

    def _fail_queued(self, error: Exception) -> None:
        self._queue.fail(error)
        posted, self._posted = self._posted, []
        for left in posted:
            if not left.done():
                left.set_exception(error)

    def abort(self, error: ConnectionError) -> None:
        """End the connection; commands in flight fail with ``error`` as the cause."""
        if self._connection is not None:
            self.connected = False
            self._connection.abort(error)

    def retire(self) -> None:
        """End the connection when the commands in flight are answered."""
        self._retired = True
        if self._connection is not None and not self.busy:
            self._connection.close()

    async def close(self, error: ConnectionError) -> None:
        """End the connection for good: queued and later commands fail with ``error``."""
        self._closed = error
        self.connected = False
        self._fail_queued(ConnectionError(f"{error}; the command was not sent"))
        connection = self._connection
        if connection is not None and self._in_flight.slots:
            connection.abort(error)
        elif connection is not None:
            connection.close(error)
        await self._attempts.close(error)
