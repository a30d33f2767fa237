"""One incarnation of a child: its task, its start, its stop deadlines, and how it ended.

    STARTING --started()--> RUNNING --stop()--> STOPPING --task ends--> DOWN
       |  task ends, or stop(): cancelled          |
       +-------------------> DOWN <----------------+  (left behind: unkillable)

A stop calls the child's stop callback; a child without one is cancelled. At the deadline the task
is cancelled (again). A task that survives that for the grace period is reported as unkillable and
left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol

from supervisor.clock import Clock, Deadlines, stop_deadline
from supervisor.log import get_logger
from supervisor.model.errors import SupervisorExit
from supervisor.model.events import StopReport
from supervisor.model.reasons import (
    KILLED,
    LOOP_ENDS,
    NORMAL,
    SHUTDOWN,
    Crashed,
    ExitReason,
    StartFailed,
)
from supervisor.model.spec import ChildSpec
from supervisor.strategy import DOWN, RUNNING, STARTING, STOPPING

__all__ = ["ChildTask", "runs_in"]

log = get_logger("mailslot.supervisor")

#: Asks for a stop by a deadline: a point on the supervisor's clock, or None.
AskStop = Callable[[float | None], None]


class Nested(Protocol):
    """What a child needs of the supervisor that it runs; see ``Supervisor``."""

    @property
    def ending(self) -> bool: ...
    @property
    def loop_ends(self) -> bool: ...
    @property
    def report(self) -> StopReport | None: ...
    def request_stop(self, deadline: float | None = None) -> None: ...


class TaskSupervisor(Protocol):
    """What an incarnation needs of its supervisor."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    deadlines: Deadlines
    kill_grace: float

    @property
    def loop_ends(self) -> bool:
        """Whether whatever its loop runs is being cancelled."""


class TaskChild(Protocol):
    """What an incarnation needs of its child, and reports to it; see ``Child``."""

    spec: ChildSpec
    path: str
    nested: Nested | None

    def _came_up(self) -> None:
        """The start is over."""

    def _went_down(self, reason: ExitReason, asked_at: float | None, unkillable: bool) -> None:
        """The task ended, or was left behind (``unkillable``).

        ``asked_at``: the time of the first request to stop.
        """


def runs_in(task: asyncio.Task[Any] | None) -> bool:
    """Return whether the caller runs in ``task``."""
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False


