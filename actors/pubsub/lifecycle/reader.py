"""The reader of one node: a connection as an actor.

on_start: connect -> subscriber up
running:  the data plane runs in the connection's callbacks; the actor keeps the proof of life
lost:     the connection ended -> raise -> restarted by the retry policy

IDLE CHECK      no byte for max_idle_seconds -> PING -> no byte for the deadline -> silent
SILENT          a second connection is opened; see successor.py
USEFUL          all that was asked is answered -> healthy: failures are counted anew (S5)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial

import msgspec

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.lifecycle.renewal import Renewal
from actors.pubsub.lifecycle.successor import Successor
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.redis import exceptions
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.connection import Connection
from actors.runtime.actor import Actor
from supervisor import ExitReason
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")

#: Seconds between two looks at whether a silent connection speaks again.
_LISTEN = 0.05
#: Seconds after which a connection that has answered is useful, and one on which nothing was asked.
_ANSWERED_FOR, _KEPT_FOR = 0.05, 1.0


class ReaderOptions(msgspec.Struct, frozen=True):
    """What all readers of one pub/sub object share.

    Attributes:
        open: connects to a node, by its name in the table, and notes what it waits for.
        reconciler: returns the reconciler of the running manager.
        release: takes a connection back.
        ready: called with a node's name when there is a connection to the node.
        failed: hears of each connection that could not be had, with the node's name.
        subscriber: what takes the messages.
        decode: whether payloads become str.
        max_idle_seconds: silence after which a PING is sent (P9).
        ping_deadline: seconds in which something must come back.
        same_server: whether ``open`` connects to the same server each time. If not, a silent
            connection is given up at once: another server can take its place.
    """

    open: Callable[[str, ConnectProgress], Awaitable[Connection]]
    reconciler: Callable[[], Reconciler]
    release: Callable[[Connection], None]
    failed: Callable[[str, Exception], None]
    ready: Callable[[str], None]
    subscriber: type[Subscriber]
    decode: bool
    max_idle_seconds: float
    ping_deadline: float
    same_server: bool


class ReaderTick(Enum):
    """The reader's own timers."""

    IDLE = "idle"
    PONG = "pong"
    LISTEN = "listen"
    USEFUL = "useful"


class ProviderFailedError(exceptions.ConnectionError):
    """The credential provider raised an error: the reader asks again as after a lost connection."""


