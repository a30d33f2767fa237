"""Worker: handlers, actors and hooks in one supervised process.

NEW --enter--> STARTING --> RUNNING --leave--> DRAINING --> STOPPED
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.pubsub.handlers.failure_sinks import HandlerFailureSink, LogSink
from actors.pubsub.model.types import GapCallback
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from actors.worker.declare.checks import worker_problems
from actors.worker.declare.registry import Registry
from actors.worker.observe.snapshot import Snapshot, State, WorkerSnapshot
from actors.worker.run.broker import DEFAULT_RETRY_POLICY, Address, Broker
from actors.worker.run.lifecycle import Drained, Previous, WorkerRun
from actors.worker.run.partition import WHOLE, Partition
from supervisor import EventSink, RetryPolicy, TreeNode, log_event

__all__ = ["Worker"]

C = TypeVar("C")


class Worker(Registry[C]):
    """Handlers for channels, and all that keeps them at work; an async context manager.

    ::

        app = Worker("redis://localhost")

        @app.channel("orders")
        async def on_order(order: Order) -> None: ...

    ``mailslot run module:app`` runs it as a process; ``async with app:`` runs it inside of another
    program. Either way it is a supervision tree, :meth:`tree`.

    Args:
        where: the URL of a server or of a node of a cluster, or several nodes of a cluster.
        cluster: whether it is a cluster; None: exactly if there are several nodes.
        name: the root of its tree.
        context: given to handlers with a parameter annotated with its type.
        context_type: that type, where a start-up hook sets ``app.context``.
        drain_timeout: seconds in which all work must be done when it stops.
        probe_interval: seconds for which a proof of delivery is fresh; None: no probes.
        start_timeout: seconds in which the broker must be reached at the start; None: whenever.
        subscription_timeout: seconds in which subscriptions must be confirmed at the start.
        retry_policy: how lost connections are restored; by default for as long as it takes.
        on_failure: the failure sink of handlers that have none of their own; logs by default.
        on_gap: hears of gaps where a handler has no hook of its own.
        mailbox: the bound of each handler's mailbox, where a handler does not say.
        overflow: what happens there.
        intensity: restarts allowed at the root within ``period`` seconds (S4).
        period: see ``intensity``.
        sink: called with each lifecycle event of the tree; logs by default.
        client_options: further options of the client.
    """

    def __init__(
        self,
        where: str | Sequence[Address] = "redis://localhost:6379",
        *,
        cluster: bool | None = None,
        name: str = "worker",
        context: C | None = None,
        context_type: type[C] | None = None,
        drain_timeout: float = 25.0,
        probe_interval: float | None = 10.0,
        start_timeout: float | None = 5.0,
        subscription_timeout: float = 5.0,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        on_failure: HandlerFailureSink | None = None,
        on_gap: GapCallback | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        intensity: int | None = 5,
        period: float = 30.0,
        sink: EventSink = log_event,
        **client_options: Any,
    ) -> None:
        super().__init__(name, context, context_type)
        self.broker = Broker(where, cluster, client_options)
        self.drain_timeout = drain_timeout
        self.probe_interval = probe_interval
        self.start_timeout = start_timeout
        #: Which share of the channels and patterns this process has.
        self.partition: Partition = WHOLE
        #: Which process of several this is, in reports.
        self.process = 0
        #: The process that this one replaces: handlers hear of what was missed since.
        self.previous: Previous | None = None
        self.state = State.NEW
        #: How it let go of its work, once it has.
        self.drained: Drained | None = None
        self.pubsub_options = {
            "retry_policy": retry_policy,
            "subscription_timeout": subscription_timeout,
            "mailbox": mailbox,
            "overflow": overflow,
        }
        self.on_failure: HandlerFailureSink = LogSink() if on_failure is None else on_failure
        self.on_gap = on_gap
        self.restart_limit = (intensity, period)
        self.sink = sink
        self._life = WorkerRun(self)

    # -- before it runs ----------------------------------------------------------------------------

    def validate(self) -> None:
        """Look at all that was declared, without connecting.

        Raises:
            SpecError: with every problem found.
        """
        problems = [*self.broker.problems(), *worker_problems(self)]
        self.check_declarations(problems, cluster=self.broker.is_cluster)

    def at(self, where: str | Sequence[Address], *, cluster: bool | None = None) -> Self:
        """Have it use another broker from its next start on, and return it; for tests mostly.

        ::

            async with app.at(mailslot_url): ...

        Args:
            where: as for the constructor.
            cluster: whether it is a cluster; None: as it was, and several nodes are one.
        """
        self.broker = self.broker.at(where, cluster)
        return self

    def owns(self, name: str | bytes) -> bool:
        """Return whether ``name`` falls to this process: of all processes, exactly one is told so.

        For what is to be done once, however many processes there are: ``if app.owns("report")``.
        Channels, patterns and actors with ``once=True`` are shared out by the same rule.
        """
        return self.partition.has(name)

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start: hooks, actors, subscriptions.

        Raises:
            SpecError: something declared cannot work; nothing was started.
            ConnectionError, TimeoutError: the broker could not be reached.
            ExceptionGroup: of what went wrong with the subscriptions.
        """
        if self.state not in (State.NEW, State.STOPPED):
            raise RuntimeError(
                f"worker {self.name!r} is {self.state.value}: it runs once at a time"
            )
        self.validate()
        if self.state is State.STOPPED:
            self._life = WorkerRun(self)
            self.drained = None
        self.state = State.STARTING
        life = self._life
        try:
            await life.start()
        except BaseException as error:
            self.state = State.STOPPED
            suppressed = await life.stack.__aexit__(type(error), error, error.__traceback__)
            assert not suppressed
            raise
        self.state = State.RUNNING
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain within ``drain_timeout``, and stop; see :attr:`drained`."""
        self.state, stack = State.DRAINING, self._life.stack
        try:
            self.drained = await self._life.drain(hurry=error is not None)
        except BaseException as second:
            await stack.__aexit__(type(second), second, second.__traceback__)
            raise
        finally:
            self.state = State.STOPPED
        await stack.__aexit__(kind, error, traceback)

    async def run(self) -> Drained:
        """Run until :meth:`request_stop`, and return how it let go of its work."""
        async with self:
            await self.stop_requested()
        assert self.drained is not None
        return self.drained

    def request_stop(self) -> None:
        """Ask :meth:`run` to drain and return."""
        self._life.stop_asked.set()

    async def stop_requested(self) -> None:
        """Wait until somebody called :meth:`request_stop`."""
        await self._life.stop_asked.wait()

    # -- while it runs -----------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """Its client of the broker, for handlers that publish; RuntimeError before the start."""
        components = self._life.components
        if components is None or components.client is None:
            raise RuntimeError(f"worker {self.name!r} is not running")
        return components.client

    @property
    def system(self) -> ActorSystem:
        """The actor system that it is; RuntimeError before the start."""
        if self._life.system is None:
            raise RuntimeError(f"worker {self.name!r} is not running")
        return self._life.system

    def tree(self) -> TreeNode:
        """Return what runs, as a value that prints as a tree."""
        if self._life.system is None:
            return TreeNode(self.name, self.name, "supervisor", self.state.value)
        return self._life.system.tree()

    @property
    def started(self) -> bool:
        """Whether there is anything to take a snapshot of."""
        return self._life.system is not None

    @property
    def oldest_age(self) -> float:
        """Seconds for which the oldest message that waits for a handler has waited, about."""
        backlog = self._life.observer.backlog
        return 0.0 if backlog is None else backlog.oldest

    @property
    def lag(self) -> float:
        """Seconds by which its event loop was late, at its worst of the last few seconds."""
        meter = self._life.observer.lag
        return 0.0 if meter is None else meter.worst

    def handled_until(self) -> float:
        """Return up to when all that came was handled, in Unix seconds: what is in hand is not."""
        backlog = self._life.observer.backlog
        if backlog is None:
            return time.time()
        backlog.look()
        return time.time() - (time.monotonic() - backlog.handled_until)

    def snapshot(self) -> Snapshot:
        """Return all that there is to know of it, as a value."""
        return self._life.observer.snapshot(self.state, self.tree())

    def worker_snapshot(self) -> WorkerSnapshot:
        """Return it as a worker of one process."""
        one = self.snapshot()
        return WorkerSnapshot(self.name, (), 1, (one,), one.tree)