class ChildTask:
    """Runs a child's start function once.

    Attributes:
        status: what the child is doing.
        task: the asyncio task; None once it ended or was left behind.
        asked_at: when it was first asked to stop, on the supervisor's clock, or None.
    """

    __slots__ = (
        "_ask_stop",
        "_ask_while_starting",
        "_cancel_reason",
        "_child",
        "_entered",
        "_killed",
        "_owner",
        "asked_at",
        "status",
        "task",
    )

    def __init__(
        self,
        child: TaskChild,
        owner: TaskSupervisor,
        context: contextvars.Context,
    ) -> None:
        self.status = STARTING
        self.asked_at: float | None = None
        self._child = child
        self._owner = owner
        self._entered = False
        self._ask_stop: AskStop | None = None
        self._ask_while_starting = False
        self._cancel_reason: ExitReason | None = None
        self._killed = False
        self.task: asyncio.Task[None] | None = owner.loop.create_task(
            self._main(), name=child.path, context=context.copy()
        )
        self.task.add_done_callback(self._never_entered, context=context)
        if (timeout := child.spec.start_timeout) is not None:
            owner.deadlines.set(self, owner.clock.time() + timeout)

    # -- for the start function --------------------------------------------------------------------

    def started(self) -> None:
        """Note that the start is over."""
        # After a time-out of the start this comes too late, even if the task goes on.
        if self.status is STARTING and self._cancel_reason is None:
            if self._child.spec.start_timeout is not None:
                self._owner.deadlines.drop(self)
            self.status = RUNNING
            self._child._came_up()

    def on_stop(self, ask: AskStop, *, while_starting: bool) -> None:
        """Ask for a stop by ``ask``, ``while_starting`` too, instead of by cancellation."""
        self._ask_stop = ask
        self._ask_while_starting = while_starting

    # -- for the supervisor ------------------------------------------------------------------------

    def stop(self, total: float | None) -> None:
        """Ask for a stop; ``total`` is the whole supervisor's deadline, or None."""
        starting = self.status is STARTING
        self.status = STOPPING
        now = self.asked_at = self._owner.clock.time()
        if self._cancel_reason is not None:
            return  # its start timed out: it is cancelled already, and in its grace period
        deadline = stop_deadline(now, self._child.spec.shutdown, total)
        if deadline is None:
            self._owner.deadlines.drop(self)
        elif deadline > now:
            self._owner.deadlines.set(self, deadline)
        else:
            self._kill(KILLED)
            return
        if self._ask_stop is None or (starting and not self._ask_while_starting):
            self._cancel(SHUTDOWN)
        elif not self._ask(deadline):
            self._kill(KILLED)

    def shorten(self, total: float) -> None:
        """Apply an earlier ``total`` deadline to a stop that is going on."""
        if self._killed or self.asked_at is None:
            return
        # Counted from the first request: another one must not lengthen the child's own allowance.
        deadline = stop_deadline(self.asked_at, self._child.spec.shutdown, total)
        assert deadline is not None
        if deadline <= self._owner.clock.time():
            self._kill(KILLED)
            return
        self._owner.deadlines.set(self, deadline)
        if self._cancel_reason is None:
            self._ask(deadline)

    def deadline_passed(self) -> None:
        """Cancel the task, or leave it behind if it was cancelled before."""
        if self._killed:
            self._leave_behind()
        elif self.status is STARTING:
            spec, path = self._child.spec, self._child.path
            late = TimeoutError(f"{path} did not start within {spec.start_timeout} s")
            self._kill(StartFailed(spec.id, late))
        else:
            self._kill(KILLED)

    # -- inside ------------------------------------------------------------------------------------

    def _ask(self, deadline: float | None) -> bool:
        assert self._ask_stop is not None
        try:
            self._ask_stop(deadline)
        except Exception as error:
            log.error("stop_request_failed", path=self._child.path, error=repr(error))
            return False
        return True

    def _cancel(self, reason: ExitReason) -> None:
        self._cancel_reason = reason
        if self.task is not None:
            self.task.cancel()

    def _kill(self, reason: ExitReason) -> None:
        self._killed = True
        now = self._set_grace()
        if self._child.nested is not None:
            self._child.nested.request_stop(now)
        self._cancel(reason)

    def _set_grace(self) -> float:
        now = self._owner.clock.time()
        self._owner.deadlines.set(self, now + self._owner.kill_grace)
        return now

    def _leave_behind(self) -> None:
        nested = self._child.nested
        if nested is not None and nested.ending:
            self._set_grace()  # it waits for children that have deadlines of their own
        else:
            self._end(self._cancel_reason or KILLED, unkillable=True)

    async def _main(self) -> None:
        self._entered = True
        if self.task is not None:
            self.task.remove_done_callback(self._never_entered)
        child = self._child
        reason: ExitReason
        try:
            life = child.spec.start(child)
            if life is None:
                raise TypeError("start returned None, not a coroutine: define it with `async def`")
            await life
        except asyncio.CancelledError as error:
            reason = self._cancel_reason or self._cancelled_by_others(error)
        except SupervisorExit as error:
            reason = error.reason if child.nested is not None else Crashed(error)
        except GeneratorExit as error:
            if not runs_in(self.task):
                raise  # the interpreter closes the coroutine, since its loop is gone
            reason = Crashed(error)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt, too: raised from here they would end the loop with
            # every other child in it. As a reason they stop the system in order.
            reason = Crashed(error)
        else:
            # A task that was cancelled and returns did not end in time, either.
            reason = self._cancel_reason or (SHUTDOWN if self.status is STOPPING else NORMAL)
        if self.status is DOWN:
            log.warning("unkillable_child_ended", path=child.path, reason=str(reason))
        elif not self._owner.loop.is_closed():
            self._end(reason)

    def _never_entered(self, task: asyncio.Task[None]) -> None:
        # For a task that is cancelled before its first step: it never runs _main(), which removes
        # this callback so that all other tasks end without another turn of the loop.
        if not self._entered and self.status is not DOWN:
            error = asyncio.CancelledError()
            self._end(self._cancel_reason or self._cancelled_by_others(error))

    def _cancelled_by_others(self, error: asyncio.CancelledError) -> ExitReason:
        """Return the reason for a cancellation that the supervisor did not ask for (S2).

        That is a crash, unless everything is cancelled with it.
        """
        nested = self._child.nested
        if self._owner.loop_ends or (nested is not None and nested.loop_ends):
            return LOOP_ENDS
        return Crashed(error)

    def _end(self, reason: ExitReason, *, unkillable: bool = False) -> None:
        if self.status is STARTING and not reason.normal:
            reason = self._start_failure(reason)
        self.task = None
        self._owner.deadlines.drop(self)
        self.status = DOWN
        self._child._went_down(reason, self.asked_at, unkillable)

    def _start_failure(self, reason: ExitReason) -> ExitReason:
        if isinstance(reason, Crashed) and reason.fatal:
            return reason
        if self._killed and self._cancel_reason is not None:
            return self._cancel_reason  # the time-out, not what came of it
        if isinstance(reason, StartFailed):
            return reason
        return StartFailed(self._child.spec.id, reason.error or SupervisorExit(reason))