class NodeReader(Actor[ReaderTick]):
    """Keeps one node's subscriptions connected; see the module's docstring."""

    def __init__(self, node: str, options: ReaderOptions, progress: ConnectProgress) -> None:
        self.node = node
        self.options = options
        self.progress = progress
        self._subscriber: Subscriber | None = None
        self._renewal: Renewal | None = None
        self._successor: Successor | None = None
        self._pinged_at = self._connected_at = 0.0
        # How many bytes had come before something was asked.
        self._greeting = 0

    @property
    def subscriber(self) -> Subscriber:
        """What takes the node's messages, once the reader has started."""
        assert self._subscriber is not None
        return self._subscriber

    async def on_start(self) -> None:
        """Connect, and take over the node's subscriptions."""
        options, progress = self.options, self.progress
        progress.asks_provider = False
        try:
            connection = await options.open(self.node, self.progress)
        except Exception as error:
            options.failed(self.node, error)
            if not progress.asks_provider:
                raise
            failed = f"{self.node}: the credential provider failed: {error!r}"
            raise ProviderFailedError(failed) from error
        try:
            self._take_over(connection)
        except BaseException:
            connection.abort()
            options.release(connection)
            raise

    def _take_over(self, connection: Connection, *, is_new: bool = False) -> None:
        options = self.options
        reconciler = options.reconciler()
        subscriber = self._subscriber = options.subscriber(
            self.node, connection, reconciler, reconciler.registry.touched, decode=options.decode
        )
        self._connected_at, self._greeting = connection.last_read, connection.bytes_read
        connection.add_close_callback(self._ended)
        gate = reconciler.registry.gate
        if gate is None:
            reconciler.on_connected(subscriber)
        else:
            gate.attach(subscriber, partial(reconciler.on_connected, subscriber))
        if is_new or self.context.incarnation > 1:
            reconciler.registry.reconnects += 1
        options.ready(self.node)
        timers = self.context.timers
        timers.after(options.max_idle_seconds, ReaderTick.IDLE)
        timers.after(_ANSWERED_FOR, ReaderTick.USEFUL)
        if connection.credentials_expire_at is not None:
            self._renewal = Renewal(self.node, connection, lambda: options.reconciler().paused)

    def receive(self, message: ReaderTick) -> None:
        """Act on a timer. Nothing here waits, so that no check holds up another one."""
        match message:
            case ReaderTick.IDLE:
                self._check_idle()
            case ReaderTick.PONG:
                self._check_pong()
            case ReaderTick.LISTEN:
                self._listen()
            case ReaderTick.USEFUL:
                self._check_useful()

    async def on_stop(self, reason: ExitReason) -> None:
        """Let the connection go; the server ends its subscriptions with it."""
        if self._successor is not None:
            self._successor.cancel()
        if self._subscriber is not None:
            self._let_go(self._subscriber, f"the reader stopped ({reason})")

    def _let_go(self, subscriber: Subscriber, reason: str) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        subscriber.connection.abort()
        self.options.release(subscriber.connection)
        self.options.reconciler().on_disconnected(subscriber, reason)

    # -- the end of the connection -----------------------------------------------------------------

    def _ended(self, connection: Connection, cause: BaseException) -> None:
        if connection is not self.subscriber.connection:
            return  # another one has taken its place
        # At once, not by a message: every subscription on it has to find another place.
        self.options.reconciler().on_disconnected(self.subscriber, f"connection lost: {cause}")
        if not isinstance(cause, exceptions.ConnectionError):
            error = exceptions.ConnectionError(f"{self.node}: connection lost: {cause}")
            error.__cause__, cause = cause, error
        self.context.crash(cause)

    # -- proof of use ------------------------------------------------------------------------------

    def _check_useful(self) -> None:
        """Count failures anew, if the connection is of use.

        A peer may accept connections and drop each of them when something is asked. So a connection
        that did not answer is a failure like one that could not be made.
        """
        connection = self.subscriber.connection
        kept_for = asyncio.get_running_loop().time() - self._connected_at
        answered = connection.bytes_read > self._greeting
        if not connection.pending and (answered or kept_for >= _KEPT_FOR):
            self.context.mark_healthy()
        else:
            self.context.timers.after(_KEPT_FOR, ReaderTick.USEFUL)

    # -- proof of life (P9) ------------------------------------------------------------------------

    def _check_idle(self) -> None:
        connection = self.subscriber.connection
        now = asyncio.get_running_loop().time()
        quiet = now - connection.last_read
        allowed = self.options.max_idle_seconds
        if self.options.reconciler().paused:
            # Nothing is read on purpose: silence proves nothing.
            self.context.timers.after(allowed, ReaderTick.IDLE)
        elif quiet < allowed:
            self.context.timers.after(allowed - quiet, ReaderTick.IDLE)
        elif connection.usable:
            self._pinged_at = now
            self.subscriber.ping()
            self.context.timers.after(self.options.ping_deadline, ReaderTick.PONG)

    def _check_pong(self) -> None:
        connection = self.subscriber.connection
        if self._speaks or self.options.reconciler().paused:
            self._check_idle()
        elif not self.options.same_server:
            connection.abort(exceptions.ConnectionError(self._silence))
        elif connection.usable:
            self.subscriber.silent = True
            self._successor = Successor(
                partial(self.options.open, self.node, self.progress),
                self.options.release,
                self._succeed,
            )
            self.context.timers.after(_LISTEN, ReaderTick.LISTEN)

    @property
    def _speaks(self) -> bool:
        """Whether a byte has come since the PING."""
        return self.subscriber.connection.last_read >= self._pinged_at

    @property
    def _silence(self) -> str:
        deadline = self.options.ping_deadline
        return f"{self.node}: silent: no answer to a PING within {deadline} s"

    def _listen(self) -> None:
        """Keep the silent connection, if it speaks before a second one is answered."""
        if self._successor is None:
            return
        if not self._speaks:
            self.context.timers.after(_LISTEN, ReaderTick.LISTEN)
            return
        self._successor.cancel()
        self._successor, self.subscriber.silent = None, False
        log.warning("silent_connection_speaks_again", node=self.node)
        self._check_idle()

    def _succeed(self, opened: Connection | Exception) -> None:
        """Replace the silent connection by a second one, or give up what cannot be replaced."""
        silent = self.subscriber
        if isinstance(opened, Exception):
            if not self._speaks:
                self._successor = None
                silent.connection.abort(exceptions.ConnectionError(self._silence))
            return
        if self._speaks or not silent.connection.usable:
            opened.abort()
            self.options.release(opened)
            return
        self._successor = None
        log.warning("silent_connection_replaced", node=self.node, reason=self._silence)
        try:
            self._let_go(silent, f"connection lost: {self._silence}")
            self._take_over(opened, is_new=True)
        except Exception as error:
            opened.abort()
            self.options.release(opened)
            self.context.crash(error)
