"""One child: a task, its start handshake, its stop deadlines, and how it ended.

    DOWN --start()--> STARTING --started()--> RUNNING --stop()--> STOPPING --task ends--> DOWN
                         |  task ends, or stop(): cancelled          |
                         +----------------------> DOWN <-------------+  (left behind: unkillable)

A child asked to stop gets its stop callback called and has until its deadline; then its task is
cancelled; a task that survives that for the grace period is reported and left behind. A child
without a stop callback is cancelled at once: cancellation is how it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.errors import SupervisorExit, to_exception
from supervisor.log import get_logger
from supervisor.reasons import Crashed, ExitReason, Killed, Normal, Shutdown, StartFailed
from supervisor.retry import RetrySession
from supervisor.shutdown import stop_deadline
from supervisor.spec import ChildSpec
from supervisor.strategy import Status

if TYPE_CHECKING:
    from supervisor.clock import Clock, Timer
    from supervisor.events import EventSink
    from supervisor.supervisor import Supervisor

__all__ = ["Child"]

log = get_logger("mailslot.supervisor")

_NORMAL = Normal()
_SHUTDOWN = Shutdown()
_KILLED = Killed()


class Owner(Protocol):
    """What a child tells its supervisor."""

    clock: Clock
    sink: EventSink
    loop: asyncio.AbstractEventLoop
    kill_grace: float

    def child_started(self, child: Child) -> None: ...
    def child_down(self, child: Child, reason: ExitReason | None, *, asked: bool) -> None: ...


class Child:
    """A child as its start function and its supervisor's users see it.

    Attributes:
        spec: what it was made from.
        path: ids from the root down, joined by ``/``.
        status: what it is doing.
        incarnation: how many times it was started.
        restarts: how many of these were restarts.
        last_exit: why it last ended.
        describe: set by the start function: returns what the tree shows of it.
        nested: set by the start function of a child that is a supervisor.
    """

    __slots__ = (
        "_ask_stop",
        "_asked_at",
        "_cancel_reason",
        "_down_waiters",
        "_healthy_at",
        "_owner",
        "_started_at",
        "_task",
        "_timer",
        "_waiters",
        "backoff",
        "backoff_until",
        "describe",
        "due",
        "incarnation",
        "last_exit",
        "nested",
        "path",
        "recycle",
        "restarts",
        "retry",
        "spec",
        "status",
        "stopped_in",
        "wanted",
    )

    def __init__(self, spec: ChildSpec, path: str, owner: Owner) -> None:
        self.spec = spec
        self.path = path
        self.status = Status.DOWN
        self.incarnation = 0
        self.restarts = 0
        self.last_exit: ExitReason | None = None
        self.describe: Callable[[], Mapping[str, Any]] | None = None
        self.nested: Supervisor | None = None
        # What the supervisor wants of it; see strategy.ChildState.
        self.wanted = True
        self.recycle = False
        self.due = True
        # The count of consecutive failures, and the wait before the next start.
        self.retry: RetrySession | None = None
        self.backoff: Timer | None = None
        self.backoff_until: float | None = None
        self.stopped_in = 0.0
        self._owner = owner
        self._task: asyncio.Task[ExitReason] | None = None
        self._timer: Timer | None = None
        self._ask_stop: Callable[[float | None], None] | None = None
        self._cancel_reason: ExitReason | None = None
        self._asked_at = 0.0
        self._started_at = 0.0
        self._healthy_at: float | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._down_waiters: list[asyncio.Future[None]] | None = None

    # -- for the start function --------------------------------------------------------------------

    def started(self) -> None:
        """Say that the start is over: the next sibling may start."""
        if self.status is Status.STARTING:
            self._disarm()
            self.status = Status.RUNNING
            if self._waiters:
                self._wake(None)
            self._owner.child_started(self)

    def mark_healthy(self) -> None:
        """Say that it does its work: its consecutive failures are counted anew (S5)."""
        if self._healthy_at is None:
            self._healthy_at = self._owner.clock.time()

    def on_stop(self, ask: Callable[[float | None], None]) -> None:
        """Have ``ask(deadline)`` called to ask for a stop, instead of cancellation.

        The deadline is a point on the supervisor's clock, or None.
        """
        self._ask_stop = ask

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self.status is Status.STOPPING

    # -- for everybody -----------------------------------------------------------------------------

    async def wait_started(self) -> None:
        """Wait until it runs.

        Raises:
            StartError or whatever ended it, when it ended for good before that.
        """
        while self.status is not Status.RUNNING:
            if self._gone:
                reason = self.last_exit or _SHUTDOWN
                raise to_exception(reason) or SupervisorExit(reason)
            if self._waiters is None:
                self._waiters = []
            await self._wait_in(self._waiters)

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        while self.status is not Status.DOWN:
            if self._down_waiters is None:
                self._down_waiters = []
            await self._wait_in(self._down_waiters)

    @property
    def owner(self) -> Owner:
        """The supervisor, for the parts of itself that it shares: clock, sink, loop."""
        return self._owner

    @property
    def task(self) -> asyncio.Task[ExitReason] | None:
        """The running incarnation's task."""
        return self._task

    @property
    def uptime(self) -> float:
        """Seconds since the last start; 0.0 when it is down."""
        return 0.0 if self._task is None else self._owner.clock.time() - self._started_at

    @property
    def healthy_for(self) -> float | None:
        """Seconds for which it has been healthy, or None when it is not."""
        now = self._owner.clock.time()
        if self._healthy_at is not None:
            return now - self._healthy_at
        after = self.spec.healthy_after
        ran = now - self._started_at
        return ran - after if after is not None and ran >= after else None

    # -- for the supervisor ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an incarnation."""
        owner = self._owner
        self.incarnation += 1
        self.restarts += self.incarnation > 1
        self.status = Status.STARTING
        self.recycle = False
        self._ask_stop = None
        self._cancel_reason = None
        self._healthy_at = None
        self._started_at = owner.clock.time()
        self._task = task = owner.loop.create_task(self._main(), name=self.path)
        task.add_done_callback(self._ended)
        if self.spec.start_timeout is not None:
            self._timer = owner.clock.call_later(self.spec.start_timeout, self._start_timed_out)

    def stop(self, total: float | None) -> None:
        """Ask for a stop; ``total`` is the deadline of everything around it, or None."""
        was_starting = self.status is Status.STARTING
        self._disarm()
        self.status = Status.STOPPING
        now = self._asked_at = self._owner.clock.time()
        ask = self._ask_stop
        if ask is None or was_starting:
            self._cancel(_SHUTDOWN)
            return
        deadline = stop_deadline(now, self.spec.shutdown, total)
        if deadline is not None:
            if deadline <= now:
                self._cancel(_KILLED)
                return
            self._timer = self._owner.clock.call_later(deadline - now, self._deadline_passed)
        try:
            ask(deadline)
        except Exception as error:
            log.error("stop_request_failed", path=self.path, error=repr(error))
            self._cancel(_KILLED)

    def forget(self) -> None:
        """Note that no incarnation will follow."""
        if self._waiters:
            self._wake(self.last_exit or _SHUTDOWN)
        if self.spec.on_gone is not None:
            self.spec.on_gone(self.last_exit or _SHUTDOWN)

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _gone(self) -> bool:
        return self.status is Status.DOWN and not self.wanted

    async def _main(self) -> ExitReason:
        try:
            await self.spec.start(self)
        except asyncio.CancelledError as error:
            # A cancellation that nobody here asked for is somebody else's, and a crash (S2).
            return self._cancel_reason or Crashed(error)
        except SupervisorExit as error:
            return error.reason if self.nested is not None else Crashed(error)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt among them: raised from here they would tear the
            # loop down with every other child in it. As a reason they stop the system in order.
            return Crashed(error)
        return _SHUTDOWN if self.status is Status.STOPPING else _NORMAL

    def _ended(self, task: asyncio.Task[ExitReason]) -> None:
        # A task cancelled before its first step never entered _main.
        reason = (self._cancel_reason or _KILLED) if task.cancelled() else task.result()
        if task is not self._task:
            log.warning("unkillable_child_ended", path=self.path, reason=str(reason))
            return
        self._task = None
        self._disarm()
        if self.status is Status.STARTING and not reason.normal:
            reason = self._start_failure(reason)
        self._down(reason)

    def _start_failure(self, reason: ExitReason) -> ExitReason:
        if isinstance(reason, StartFailed | Killed) or (
            isinstance(reason, Crashed) and reason.fatal
        ):
            return reason
        return StartFailed(self.spec.id, reason.error or SupervisorExit(reason))

    def _down(self, reason: ExitReason | None) -> None:
        asked = self.status is Status.STOPPING
        self.stopped_in = self._owner.clock.time() - self._asked_at if asked else 0.0
        self.status = Status.DOWN
        self.describe = None
        self.last_exit = reason or _KILLED
        self._owner.child_down(self, reason, asked=asked)
        if self._down_waiters:
            waiters, self._down_waiters = self._down_waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _cancel(self, reason: ExitReason) -> None:
        self._cancel_reason = reason
        if self._task is not None:
            self._task.cancel()
            self._timer = self._owner.clock.call_later(self._owner.kill_grace, self._unkillable)

    def _deadline_passed(self) -> None:
        self._timer = None
        self._cancel(_KILLED)

    def _start_timed_out(self) -> None:
        self._timer = None
        self._cancel(
            StartFailed(
                self.spec.id,
                TimeoutError(f"{self.path} did not start within {self.spec.start_timeout} s"),
            )
        )

    def _unkillable(self) -> None:
        self._timer = None
        self._task = None
        self._down(None)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_in(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self._owner.loop.create_future()
        waiters.append(waiter)
        await waiter

    def _wake(self, gone: ExitReason | None) -> None:
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            if waiter.done():
                continue
            if gone is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(to_exception(gone) or SupervisorExit(gone))
