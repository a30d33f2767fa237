"""The supervisor: facts in, stops and starts out.

    NEW --start()--> STARTING --all up--> RUNNING --stop(), gave up--> STOPPING --all down--> ENDED
                        |  a start failed, stop()                          ^
                        +--------------------------------------------------+

There is no task and no loop of its own: a child's start, its end and a timer are callbacks that
change what is wanted, and :func:`supervisor.strategy.next_steps` says what follows. So nothing here
ever blocks, and a stop request interrupts a start or a back-off at any point (S6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from supervisor.child import Child
from supervisor.clock import Clock, LoopClock
from supervisor.errors import SpecError, SupervisorError, to_exception
from supervisor.events import (
    ChildExited,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ChildUnkillable,
    Event,
    EventSink,
    GaveUp,
    Stopped,
    Stopping,
    StopReport,
    log_event,
)
from supervisor.intensity import Window, add_restart
from supervisor.log import get_logger
from supervisor.nesting import child_node
from supervisor.reasons import Crashed, Escalated, ExitReason, Killed, Shutdown, StartFailed
from supervisor.retry import Refused, Retry, Spent
from supervisor.spec import AutoShutdown, ChildSpec, Restart, Strategy, SupervisorSpec
from supervisor.strategy import Status, goes_down_with, next_steps
from supervisor.tree import TreeNode

__all__ = ["Phase", "Supervisor"]

log = get_logger("mailslot.supervisor")

#: A child healthy for less than this many seconds waits for its policy's first delay instead of
#: restarting at once: one that is accepted and dropped again and again must not spin.
MIN_HEALTHY = 1.0


class Phase(Enum):
    """What a supervisor is doing."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Supervisor:
    """Starts children, restarts those that fail, and stops them in order.

    Args:
        spec: strategy, limits and first children.
        path: its place in the tree.
        clock: where time comes from; the running loop by default.
        sink: called with each lifecycle event; logs them by default.
    """

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
        self.sink = sink
        self.kill_grace = self.spec.kill_grace
        self.phase = Phase.NEW
        self.restarts = 0
        self._one_for_one = self.spec.strategy is Strategy.ONE_FOR_ONE
        self._children: dict[str, Child] = {}
        self._window: Window = ()
        # How many are not down, and whether dynamic children have all been asked to stop: with
        # them the end of ten thousand children costs ten thousand steps, not their square.
        self._live = 0
        self._side_by_side = False
        self._final: ExitReason = Shutdown()
        self._deadline: float | None = None
        self._asked_at = 0.0
        self._reports: list[StopReport] = []
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self.report: StopReport | None = None
        #: Called with the reason when it has ended: how an owner without a task of its own learns.
        self.on_end: Callable[[ExitReason], None] | None = None

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the children one after another (S1).

        Raises:
            StartError: one failed; those started before it were stopped again, in reverse.
        """
        self.begin()
        try:
            await self._up.wait()
            if self.phase is Phase.STOPPING:
                await self._ended.wait()
        except asyncio.CancelledError:
            self.request_stop(self.clock.time())
            await self._ended.wait()
            raise
        if self.phase is Phase.ENDED and (error := to_exception(self._final)):
            raise error

    def begin(self) -> None:
        """Begin to start; a supervisor without first children is running when this returns."""
        if self.phase is not Phase.NEW:
            raise SupervisorError(f"{self.path} was started before: make a new one")
        self.phase = Phase.STARTING
        for spec in self.spec.children:
            self._add(spec)
        self._advance()

    async def wait(self) -> ExitReason:
        """Wait until it has ended, and return why."""
        await self._ended.wait()
        return self._final

    def request_stop(self, deadline: float | None = None) -> None:
        """Begin to stop; a second request can only shorten the deadline (a point on the clock)."""
        if self.phase is Phase.ENDED:
            return
        if self.phase is Phase.STOPPING:
            if deadline is not None and (self._deadline is None or deadline < self._deadline):
                self._deadline = deadline
                for child in self._children.values():
                    if child.status is Status.STOPPING:
                        child.stop(deadline)
            return
        self._begin_stop(self._final, deadline)

    async def stop(self, timeout: float | None = None) -> StopReport:
        """Stop the children in reverse order (dynamic ones side by side) and report (S7).

        Args:
            timeout: seconds for all of them together; each has its own limit in any case.
        """
        self.request_stop(None if timeout is None else self.clock.time() + timeout)
        await self._ended.wait()
        assert self.report is not None
        return self.report

    async def run(self, child: Child) -> None:
        """Be a child of another supervisor; raises what it ended with, if that was abnormal."""
        child.nested = self
        child.on_stop(self.request_stop)
        await self.start()
        child.started()
        try:
            reason = await self.wait()
        except asyncio.CancelledError:
            self.request_stop(self.clock.time())
            await self._ended.wait()
            raise
        if error := to_exception(reason):
            raise error

    # -- children ----------------------------------------------------------------------------------

    def start_child(self, spec: ChildSpec) -> Child:
        """Add a child at the end and begin to start it; ``await child.wait_started()`` follows it.

        As in OTP, an added child whose first start fails is given up with its spec, unless its
        retry policy says otherwise.

        Raises:
            SpecError: its id is taken, or there are ``max_children`` already.
            SupervisorError: the supervisor is not running.
        """
        if self.phase not in (Phase.RUNNING, Phase.STARTING):
            raise SupervisorError(f"{self.path} is {self.phase.value}: it takes no new children")
        child = self._add(spec)
        if self._one_for_one and self.phase is Phase.RUNNING:
            self._start(child)
        else:
            self._advance()
        return child

    async def stop_child(self, id: str) -> ExitReason | None:
        """Stop a child for good and return how it ended; None: there is no such child.

        The spec stays, unless the child is temporary or the supervisor dynamic.
        """
        child = self._children.get(id)
        if child is None:
            return None
        self.request_child_stop(child)
        await child.wait_down()
        return child.last_exit

    def request_child_stop(self, child: Child) -> None:
        """Begin to stop one child for good."""
        child.wanted = False
        self._call_off(child)
        if child.status is Status.DOWN:
            self._settle(child)
        else:
            self._advance(child)

    def restart_child(self, id: str) -> Child:
        """Start a stopped child again; KeyError where there is none."""
        child = self._children[id]
        child.wanted = True
        self._advance(child)
        return child

    def delete_child(self, id: str) -> None:
        """Forget a stopped child's spec; SupervisorError when it runs."""
        if self._children[id].status is not Status.DOWN:
            raise SupervisorError(f"{self.path}/{id} is up: stop it first")
        del self._children[id]

    def child(self, id: str) -> Child | None:
        """Return the child called ``id``, or None."""
        return self._children.get(id)

    def __len__(self) -> int:
        return len(self._children)

    def tree(self) -> TreeNode:
        """Return what runs, as a value."""
        return TreeNode(
            id=self.path.rpartition("/")[2],
            path=self.path,
            kind="supervisor",
            status=self.phase.value,
            restarts=self.restarts,
            children=self.nodes(),
        )

    def nodes(self) -> tuple[TreeNode, ...]:
        """Return the children's part of the tree."""
        return tuple(child_node(child, self.clock.time()) for child in self._children.values())

    # -- facts -------------------------------------------------------------------------------------

    def child_started(self, child: Child) -> None:
        """A child is up."""
        self._emit(ChildStarted(child.path, child.incarnation))
        if self.phase is Phase.STARTING or not self._one_for_one:
            self._advance()

    def child_down(self, child: Child, reason: ExitReason | None, *, asked: bool) -> None:
        """A child ended, or was left behind (``reason`` None)."""
        self._live -= 1
        if reason is None:
            self._emit(ChildUnkillable(child.path, child.incarnation))
        exit_reason = reason or Killed()
        fatal = isinstance(exit_reason, Crashed) and exit_reason.fatal
        if self.phase is Phase.STOPPING:
            if fatal:
                self._final = exit_reason
            self._record(child, reason)
        elif fatal:
            self._emit(ChildExited(child.path, child.incarnation, exit_reason))
            self._record(child, reason)
            self._begin_stop(exit_reason)
        elif asked:
            self._settle(child)
        elif child.recycle or not child.wanted:
            # It went by itself before its turn to be stopped came: one restart, not two.
            self._emit(ChildExited(child.path, child.incarnation, exit_reason))
            self._settle(child)
        else:
            self._unasked(child, exit_reason)

    def _settle(self, child: Child) -> None:
        """A child is down as it should be: for good, or before it starts again with a sibling."""
        if not child.wanted:
            if self.spec.dynamic or child.spec.restart is Restart.TEMPORARY:
                self._children.pop(child.spec.id, None)
            child.forget()
        self._advance(child)

    def _unasked(self, child: Child, reason: ExitReason) -> None:
        failed_start = isinstance(reason, StartFailed)
        kind = ChildStartFailed if failed_start else ChildExited
        self._emit(kind(child.path, child.incarnation, reason))
        restart = child.spec.restart
        again = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.normal)
        first = failed_start and child.incarnation == 1
        delay = self._retry_delay(child, reason) if again else None
        if self.phase is Phase.STOPPING:  # the policy was spent
            return
        if first and delay is None and self.phase is Phase.STARTING:
            self._begin_stop(reason)
        elif not again or (first and delay is None):
            self._let_go(child, reason)
        elif delay is not None or self._within_intensity(reason):
            self._restart(child, delay or 0.0)

    def _let_go(self, child: Child, reason: ExitReason) -> None:
        child.wanted = False
        if self.spec.dynamic or child.spec.restart is Restart.TEMPORARY or not reason.normal:
            self._children.pop(child.spec.id, None)
        child.forget()
        if child.spec.significant and self._significant_end():
            self._begin_stop(Shutdown("significant children ended"))
        else:
            self._advance(child)

    def _significant_end(self) -> bool:
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        return not any(child.spec.significant and child.wanted for child in self._children.values())

    # -- restarts ----------------------------------------------------------------------------------

    def _retry_delay(self, child: Child, reason: ExitReason) -> float | None:
        """Ask the child's retry policy (S5); None: it has no say, or its say ended everything."""
        policy, error = child.spec.retry_policy, reason.error
        if policy is None or error is None:
            return None
        healthy_for = child.healthy_for
        now = self.clock.time()
        if child.retry is None or healthy_for is not None:
            child.retry = policy.session(now)
        decision = child.retry.failed(error, now)
        match decision:
            case Retry(delay, _):
                return 0.0 if healthy_for is not None and healthy_for >= MIN_HEALTHY else delay
            case Spent(attempts):
                self._give_up(Escalated(error, attempts))
            case Refused():
                pass
        return None

    def _within_intensity(self, reason: ExitReason) -> bool:
        now = self.clock.time()
        limit, period = self.spec.intensity, self.spec.period
        self._window, allowed = add_restart(self._window, now, limit, period)
        if not allowed:
            self._give_up(Escalated(reason.error, len(self._window) - 1))
        return allowed

    def _restart(self, child: Child, delay: float) -> None:
        self.restarts += 1
        self._emit(ChildRestarting(child.path, delay, child.restarts + 1))
        if not self._one_for_one:
            self._take_down_with(child)
        if delay > 0:
            child.due = False
            child.backoff_until = self.clock.time() + delay
            child.backoff = self.clock.call_later(delay, lambda: self._backoff_over(child))
        self._advance(child)

    def _take_down_with(self, child: Child) -> None:
        children = list(self._children.values())
        assert isinstance(self.spec.strategy, Strategy)
        for i in goes_down_with(self.spec.strategy, children.index(child), len(children)):
            sibling = children[i]
            if sibling.spec.restart is Restart.TEMPORARY:
                sibling.wanted = False
            elif sibling.status is not Status.DOWN:
                sibling.recycle = True

    def _backoff_over(self, child: Child) -> None:
        self._call_off(child)
        self._advance(child)

    def _call_off(self, child: Child) -> None:
        if child.backoff is not None:
            child.backoff.cancel()
        child.backoff = child.backoff_until = None
        child.due = True

    def _give_up(self, reason: Escalated) -> None:
        self._emit(GaveUp(self.path, reason))
        self._begin_stop(reason)

    # -- stops -------------------------------------------------------------------------------------

    def _begin_stop(self, reason: ExitReason, deadline: float | None = None) -> None:
        was_new = self.phase is Phase.NEW
        self.phase = Phase.STOPPING
        self._final = reason
        self._deadline = deadline
        self._asked_at = self.clock.time()
        self._up.set()
        if not was_new:
            self._emit(Stopping(self.path))
        for child in self._children.values():
            child.wanted = False
            self._call_off(child)
        self._advance()

    def _record(self, child: Child, reason: ExitReason | None) -> None:
        below = child.nested.report if child.nested is not None else None
        self._reports.append(
            StopReport(
                path=child.path,
                reason=reason,
                seconds=child.stopped_in,
                unkillable=reason is None,
                children=below.children if below is not None else (),
            )
        )
        child.wanted = False
        child.forget()
        if self.phase is Phase.STOPPING:
            self._advance()

    def _finish(self) -> None:
        self.phase = Phase.ENDED
        self.report = StopReport(
            path=self.path,
            reason=self._final,
            seconds=self.clock.time() - self._asked_at,
            children=tuple(self._reports),
        )
        self._emit(Stopped(self.path, self.report))
        self._ended.set()
        if self.on_end is not None:
            self.on_end(self._final)

    # -- steps -------------------------------------------------------------------------------------

    def _add(self, spec: ChildSpec) -> Child:
        if spec.id in self._children:
            raise SpecError(self.path, [f"there is a child {spec.id!r} already"])
        most = self.spec.max_children
        if most is not None and len(self._children) >= most:
            raise SpecError(self.path, [f"there are {most} children already (max_children)"])
        child = Child(spec, f"{self.path}/{spec.id}", self)
        self._children[spec.id] = child
        return child

    def _advance(self, child: Child | None = None) -> None:
        """Take the next steps; where only ``child`` changed and stands alone, only its own."""
        if self._side_by_side:
            if self._live == 0:
                self._finish()
            return
        alone = self._one_for_one and self.phase is Phase.RUNNING
        self._side_by_side = self.spec.dynamic and self.phase is Phase.STOPPING
        children = [child] if child is not None and alone else list(self._children.values())
        in_order = not alone and not self._side_by_side
        steps = next_steps(children, in_order=in_order)
        for position in steps.stop:
            children[position].stop(self._deadline)
        for position in steps.start:
            self._start(children[position])
        if self.phase is Phase.STARTING:
            if all(c.status is Status.RUNNING or not c.wanted for c in children):
                self.phase = Phase.RUNNING
                self._up.set()
        elif self.phase is Phase.STOPPING and self._live == 0:
            self._finish()

    def _start(self, child: Child) -> None:
        self._live += 1
        child.start()

    def _emit(self, event: Event) -> None:
        try:
            self.sink(event)
        except Exception as error:
            log.error("event_sink_failed", kind=type(event).__name__, error=repr(error))
