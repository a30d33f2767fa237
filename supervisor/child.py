"""A child of a supervisor: what stays of it from one incarnation to the next."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from supervisor.child_task import AskStop, ChildTask, Nested, TaskSupervisor
from supervisor.clock import Timer
from supervisor.log import get_logger
from supervisor.model.errors import SupervisorExit, to_exception
from supervisor.model.events import EventSink
from supervisor.model.reasons import SHUTDOWN, ExitReason
from supervisor.model.retry_session import RetrySession
from supervisor.model.spec import ChildSpec
from supervisor.strategy import DOWN, RUNNING, STOPPING, Status

__all__ = ["Child"]

T = TypeVar("T")
log = get_logger("mailslot.supervisor")


class Owner(TaskSupervisor, Protocol):
    """What a child needs of its supervisor, and reports to it; see ``Reactions``."""

    sink: EventSink

    def child_started(self, child: Child) -> None: ...
    def child_down(
        self, child: Child, reason: ExitReason, asked_at: float | None, *, unkillable: bool
    ) -> None: ...


class Child:
    """One child of a supervisor, through all its incarnations.

    Attributes:
        spec: what it was made from.
        path: ids from the root down, joined by ``/``.
        owner: its supervisor.
        incarnation: how many times it was started.
        last_exit: why it last ended.
        describe: set by the start function; returns the child's ``detail`` in the tree.
        nested: set by the start function of a child that is a supervisor; that supervisor.
        wanted: whether the supervisor wants it up in the end.
        recycle: whether it must come down first, because a sibling restarts.
        due: whether it may start now: not during a back-off.
        retry: its consecutive failures under its retry policy, once it failed.
        backoff: the timer of its back-off; None: there is none.
        backoff_until: when its back-off ends, on the supervisor's clock; None: there is none.
        was_up: whether it ever came up.
        forgotten: whether its waiters and ``on_gone`` know that it will not start again.
    """

    __slots__ = (
        "_context",
        "_down_waiters",
        "_healthy_at",
        "_run",
        "_start_waiters",
        "_up_since",
        "backoff",
        "backoff_until",
        "describe",
        "due",
        "forgotten",
        "incarnation",
        "last_exit",
        "nested",
        "owner",
        "path",
        "recycle",
        "retry",
        "spec",
        "wanted",
        "was_up",
    )

    def __init__(self, spec: ChildSpec, path: str, owner: Owner) -> None:
        self.spec = spec
        self.path = path
        self.owner = owner
        self.incarnation = 0
        self.last_exit: ExitReason | None = None
        self.describe: Callable[[], Mapping[str, Any]] | None = None
        self.nested: Nested | None = None
        self.wanted = True
        self.recycle = False
        self.due = True
        self.retry: RetrySession | None = None
        self.backoff: Timer | None = None
        self.backoff_until: float | None = None
        self.was_up = False
        self.forgotten = False
        # The context variables of whoever added the child. A start may happen in a sibling's task,
        # and must not take over that task's variables.
        self._context = contextvars.copy_context()
        # None while it is down: otherwise the two would be a cycle, which only the garbage
        # collector frees, and children come and go by the ten thousand a second.
        self._run: ChildTask | None = None
        self._up_since: float | None = None
        self._healthy_at: float | None = None
        self._start_waiters: Sequence[asyncio.Future[ExitReason | None]] = ()
        self._down_waiters: Sequence[asyncio.Future[None]] = ()

    # -- for the start function --------------------------------------------------------------------

    def started(self) -> None:
        """Report that the start is over, so that the next sibling may start."""
        if self._run is not None:
            self._run.started()

    def on_stop(self, ask: AskStop, *, while_starting: bool = False) -> None:
        """Have a stop call ``ask(deadline)`` instead of cancelling the task.

        Args:
            ask: must not block. The deadline is a point on the supervisor's clock, or None;
                another call follows when an earlier deadline comes to apply.
            while_starting: whether that goes for a stop during the start, too.
        """
        if self._run is not None:
            self._run.on_stop(ask, while_starting=while_starting)

    def mark_healthy(self) -> None:
        """Report that it does its work: its consecutive failures are counted anew (S5)."""
        if self._healthy_at is None:
            self._healthy_at = self.owner.clock.time()

    # -- for its users -----------------------------------------------------------------------------

    async def wait_started(self) -> None:
        """Wait until it runs.

        Raises:
            StartError, or the error that it ended with: it ended for good before it ran.
        """
        if self.status is RUNNING:
            return
        gone: ExitReason | None
        if self.status is DOWN and not self.wanted:
            gone = self.last_exit or SHUTDOWN
        else:
            waiter: asyncio.Future[ExitReason | None] = self.owner.loop.create_future()
            self._start_waiters = [*self._start_waiters, waiter]
            gone = await waiter
        if gone is not None:
            error = to_exception(gone)
            if isinstance(error, Exception):
                raise error
            # The child's SystemExit or cancellation itself would end the waiting task.
            raise SupervisorExit(gone) from error

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        while self.status is not DOWN:
            waiter: asyncio.Future[None] = self.owner.loop.create_future()
            self._down_waiters = [*self._down_waiters, waiter]
            await waiter

    @property
    def status(self) -> Status:
        """What it is doing."""
        return DOWN if self._run is None else self._run.status

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self.status is STOPPING

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The running incarnation's task."""
        return None if self._run is None else self._run.task

    @property
    def restarts(self) -> int:
        """How many of the starts were restarts."""
        return max(0, self.incarnation - 1)

    @property
    def uptime(self) -> float:
        """Seconds since it last came up; 0.0 when it is not up."""
        if self._up_since is None or self._run is None:
            return 0.0
        return self.owner.clock.time() - self._up_since

    @property
    def healthy_for(self) -> float | None:
        """Seconds for which it has been healthy, or None when it is not."""
        now = self.owner.clock.time()
        if self._healthy_at is not None:
            return now - self._healthy_at
        after = self.spec.healthy_after
        if after is None or self._up_since is None:
            return None
        return now - self._up_since - after if now - self._up_since >= after else None

    # -- for the supervisor ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an incarnation."""
        self.incarnation += 1
        self.recycle = False
        self.nested = None
        self._up_since = self._healthy_at = None
        self._run = ChildTask(self, self.owner, self._context)

    def stop(self, total: float | None) -> None:
        """Ask for a stop; ``total`` is the whole supervisor's deadline, or None."""
        if self._run is not None:
            self._run.stop(total)

    def shorten(self, total: float) -> None:
        """Apply an earlier ``total`` deadline to a stop that is going on."""
        if self._run is not None:
            self._run.shorten(total)

    def forget(self) -> None:
        """Tell its waiters and ``on_gone``, once, that no incarnation will follow."""
        if self.forgotten:
            return
        self.forgotten = True
        reason = self.last_exit or SHUTDOWN
        waiters, self._start_waiters = self._start_waiters, ()
        _wake(waiters, reason)
        if self.spec.on_gone is not None:
            try:
                self.spec.on_gone(reason)
            except Exception as error:
                log.error("on_gone_failed", path=self.path, error=repr(error), exc_info=error)

    # -- what its incarnation reports --------------------------------------------------------------

    def _came_up(self) -> None:
        self.was_up = True
        self._up_since = self.owner.clock.time()
        waiters, self._start_waiters = self._start_waiters, ()
        _wake(waiters, None)
        self.owner.child_started(self)

    def _went_down(self, reason: ExitReason, asked_at: float | None, unkillable: bool) -> None:
        self._run = None
        self.last_exit = reason
        self.describe = None
        self.owner.child_down(self, reason, asked_at, unkillable=unkillable)
        waiters, self._down_waiters = self._down_waiters, ()
        _wake(waiters, None)


def _wake(waiters: Sequence[asyncio.Future[T]], result: T) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(result)
