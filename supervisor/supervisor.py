"""The supervisor: what its users, its parent and its children tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from supervisor.child import Child
from supervisor.clock import Clock, Deadlines, LoopClock
from supervisor.event_log import log_event, routine_filter
from supervisor.lifecycle import Lifecycle, Phase
from supervisor.log import get_logger
from supervisor.model.errors import SupervisorError, to_exception
from supervisor.model.events import EventSink, StopReport
from supervisor.model.reasons import LOOP_ENDS, SHUTDOWN, ExitReason
from supervisor.model.retry_policy import RetryPolicy
from supervisor.model.spec import ChildSpec, Restart, SupervisorSpec
from supervisor.reactions import Reactions
from supervisor.strategy import DOWN, RUNNING
from supervisor.tree import TreeNode, child_nodes

__all__ = ["Phase", "Supervisor", "supervisor_child"]

log = get_logger("mailslot.supervisor")


class Supervisor:
    """Starts children, restarts those that fail, and stops them in order.

    Args:
        spec: strategy, limits and first children.
        path: its place in the tree.
        clock: where time comes from; the running loop by default.
        sink: called with each lifecycle event; logs them by default.

    Attributes:
        on_end: called with the reason when it has ended; for owners that have no task to wait in.
    """

    def __init__(
        self,
        spec: SupervisorSpec | None = None,
        *,
        path: str = "root",
        clock: Clock | None = None,
        sink: EventSink = log_event,
    ) -> None:
        if spec is not None and not isinstance(spec, SupervisorSpec):
            raise TypeError(f"spec must be a SupervisorSpec, or None, not {spec!r}")
        self.spec = spec or SupervisorSpec()
        self.path = path
        self.loop = asyncio.get_running_loop()
        self.clock: Clock = clock or LoopClock(self.loop)
        self.deadlines = Deadlines(self.clock)
        self.sink = sink
        self.kill_grace = self.spec.kill_grace
        self.on_end: Callable[[ExitReason], None] | None = None
        # The child of another supervisor as which this one runs; None: it is a root.
        self._child: Child | None = None
        self._lifecycle = Lifecycle(self.spec, path, self.clock, sink, self._has_ended)
        self._reactions = Reactions(self._lifecycle, routine_filter(sink))
        # Its children report their starts and ends here.
        self.child_started = self._reactions.child_started
        self.child_down = self._reactions.child_down

    @property
    def phase(self) -> Phase:
        """What it is doing."""
        return self._lifecycle.phase

    @property
    def ending(self) -> bool:
        """Whether it waits for its children to end."""
        return self._lifecycle.ending

    @property
    def loop_ends(self) -> bool:
        """Whether whatever its loop runs is being cancelled, as asyncio.run() does at its end.

        Then every task of the tree is. Where no child is a supervisor, or there is one task only,
        that may be chance: then every task of the loop has to be.
        """
        top = self
        while top._lifecycle.final is not LOOP_ENDS:
            if top._child is None or not isinstance(top._child.owner, Supervisor):
                break
            top = top._child.owner
        else:
            return True
        tasks = set(top.tasks())
        children = top._lifecycle.children.values()
        if len(tasks) == 1 or all(child.nested is None for child in children):
            tasks = asyncio.all_tasks(self.loop)
        return all(task.cancelling() for task in tasks)

    def tasks(self) -> Iterator[asyncio.Task[None]]:
        """Yield the tasks of all below it, at any depth."""
        left = [self]
        while left:
            for child in left.pop()._lifecycle.children.values():
                if child.task is not None:
                    yield child.task
                    if isinstance(child.nested, Supervisor):
                        left.append(child.nested)

    @property
    def restarts(self) -> int:
        """How many restarts of its children there have been."""
        return self._reactions.restarts

    @property
    def report(self) -> StopReport | None:
        """How it ended, once it has."""
        return self._lifecycle.report

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the children one after another (S1).

        It returns when all are up, or when a stop that was asked for meanwhile is over. When it
        is cancelled, the children already started are stopped.

        Raises:
            StartError: a child failed; those started before it were stopped, in reverse order.
            EscalatedError: the retry policy of a child is spent, or children crashed too often.
        """
        self.begin()
        try:
            await self._lifecycle.up.wait()
            if self.ending:
                await self._lifecycle.ended.wait()
        except asyncio.CancelledError:
            await self._end_now()
            raise
        if self.phase is Phase.ENDED and (error := to_exception(self._lifecycle.final)):
            raise error

    def begin(self) -> None:
        """Begin to start; a supervisor without first children runs when this returns."""
        if self.phase is not Phase.NEW:
            raise SupervisorError(f"{self.path} was started or stopped before: make a new one")
        for spec in self.spec.children:
            self._add(spec)
        self._lifecycle.begin()

    async def wait(self) -> ExitReason:
        """Wait until it has ended, and return why."""
        await self._lifecycle.ended.wait()
        return self._lifecycle.final

    def request_stop(self, deadline: float | None = None) -> None:
        """Begin to stop by ``deadline``, a point on the clock; another call can only shorten it."""
        if self.phase is Phase.ENDED:
            return
        if not self.ending:
            self._lifecycle.stop(SHUTDOWN, deadline)
        elif deadline is not None:
            self._lifecycle.shorten(deadline)

    async def stop(self, timeout: float | None = None) -> StopReport:
        """Stop the children in reverse order (dynamic ones side by side) and report (S7).

        Args:
            timeout: seconds for all of them together; each has its own limit in any case.
        """
        self.request_stop(None if timeout is None else self.clock.time() + timeout)
        await self._lifecycle.ended.wait()
        assert self.report is not None
        return self.report

    async def run(self, child: Child) -> None:
        """Run as ``child`` of another supervisor; raise its reason to end, if that is abnormal."""
        child.nested = self
        self._child = child
        child.on_stop(self.request_stop, while_starting=True)
        await self.start()
        child.started()
        try:
            reason = await self.wait()
        except asyncio.CancelledError:
            await self._end_now()
            raise
        if error := to_exception(reason):
            raise error

    async def _end_now(self) -> None:
        # Another cancellation must not interrupt this: children must not outlive their supervisor.
        # Each of them ends, or is left behind, within the grace period.
        if not self.loop_ends:
            self.request_stop(self.clock.time())
        elif self.ending:
            self._lifecycle.final = LOOP_ENDS
        elif self.phase is not Phase.ENDED:
            self._lifecycle.stop(LOOP_ENDS)
        while self.phase is not Phase.ENDED:
            try:
                await self._lifecycle.ended.wait()
            except asyncio.CancelledError:
                continue

    def _has_ended(self, reason: ExitReason) -> None:
        self.deadlines.close()
        if self.on_end is not None:
            try:
                self.on_end(reason)
            except Exception as error:
                log.error("on_end_failed", path=self.path, error=repr(error), exc_info=error)

    # -- children ----------------------------------------------------------------------------------

    def start_child(self, spec: ChildSpec) -> Child:
        """Add a child at the end and begin to start it; ``child.wait_started()`` waits for it.

        As in OTP, an added child whose first start fails is given up with its spec, unless its
        retry policy grants another attempt.

        Raises:
            SpecError: its id is taken, or there are ``max_children`` already.
            SupervisorError: the supervisor is not running.
        """
        lifecycle = self._lifecycle
        if not lifecycle.lone and self.phase not in (Phase.STARTING, Phase.RUNNING):
            raise SupervisorError(f"{self.path} is {self.phase.value}: it takes no new children")
        child = self._add(spec)
        if lifecycle.lone:  # advance(), cut short: actors spawn by the ten thousand a second
            lifecycle.start_lone(child)
        else:
            lifecycle.advance(child)
        return child

    async def stop_child(self, id: str) -> ExitReason | None:
        """Stop a child for good and return how it ended; None: there is no such child.

        The spec stays, unless the child is temporary or the supervisor dynamic.
        """
        child = self._lifecycle.children.get(id)
        if child is None:
            return None
        self.request_child_stop(child)
        await child.wait_down()
        return child.last_exit

    def request_child_stop(self, child: Child) -> None:
        """Begin to stop one child for good, unless it has ended for good already."""
        child.wanted = False
        if self._lifecycle.lone and child.status is RUNNING:  # the rest, cut short for most
            self._lifecycle.stop_lone(child)
            return
        if child.backoff is not None:
            self._lifecycle.end_backoff(child)
            # It ends because it was asked to: without that it would have restarted.
            child.last_exit = SHUTDOWN
        if child.status is DOWN:
            self._lifecycle.settle(child)
        self._lifecycle.advance(child)

    def restart_child(self, id: str) -> Child:
        """Start a stopped child again.

        Raises:
            KeyError: there is none.
            SupervisorError: the supervisor is not running.
        """
        child = self._lifecycle.children[id]
        if self.phase not in (Phase.STARTING, Phase.RUNNING):
            raise SupervisorError(f"{self.path} is {self.phase.value}: it restarts no children")
        child.wanted = True
        child.forgotten = False
        self._lifecycle.advance(child)
        return child

    def hasten(self, id: str) -> bool:
        """Start a child that waits for its restart now; return whether it did wait.

        For owners who learn that the cause of its failure is gone before its back-off is over.
        """
        child = self._lifecycle.children.get(id)
        if child is None or child.backoff is None:
            return False
        self._lifecycle.end_backoff(child)
        self._lifecycle.advance(child)
        return True

    def delete_child(self, id: str) -> None:
        """Forget a stopped child's spec.

        Raises:
            KeyError: there is none.
            SupervisorError: it runs, or will start again.
        """
        child = self._lifecycle.children[id]
        if child.wanted or child.status is not DOWN:
            raise SupervisorError(f"{child.path} is up, or will be again: stop it first")
        del self._lifecycle.children[id]

    def _add(self, spec: ChildSpec) -> Child:
        child = Child(spec, f"{self.path}/{spec.id}", self)
        self._lifecycle.add(child)
        return child

    def child(self, id: str) -> Child | None:
        """Return the child called ``id``, or None."""
        return self._lifecycle.children.get(id)

    def __len__(self) -> int:
        return len(self._lifecycle.children)

    # -- the tree ----------------------------------------------------------------------------------

    def tree(self) -> TreeNode:
        """Return the supervisor and all below it, as a value."""
        return TreeNode(
            id=self.path.rpartition("/")[2],
            path=self.path,
            kind="supervisor",
            status=self.phase.value,
            restarts=self.restarts,
            children=self.nodes(),
        )

    def nodes(self) -> tuple[TreeNode, ...]:
        """Return the children's part of the tree, at any depth."""
        return child_nodes(self._lifecycle.children.values(), self.clock.time(), _below)


def _below(child: Child) -> Iterable[Child]:
    nested = child.nested
    return nested._lifecycle.children.values() if isinstance(nested, Supervisor) else ()


def supervisor_child(
    id: str,
    spec: SupervisorSpec,
    *,
    restart: Restart | str = Restart.PERMANENT,
    shutdown: float | None = None,
    retry_policy: RetryPolicy | None = None,
    significant: bool = False,
) -> ChildSpec:
    """Return the child spec of a supervisor below another one.

    By default it has as long to stop as it needs, as in OTP: its own children have their limits.
    """

    async def start(child: Child) -> None:
        owner = child.owner
        nested = Supervisor(spec, path=child.path, clock=owner.clock, sink=owner.sink)
        await nested.run(child)

    return ChildSpec(
        id,
        start,
        restart=restart,
        shutdown=shutdown,
        retry_policy=retry_policy,
        significant=significant,
        kind="supervisor",
    )
