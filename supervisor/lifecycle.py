"""One incarnation after another: a task, its start handshake, its stop deadlines, how it ended.

    DOWN --start()--> STARTING --started()--> RUNNING --stop()--> STOPPING --task ends--> DOWN
                         |  task ends, or stop(): cancelled          |
                         +----------------------> DOWN <-------------+  (left behind: unkillable)

A child asked to stop gets its stop callback called; one without is cancelled, which is how it is
asked. At its deadline it is cancelled (again). A task that survives that for the grace period is
reported and left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from supervisor.deadlines import stop_deadline
from supervisor.errors import SupervisorExit
from supervisor.log import get_logger
from supervisor.reasons import KILLED, NORMAL, SHUTDOWN, Crashed, ExitReason, StartFailed
from supervisor.spec import ChildSpec
from supervisor.strategy import DOWN, RUNNING, STARTING, STOPPING

if TYPE_CHECKING:
    from supervisor.child import Child
    from supervisor.clock import Clock
    from supervisor.deadlines import Deadlines
    from supervisor.events import EventSink
    from supervisor.supervisor import Supervisor

__all__ = ["Lifecycle", "Owner", "runs_in"]

log = get_logger("mailslot.supervisor")

AskStop = Callable[[float | None], None]


class Owner(Protocol):
    """What a child knows of its supervisor, and tells it."""

    clock: Clock
    sink: EventSink
    loop: asyncio.AbstractEventLoop
    deadlines: Deadlines
    kill_grace: float

    def child_started(self, child: Child) -> None:
        """A child is up."""

    def child_down(
        self, child: Child, reason: ExitReason, *, asked: bool, unkillable: bool
    ) -> None:
        """A child ended, or was left behind."""


def runs_in(task: asyncio.Task[Any] | None) -> bool:
    """Return whether this is called from within ``task``."""
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False


class Lifecycle:
    """The state machine of one child; :class:`supervisor.child.Child` is its public face."""

    __slots__ = (
        "_ask_stop",
        "_ask_while_starting",
        "_asked_at",
        "_cancel_reason",
        "_context",
        "_entered",
        "_killed",
        "_owner",
        "_task",
        "incarnation",
        "last_exit",
        "nested",
        "path",
        "spec",
        "status",
    )

    def __init__(self, spec: ChildSpec, path: str, owner: Owner) -> None:
        self.spec = spec
        self.path = path
        self.status = DOWN
        self.incarnation = 0
        self.last_exit: ExitReason | None = None
        self.nested: Supervisor | None = None
        self._owner = owner
        # Each incarnation gets a copy of what was current when the child was added. A start may
        # follow from a sibling's task, whose context variables are none of this child's business.
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._entered = False
        self._ask_stop: AskStop | None = None
        self._ask_while_starting = False
        self._cancel_reason: ExitReason | None = None
        self._killed = False
        self._asked_at = 0.0

    def _came_up(self) -> None:
        """Its start is over."""
        raise NotImplementedError

    def _went_down(self, reason: ExitReason, *, asked: bool, unkillable: bool) -> None:
        """It ended, or was left behind."""
        raise NotImplementedError

    # -- for the start function --------------------------------------------------------------------

    def started(self) -> None:
        """Say that the start is over: the next sibling may start."""
        # One whose start has timed out comes too late, also if it did not notice its cancellation.
        if self.status is STARTING and self._cancel_reason is None:
            if self.spec.start_timeout is not None:
                self._owner.deadlines.drop(self)
            self.status = RUNNING
            self._came_up()

    def on_stop(self, ask: AskStop, *, while_starting: bool = False) -> None:
        """Have ``ask(deadline)`` called to ask for a stop, instead of cancellation.

        Args:
            ask: must not block. The deadline is a point on the supervisor's clock, or None; it is
                called again when an earlier one comes to apply.
            while_starting: call it during the start, too, which is cancelled otherwise.
        """
        self._ask_stop = ask
        self._ask_while_starting = while_starting

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self.status is STOPPING

    # -- for the supervisor ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an incarnation."""
        owner, timeout = self._owner, self.spec.start_timeout
        self.incarnation += 1
        self.status = STARTING
        self.nested = None
        self._entered = False
        self._ask_stop = None
        self._cancel_reason = None
        self._killed = False
        self._task = task = owner.loop.create_task(
            self._main(), name=self.path, context=self._context.copy()
        )
        task.add_done_callback(self._never_entered, context=self._context)
        if timeout is not None:
            owner.deadlines.set(self, owner.clock.time() + timeout)

    def stop(self, total: float | None) -> None:
        """Ask for a stop; ``total`` is the deadline of everything around it, or None."""
        starting = self.status is STARTING
        self.status = STOPPING
        now = self._asked_at = self._owner.clock.time()
        if self._cancel_reason is not None:
            return  # its start had timed out: cancelled already, and in its grace
        deadline = stop_deadline(now, self.spec.shutdown, total)
        if deadline is None:
            self._owner.deadlines.drop(self)
        elif deadline > now:
            self._owner.deadlines.set(self, deadline)
        else:
            self._kill()
            return
        if self._ask_stop is None or (starting and not self._ask_while_starting):
            self._cancel(SHUTDOWN)
        elif not self._ask(deadline):
            self._kill()

    def shorten(self, total: float) -> None:
        """Apply an earlier ``total`` to a stop that is going on."""
        if self._killed:
            return
        # Counted from when it was asked: another request must not lengthen its own allowance.
        deadline = stop_deadline(self._asked_at, self.spec.shutdown, total)
        assert deadline is not None
        if deadline <= self._owner.clock.time():
            self._kill()
            return
        self._owner.deadlines.set(self, deadline)
        if self._cancel_reason is None:
            self._ask(deadline)

    def deadline_passed(self) -> None:
        """Take the next harsher measure."""
        if self._killed:
            self._leave_behind()
        elif self.status is STARTING:
            late = TimeoutError(f"{self.path} did not start within {self.spec.start_timeout} s")
            self._kill(StartFailed(self.spec.id, late))
        else:
            self._kill()

    # -- inside ------------------------------------------------------------------------------------

    def _ask(self, deadline: float | None) -> bool:
        assert self._ask_stop is not None
        try:
            self._ask_stop(deadline)
        except Exception as error:
            log.error("stop_request_failed", path=self.path, error=repr(error))
            return False
        return True

    def _cancel(self, reason: ExitReason) -> None:
        self._cancel_reason = reason
        if self._task is not None:
            self._task.cancel()

    def _kill(self, reason: ExitReason = KILLED) -> None:
        now = self._owner.clock.time()
        self._killed = True
        self._owner.deadlines.set(self, now + self._owner.kill_grace)
        if self.nested is not None:
            self.nested.request_stop(now)
        self._cancel(reason)

    def _leave_behind(self) -> None:
        nested = self.nested
        if nested is not None and nested.ending:
            # It waits for its own children, each of which has a deadline: that comes to an end.
            now = self._owner.clock.time()
            self._owner.deadlines.set(self, now + self._owner.kill_grace)
        else:
            self._end(self._cancel_reason or KILLED, unkillable=True)

    async def _main(self) -> None:
        incarnation = self.incarnation
        self._entered = True
        if self._task is not None:
            self._task.remove_done_callback(self._never_entered)
        reason: ExitReason
        try:
            await self.spec.start(self)  # type: ignore[arg-type]
        except asyncio.CancelledError as error:
            # A cancellation that nobody here asked for is somebody else's, and a crash (S2).
            reason = self._cancel_reason or Crashed(error)
        except SupervisorExit as error:
            reason = error.reason if self.nested is not None else Crashed(error)
        except GeneratorExit as error:
            if not runs_in(self._task):
                raise  # nobody raised it: the loop is gone, and with it the task
            reason = Crashed(error)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt among them: raised from here they would tear the
            # loop down with every other child in it. As a reason they stop the system in order.
            reason = Crashed(error)
        else:
            # Also when it returned in spite of a cancellation: it did not end in time.
            reason = self._cancel_reason or (SHUTDOWN if self.stopping else NORMAL)
        if self.incarnation != incarnation or self.status is DOWN:
            log.warning("unkillable_child_ended", path=self.path, reason=str(reason))
        elif not self._owner.loop.is_closed():
            self._end(reason)

    def _never_entered(self, task: asyncio.Task[None]) -> None:
        # A task cancelled before its first step never runs _main. Every other one has removed this
        # callback there, and ends without another turn of the loop.
        if not self._entered:
            self._end(self._cancel_reason or Crashed(asyncio.CancelledError()))

    def _end(self, reason: ExitReason, *, unkillable: bool = False) -> None:
        asked = self.status is STOPPING
        if self.status is STARTING and not reason.normal:
            reason = self._start_failure(reason)
        self._task = None
        self._owner.deadlines.drop(self)
        self.status = DOWN
        self.last_exit = reason
        self._went_down(reason, asked=asked, unkillable=unkillable)

    def _start_failure(self, reason: ExitReason) -> ExitReason:
        if isinstance(reason, Crashed) and reason.fatal:
            return reason
        if self._killed and self._cancel_reason is not None:
            return self._cancel_reason  # the time-out, not what came of it
        if isinstance(reason, StartFailed):
            return reason
        return StartFailed(self.spec.id, reason.error or SupervisorExit(reason))
