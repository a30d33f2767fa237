"""A child as its start function, its supervisor and their users see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from supervisor.errors import SupervisorExit, to_exception
from supervisor.lifecycle import Lifecycle, Owner
from supervisor.log import get_logger
from supervisor.reasons import SHUTDOWN, ExitReason
from supervisor.spec import ChildSpec
from supervisor.strategy import DOWN, RUNNING

if TYPE_CHECKING:
    from supervisor.clock import Timer
    from supervisor.retry_policy import RetrySession

__all__ = ["Child"]

log = get_logger("mailslot.supervisor")


class Child(Lifecycle):
    """One child of a supervisor, through all its incarnations.

    Attributes:
        spec: what it was made from.
        path: ids from the root down, joined by ``/``.
        status: what it is doing.
        incarnation: how many times it was started.
        last_exit: why it last ended.
        describe: set by the start function: returns what the tree shows of it.
        nested: set by the start function of a child that is a supervisor.
    """

    __slots__ = (
        "_down_waiters",
        "_healthy_at",
        "_start_waiters",
        "_up_since",
        "backoff",
        "backoff_until",
        "describe",
        "due",
        "forgotten",
        "recycle",
        "retry",
        "wanted",
        "was_up",
    )

    def __init__(self, spec: ChildSpec, path: str, owner: Owner) -> None:
        Lifecycle.__init__(self, spec, path, owner)
        self.describe: Callable[[], Mapping[str, Any]] | None = None
        # What the supervisor wants of it; see strategy.ChildState.
        self.wanted = True
        self.recycle = False
        self.due = True
        # The count of consecutive failures, and the wait before the next start.
        self.retry: RetrySession | None = None
        self.backoff: Timer | None = None
        self.backoff_until: float | None = None
        # Whether it ever came up, and whether its end for good has been told.
        self.was_up = False
        self.forgotten = False
        self._up_since: float | None = None
        self._healthy_at: float | None = None
        self._start_waiters: list[asyncio.Future[ExitReason | None]] | None = None
        self._down_waiters: list[asyncio.Future[None]] | None = None

    # -- for the start function --------------------------------------------------------------------

    def mark_healthy(self) -> None:
        """Say that it does its work: its consecutive failures are counted anew (S5)."""
        if self._healthy_at is None:
            self._healthy_at = self._owner.clock.time()

    # -- for everybody -----------------------------------------------------------------------------

    async def wait_started(self) -> None:
        """Wait until it runs.

        Raises:
            StartError or whatever ended it, when it ended for good before that.
        """
        if self.status is RUNNING:
            return
        gone: ExitReason | None
        if self.status is DOWN and not self.wanted:
            gone = self.last_exit or SHUTDOWN
        else:
            waiter: asyncio.Future[ExitReason | None] = self._owner.loop.create_future()
            if self._start_waiters is None:
                self._start_waiters = []
            self._start_waiters.append(waiter)
            gone = await waiter
        if gone is not None:
            error = to_exception(gone)
            if isinstance(error, Exception):
                raise error
            # Not the child's SystemExit or cancellation itself: that would end who waits here.
            raise SupervisorExit(gone) from error

    async def wait_down(self) -> None:
        """Wait until no incarnation runs."""
        while self.status is not DOWN:
            waiter: asyncio.Future[None] = self._owner.loop.create_future()
            if self._down_waiters is None:
                self._down_waiters = []
            self._down_waiters.append(waiter)
            await waiter

    @property
    def restarts(self) -> int:
        """How many of the starts were restarts."""
        return max(0, self.incarnation - 1)

    @property
    def owner(self) -> Owner:
        """The supervisor, for the parts of itself that it shares: clock, sink, loop."""
        return self._owner

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The running incarnation's task."""
        return self._task

    @property
    def uptime(self) -> float:
        """Seconds since it last came up; 0.0 when it is not up."""
        if self._up_since is None or self.status is DOWN:
            return 0.0
        return self._owner.clock.time() - self._up_since

    @property
    def healthy_for(self) -> float | None:
        """Seconds for which it has been healthy, or None when it is not."""
        now = self._owner.clock.time()
        if self._healthy_at is not None:
            return now - self._healthy_at
        after = self.spec.healthy_after
        if after is None or self._up_since is None:
            return None
        return now - self._up_since - after if now - self._up_since >= after else None

    # -- for the supervisor ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an incarnation."""
        self.recycle = False
        self._up_since = self._healthy_at = None
        Lifecycle.start(self)

    @property
    def asked_at(self) -> float:
        """When it was last asked to stop, on the supervisor's clock."""
        return self._asked_at

    def forget(self) -> None:
        """Note, once, that no incarnation will follow."""
        if self.forgotten:
            return
        self.forgotten = True
        reason = self.last_exit or SHUTDOWN
        if self._start_waiters:
            self._wake_start_waiters(reason)
        if self.spec.on_gone is not None:
            try:
                self.spec.on_gone(reason)
            except Exception as error:
                log.error("on_gone_failed", path=self.path, error=repr(error), exc_info=error)

    # -- inside ------------------------------------------------------------------------------------

    def _came_up(self) -> None:
        self.was_up = True
        self._up_since = self._owner.clock.time()
        if self._start_waiters:
            self._wake_start_waiters(None)
        self._owner.child_started(self)

    def _went_down(self, reason: ExitReason, *, asked: bool, unkillable: bool) -> None:
        self.describe = None
        self._owner.child_down(self, reason, asked=asked, unkillable=unkillable)
        if self._down_waiters:
            waiters, self._down_waiters = self._down_waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _wake_start_waiters(self, gone: ExitReason | None) -> None:
        waiters, self._start_waiters = self._start_waiters or [], None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(gone)
