"""A supervisor's phases, and the steps that take its children to what is wanted of them.

    NEW --begin()--> STARTING --all up--> RUNNING --stop, gave up--> STOPPING --all down--> ENDED
                        |  a start failed, stop                         ^
                        +-----------------------------------------------+

A lifecycle has no task and no loop of its own: facts and requests change what is wanted of the
children, and :mod:`supervisor.strategy` says what to stop or start next. So nothing here ever
blocks, and a stop request interrupts a start or a back-off at any point (S6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from supervisor.child import Child
from supervisor.clock import Clock
from supervisor.log import get_logger
from supervisor.model.errors import SpecError
from supervisor.model.events import Event, EventSink, GaveUp, Stopped, Stopping, StopReport
from supervisor.model.reasons import SHUTDOWN, Escalated, ExitReason
from supervisor.model.spec import Restart, Strategy, SupervisorSpec
from supervisor.strategy import DOWN, START, STOP, STOPPING, InOrder, Step, lone_step

log = get_logger("mailslot.supervisor")


class Phase(Enum):
    """What a supervisor is doing."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Lifecycle:
    """Starts and stops a supervisor's children.

    Attributes:
        children: by id, in start order.
        ending: whether the supervisor waits for its children to end.
        lone: whether no child's steps depend on its siblings: under one_for_one, while running.
        live: how many children are not down.
        final: why the supervisor ends.
        report: how it ended, once it has.
        up: set when all children are up, or a stop begins.
        ended: set when the supervisor has ended.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        path: str,
        clock: Clock,
        sink: EventSink,
        on_end: Callable[[ExitReason], None],
    ) -> None:
        self.children: dict[str, Child] = {}
        self.phase = Phase.NEW
        self.ending = False
        self.lone = False
        self.live = 0
        self.final: ExitReason = SHUTDOWN
        self.report: StopReport | None = None
        self.up = asyncio.Event()
        self.ended = asyncio.Event()
        self.spec = spec
        self.clock = clock
        self._path = path
        self._sink = sink
        self._on_end = on_end
        self._one_for_one = spec.strategy is Strategy.ONE_FOR_ONE
        self._order: InOrder[Child] | None = None
        # Whether all dynamic children have been asked to stop. Each is asked once, so that the end
        # of ten thousand children costs ten thousand steps, not their square.
        self._all_asked = False
        self._deadline: float | None = None
        self._asked_at = 0.0
        self._reports: list[StopReport] = []

    def emit(self, event: Event) -> None:
        """Give ``event`` to the sink."""
        try:
            self._sink(event)
        except Exception as error:
            kind = type(event).__name__
            log.error("event_sink_failed", kind=kind, error=repr(error), exc_info=error)

    # -- children ----------------------------------------------------------------------------------

    def add(self, child: Child) -> None:
        """Add a child at the end.

        Raises:
            SpecError: its id is taken, or there are ``max_children`` already.
        """
        most = self.spec.max_children
        if child.spec.id in self.children:
            raise SpecError(self._path, [f"there is a child {child.spec.id!r} already"])
        if most is not None and len(self.children) >= most:
            raise SpecError(self._path, [f"there are {most} children already (max_children)"])
        self.children[child.spec.id] = child

    def remove(self, child: Child) -> None:
        """Drop ``child`` and its spec."""
        # Its id may have been taken again by now.
        if self.children.get(child.spec.id) is child:
            del self.children[child.spec.id]

    def settle(self, child: Child) -> None:
        """Take note that ``child`` is down as it should be: for good, or to restart in its turn."""
        if not child.wanted:
            if self.spec.dynamic or child.spec.restart is Restart.TEMPORARY:
                self.remove(child)
            child.forget()

    def back_off(self, child: Child, delay: float) -> None:
        """Delay the next start of ``child`` by ``delay`` seconds."""

        def over() -> None:
            self.end_backoff(child)
            self.advance(child)

        child.due = False
        child.backoff_until = self.clock.time() + delay
        child.backoff = self.clock.call_later(delay, over)

    def end_backoff(self, child: Child) -> None:
        """Let ``child`` start at once, if it backs off."""
        if child.backoff is not None:
            child.backoff.cancel()
            child.backoff = child.backoff_until = None
            child.due = True

    # -- steps -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to start the children."""
        self._enter(Phase.STARTING)
        self.advance()

    def start_lone(self, child: Child) -> None:
        """Start a child that was just added, where ``lone`` holds."""
        self._order = None
        self._take(START, child)

    def stop_lone(self, child: Child) -> None:
        """Stop a running child, where ``lone`` holds."""
        child.stop(self._deadline)

    def advance(self, child: Child | None = None) -> None:
        """Take the next steps after what is wanted of ``child``, or of any child, changed."""
        self._order = None
        self.proceed(child)

    def proceed(self, child: Child | None = None) -> None:
        """Take the next steps after ``child``, or any child, did what it was told."""
        if child is not None and self.lone:
            self._take(lone_step(child), child)
        elif not self.ending or not self.spec.dynamic:
            self._proceed_in_order()
        elif not self._all_asked:
            self._all_asked = True
            for each in list(self.children.values()):
                self._take(lone_step(each), each)
        if self.ending and self.live == 0:
            self._finish()

    def _proceed_in_order(self) -> None:
        order = self._order
        if order is None:
            children = list(self.children.values())
            order = self._order = InOrder(children, beside=self._one_for_one)
        if step := order.next_step():
            self._take(*step)
        if order.done:
            self._order = None
            if self.phase is Phase.STARTING:
                self._enter(Phase.RUNNING)
                self.up.set()

    def _take(self, step: Step, child: Child) -> None:
        if step is START:
            self.live += 1
            child.start()
        elif step is STOP:
            child.stop(self._deadline)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.ending = phase is Phase.STOPPING
        self.lone = phase is Phase.RUNNING and self._one_for_one

    # -- the end -----------------------------------------------------------------------------------

    def stop(self, reason: ExitReason, deadline: float | None = None) -> None:
        """Begin to stop all children by ``deadline``, and to end with ``reason``."""
        was_new = self.phase is Phase.NEW
        self._enter(Phase.STOPPING)
        self.final = reason
        self._deadline = deadline
        self._asked_at = self.clock.time()
        self.up.set()
        if isinstance(reason, Escalated):
            self.emit(GaveUp(self._path, reason))
        if not was_new:
            self.emit(Stopping(self._path))
        for child in list(self.children.values()):
            child.wanted = False
            self.end_backoff(child)
            if child.status is DOWN:
                child.forget()
            elif child.status is STOPPING and deadline is not None:
                child.shorten(deadline)
        self.advance()

    def shorten(self, deadline: float) -> None:
        """Apply an earlier deadline to the stop that is going on."""
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
            for child in list(self.children.values()):
                child.shorten(deadline)

    def record(
        self, child: Child, reason: ExitReason, asked_at: float | None, *, unkillable: bool
    ) -> None:
        """Add how ``child`` ended to the report."""
        below = None if child.nested is None else child.nested.report
        self._reports.append(
            StopReport(
                path=child.path,
                reason=None if unkillable else reason,
                seconds=0.0 if asked_at is None else self.clock.time() - asked_at,
                unkillable=unkillable,
                children=() if below is None else below.children,
            )
        )
        child.wanted = False
        child.forget()

    def _finish(self) -> None:
        self._enter(Phase.ENDED)
        self.report = StopReport(
            path=self._path,
            reason=self.final,
            seconds=self.clock.time() - self._asked_at,
            children=tuple(self._reports),
        )
        self.emit(Stopped(self._path, self.report))
        self.ended.set()
        self._on_end(self.final)
