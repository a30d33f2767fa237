"""The reader of one node: a connection as an actor.

on_start: connect -> subscriber up -> healthy
running:  the data plane runs in the connection's callbacks; the actor keeps the proof of life
lost:     the connection ended, or did not answer -> raise -> restarted by the retry policy

IDLE CHECK      no byte for max_idle_seconds -> PING -> no byte for the deadline -> lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from actors.pubsub.connection.subscriber import Subscriber
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.redis import exceptions
from actors.redis.pools.reservations import Reservation
from actors.redis.wire.connection import Connection
from actors.runtime.actor import Actor
from supervisor import ExitReason, RetryPolicy
from supervisor.log import get_logger
from supervisor.retry_session import Decision, Refused, RetrySession, Spent

log = get_logger("mailslot.pubsub")

_OF_CONNECTIONS = (exceptions.RedisError, TimeoutError, OSError)
# Credentials are renewed when this share of their life is left.
_RENEW_AT = 0.2


class ReaderOptions(msgspec.Struct, frozen=True):
    """What all readers of one pub/sub object share.

    Attributes:
        open: connects to a node, by its name in the table, in a reservation of the pool.
        reconciler: returns the reconciler of the running manager.
        release: takes a connection back.
        ready: called with each connection that was had.
        failed: hears of each connection that could not be had.
        subscriber: what takes the messages.
        decode: whether payloads become str.
        max_idle_seconds: silence after which a PING is sent (P9).
        ping_deadline: seconds in which something must come back.
    """

    open: Callable[[str, Reservation], Awaitable[Connection]]
    reconciler: Callable[[], Reconciler]
    release: Callable[[Connection], None]
    failed: Callable[[str, Exception], None]
    ready: Callable[[], None]
    subscriber: type[Subscriber]
    decode: bool
    max_idle_seconds: float
    ping_deadline: float


class ReaderTick(Enum):
    """The reader's own timers."""

    IDLE = "idle"
    PONG = "pong"
    RENEW = "renew"


class NodeReader(Actor[ReaderTick]):
    """Keeps one node's subscriptions connected; see the module's docstring.

    All its incarnations have the same ``reservation`` of a connection in the pool.
    """

    def __init__(self, node: str, options: ReaderOptions, reservation: Reservation) -> None:
        self.node = node
        self.options = options
        self.reservation = reservation
        self._subscriber: Subscriber | None = None
        self._pinged_at = 0.0

    @property
    def subscriber(self) -> Subscriber:
        """What takes the node's messages, once the reader has started."""
        assert self._subscriber is not None
        return self._subscriber

    async def on_start(self) -> None:
        """Connect, and take over the node's subscriptions."""
        options = self.options
        try:
            connection = await options.open(self.node, self.reservation)
        except Exception as error:
            options.failed(self.node, error)
            raise
        try:
            self._take_over(connection)
        except BaseException:
            connection.abort()
            options.release(connection)
            raise

    def _take_over(self, connection: Connection) -> None:
        options = self.options
        reconciler = options.reconciler()
        subscriber = self._subscriber = options.subscriber(
            self.node, connection, reconciler, reconciler.registry.touched, decode=options.decode
        )
        connection.add_close_callback(self._ended)
        reconciler.on_connected(subscriber)
        if self.context.incarnation > 1:
            reconciler.registry.reconnects += 1
        self.context.mark_healthy()
        options.ready()
        self.context.timers.after(options.max_idle_seconds, ReaderTick.IDLE)
        self._plan_renewal()

    def receive(self, message: ReaderTick) -> Awaitable[None] | None:
        """Act on a timer."""
        match message:
            case ReaderTick.IDLE:
                self._check_idle()
            case ReaderTick.PONG:
                self._check_pong()
            case ReaderTick.RENEW:
                return self._renew()
        return None

    async def on_stop(self, reason: ExitReason) -> None:
        """Let the connection go; the server ends its subscriptions with it."""
        subscriber = self._subscriber
        if subscriber is not None:
            subscriber.connection.abort()
            self.options.release(subscriber.connection)
            self.options.reconciler().on_disconnected(subscriber, f"the reader stopped ({reason})")

    # -- the end of the connection -----------------------------------------------------------------

    def _ended(self, connection: Connection, cause: BaseException) -> None:
        # At once, not by a message: every subscription on it has to find another place.
        self.options.reconciler().on_disconnected(self.subscriber, f"connection lost: {cause}")
        if not isinstance(cause, exceptions.ConnectionError):
            error = exceptions.ConnectionError(f"{self.node}: connection lost: {cause}")
            error.__cause__, cause = cause, error
        self.context.crash(cause)

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
        if connection.last_read >= self._pinged_at or self.options.reconciler().paused:
            self._check_idle()
            return
        connection.abort(
            exceptions.ConnectionError(
                f"{self.node}: silent: no answer to a PING within {self.options.ping_deadline} s"
            )
        )

    # -- credentials (P14) -------------------------------------------------------------------------

    def _plan_renewal(self) -> None:
        expires_at = self.subscriber.connection.credentials_expire_at
        if expires_at is not None:
            left = expires_at - asyncio.get_running_loop().time()
            self.context.timers.after(max(0.0, left * (1 - _RENEW_AT)), ReaderTick.RENEW)

    async def _renew(self) -> None:
        try:
            await self.subscriber.connection.reauthenticate()
        except Exception as error:
            # The connection is good until the old credentials end; the next try comes before that.
            log.error("reauthentication_failed", node=self.node, error=str(error))
            self.context.timers.after(1.0, ReaderTick.RENEW)
        else:
            self._plan_renewal()


class ReaderPolicy(RetryPolicy):
    """The user's retry policy; an error of the connection that it does not retry is final.

    For a supervisor an error that no policy retries is a crash like any other, worth a few restarts
    (S5). That is right for bugs. Wrong credentials, say, are reported to the user at once.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__(policy.retryable_exceptions, policy.retries)
        self._policy = policy

    def delay(self, attempt_number: int) -> float:
        """Return the policy's delay."""
        return self._policy.delay(attempt_number)

    def session(self, now: float) -> RetrySession:
        """Return a session of the user's policy whose refusals are final."""
        return _Session(self._policy.session(now))


class _Session(RetrySession):
    __slots__ = ("_session",)

    def __init__(self, session: RetrySession) -> None:
        self._session = session

    def failed(self, error: BaseException, now: float) -> Decision:
        decision = self._session.failed(error, now)
        if isinstance(decision, Refused) and isinstance(error, _OF_CONNECTIONS):
            return Spent(0)
        return decision
