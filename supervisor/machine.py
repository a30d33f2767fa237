"""The supervisor's state machine: its phases, and the steps that follow from what is wanted.

    NEW --begin()--> STARTING --all up--> RUNNING --stop, gave up--> STOPPING --all down--> ENDED
                        |  a start failed, stop                         ^
                        +-----------------------------------------------+

There is no task and no loop of its own: facts and requests change what is wanted, and
:mod:`supervisor.strategy` says what follows. So nothing here ever blocks, and a stop request
interrupts a start or a back-off at any point (S6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from supervisor.child import Child
from supervisor.clock import Clock, LoopClock
from supervisor.deadlines import Deadlines
from supervisor.errors import SpecError
from supervisor.events import (
    Event,
    EventSink,
    GaveUp,
    Stopped,
    Stopping,
    StopReport,
    log_event,
    routine_filter,
)
from supervisor.log import get_logger
from supervisor.reasons import SHUTDOWN, Escalated, ExitReason
from supervisor.spec import ChildSpec, Strategy, SupervisorSpec
from supervisor.strategy import DOWN, START, STOP, STOPPING, InOrder, Step, lone_step

__all__ = ["Machine", "Phase"]

log = get_logger("mailslot.supervisor")


class Phase(Enum):
    """What a supervisor is doing."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Machine:
    """Takes the steps; what is wanted changes in reactions.py and supervisor.py."""

    def __init__(
        self,
        spec: SupervisorSpec | None = None,
        *,
        path: str = "root",
        clock: Clock | None = None,
        sink: EventSink = log_event,
    ) -> None:
        self.spec = spec or SupervisorSpec()
        self.path = path
        self.loop = asyncio.get_running_loop()
        self.clock: Clock = clock or LoopClock(self.loop)
        self.deadlines: Deadlines = Deadlines(self.clock)
        self.sink = sink
        self.kill_grace = self.spec.kill_grace
        self.phase = Phase.NEW
        #: Whether it waits for its children to end.
        self.ending = False
        self.restarts = 0
        self.report: StopReport | None = None
        #: Called with the reason when it has ended: how an owner without a task of its own learns.
        self.on_end: Callable[[ExitReason], None] | None = None
        self._routine = routine_filter(sink)
        self._one_for_one = self.spec.strategy is Strategy.ONE_FOR_ONE
        # Whether each child is on its own now: one_for_one, and neither starting nor stopping.
        self._alone = False
        self._children: dict[str, Child] = {}
        # How many are not down, and whether dynamic children have all been asked to stop: with
        # them the end of ten thousand children costs ten thousand steps, not their square.
        self._live = 0
        self._side_by_side = False
        self._order: InOrder[Child] | None = None
        self._final: ExitReason = SHUTDOWN
        self._deadline: float | None = None
        self._asked_at = 0.0
        self._reports: list[StopReport] = []
        self._up = asyncio.Event()
        self._ended = asyncio.Event()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.ending = phase is Phase.STOPPING
        self._alone = phase is Phase.RUNNING and self._one_for_one

    # -- stops -------------------------------------------------------------------------------------

    def _begin_stop(self, reason: ExitReason, deadline: float | None = None) -> None:
        was_new = self.phase is Phase.NEW
        self._enter(Phase.STOPPING)
        self._final = reason
        self._deadline = deadline
        self._asked_at = self.clock.time()
        self._up.set()
        if isinstance(reason, Escalated):
            self._emit(GaveUp(self.path, reason))
        if not was_new:
            self._emit(Stopping(self.path))
        for child in list(self._children.values()):
            child.wanted = False
            self._call_off(child)
            if child.status is DOWN:
                child.forget()
            elif child.status is STOPPING and deadline is not None:
                child.shorten(deadline)
        self._advance()

    def _call_off(self, child: Child) -> None:
        if child.backoff is not None:
            child.backoff.cancel()
            child.backoff = child.backoff_until = None
            child.due = True

    def _record(self, child: Child, reason: ExitReason, asked: bool, unkillable: bool) -> None:
        below = child.nested.report if child.nested is not None else None
        self._reports.append(
            StopReport(
                path=child.path,
                reason=None if unkillable else reason,
                seconds=self.clock.time() - child.asked_at if asked else 0.0,
                unkillable=unkillable,
                children=below.children if below is not None else (),
            )
        )
        child.wanted = False
        child.forget()

    def _finish(self) -> None:
        self._enter(Phase.ENDED)
        self.deadlines.close()
        self.report = StopReport(
            path=self.path,
            reason=self._final,
            seconds=self.clock.time() - self._asked_at,
            children=tuple(self._reports),
        )
        self._emit(Stopped(self.path, self.report))
        self._ended.set()
        if self.on_end is not None:
            try:
                self.on_end(self._final)
            except Exception as error:
                log.error("on_end_failed", path=self.path, error=repr(error), exc_info=error)

    # -- steps -------------------------------------------------------------------------------------

    def child_started(self, child: Child) -> None:
        """A child is up."""
        raise NotImplementedError

    def child_down(
        self, child: Child, reason: ExitReason, *, asked: bool, unkillable: bool
    ) -> None:
        """A child ended, or was left behind."""
        raise NotImplementedError

    def _add(self, spec: ChildSpec) -> Child:
        if spec.id in self._children:
            raise SpecError(self.path, [f"there is a child {spec.id!r} already"])
        most = self.spec.max_children
        if most is not None and len(self._children) >= most:
            raise SpecError(self.path, [f"there are {most} children already (max_children)"])
        child = Child(spec, f"{self.path}/{spec.id}", self)
        self._children[spec.id] = child
        return child

    def _remove(self, child: Child) -> None:
        # Its id may have been taken again by now.
        if self._children.get(child.spec.id) is child:
            del self._children[child.spec.id]

    def _advance(self, child: Child | None = None) -> None:
        """Act on a change of what is wanted: of ``child``, or of anything."""
        self._order = None
        self._continue(child)

    def _continue(self, child: Child | None = None) -> None:
        """Take the next steps after a child did what it was told."""
        if child is not None and self._alone:
            self._take(lone_step(child), child)
        elif not self.ending or not self.spec.dynamic:
            self._continue_in_order()
        elif not self._side_by_side:
            self._side_by_side = True
            for each in list(self._children.values()):
                self._take(lone_step(each), each)
        if self.ending and self._live == 0:
            self._finish()

    def _continue_in_order(self) -> None:
        order = self._order
        if order is None:
            children = list(self._children.values())
            order = self._order = InOrder(children, beside=self._one_for_one)
        if step := order.next_step():
            self._take(*step)
        if order.done:
            self._order = None
            if self.phase is Phase.STARTING:
                self._enter(Phase.RUNNING)
                self._up.set()

    def _take(self, step: Step, child: Child) -> None:
        if step is START:
            self._live += 1
            child.start()
        elif step is STOP:
            child.stop(self._deadline)

    def _emit(self, event: Event) -> None:
        try:
            self.sink(event)
        except Exception as error:
            log.error(
                "event_sink_failed", kind=type(event).__name__, error=repr(error), exc_info=error
            )
