"""Worker: handlers, actors and hooks in one supervised process.

NEW --enter--> STARTING --> RUNNING --leave--> DRAINING --> STOPPED
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from actors.pubsub.sinks import HandlerFailureSink, LogSink
from actors.pubsub.types import GapCallback
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from actors.worker.broker import DEFAULT_RETRY_POLICY, Address, Broker
from actors.worker.engine import Engine, EngineOptions
from actors.worker.journal import Journal
from actors.worker.lag import LagMeter
from actors.worker.observer import Observer, Sampler
from actors.worker.partition import WHOLE, Partition
from actors.worker.registry import Hook, Registry, takes_worker
from actors.worker.snapshot import Snapshot, State, WorkerSnapshot
from supervisor import EventSink, RetryPolicy, TreeNode, log_event
from supervisor.log import get_logger

__all__ = ["Drained", "Worker"]

C = TypeVar("C")
log = get_logger("mailslot.worker")


class Drained(msgspec.Struct, frozen=True):
    """How a worker let go of its work.

    Attributes:
        in_time: whether all was done within the deadline.
        seconds: how long it took.
        left: messages that were still in mailboxes then.
    """

    in_time: bool
    seconds: float
    left: int


class Previous(msgspec.Struct, frozen=True):
    """The process that this one replaces.

    Attributes:
        alive_at: when it was surely alive last, in Unix seconds.
        reason: how it ended, in words.
    """

    alive_at: float
    reason: str


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
        self._pubsub_options = {
            "retry_policy": retry_policy,
            "subscription_timeout": subscription_timeout,
            "mailbox": mailbox,
            "overflow": overflow,
        }
        self._on_failure: HandlerFailureSink = LogSink() if on_failure is None else on_failure
        self._on_gap = on_gap
        self._intensity = (intensity, period)
        self._sink = sink
        self._stop_asked = asyncio.Event()
        self._stack = AsyncExitStack()
        self._system: ActorSystem | None = None
        self._engine: Engine | None = None
        self._journal = Journal()
        self._observer = Observer(name, self.process, self._journal)

    # -- before it runs ----------------------------------------------------------------------------

    def validate(self) -> None:
        """Look at all that was declared, without connecting.

        Raises:
            SpecError: with every problem found.
        """
        problems = self.broker.problems()
        for name, value in (
            ("drain_timeout", self.drain_timeout),
            ("probe_interval", self.probe_interval),
            ("start_timeout", self.start_timeout),
        ):
            if value is not None and not value > 0:
                problems.append(f"{name} must be more than 0 seconds, not {value}")
        self.check_declarations(problems, cluster=self.broker.is_cluster)

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start: hooks, actors, subscriptions.

        Raises:
            SpecError: something declared cannot work; nothing was started.
            ConnectionError, TimeoutError: the broker could not be reached.
            ExceptionGroup: of what went wrong with the subscriptions.
        """
        if self.state is not State.NEW:
            raise RuntimeError(f"worker {self.name!r} ran before: make a new one")
        self.validate()
        self.state = State.STARTING
        try:
            await self._start()
        except BaseException as error:
            self.state = State.STOPPED
            suppressed = await self._stack.__aexit__(type(error), error, error.__traceback__)
            assert not suppressed
            raise
        self.state = State.RUNNING
        self._observer.up_since = time.monotonic()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain within ``drain_timeout``, and stop; see :attr:`drained`."""
        try:
            await self._drain(hurry=error is not None)
        except BaseException as second:
            await self._stack.__aexit__(type(second), second, second.__traceback__)
            raise
        finally:
            self.state = State.STOPPED
        await self._stack.__aexit__(kind, error, traceback)

    async def run(self) -> Drained:
        """Run until :meth:`request_stop`, and return how it let go of its work."""
        async with self:
            await self.stop_requested()
        assert self.drained is not None
        return self.drained

    def request_stop(self) -> None:
        """Ask :meth:`run` to drain and return."""
        self._stop_asked.set()

    async def stop_requested(self) -> None:
        """Wait until somebody called :meth:`request_stop`."""
        await self._stop_asked.wait()

    async def _start(self) -> None:
        system = ActorSystem(
            self.name,
            intensity=self._intensity[0],
            period=self._intensity[1],
            sink=self._journal.events(self._sink),
        )
        self._observer.process = self.process
        self._system = await self._stack.enter_async_context(system)
        self._observer.lag = lag = LagMeter(system.loop)
        self._stack.callback(lag.close)
        for hook in self.startup_hooks:
            await self._call(hook)
        if self.wants_context:
            self.context  # noqa: B018 - raises, now instead of for each message
        previous = self.previous
        engine = Engine(
            self,
            system,
            self._journal,
            EngineOptions(
                broker=self.broker,
                routes=self.routes,
                actors=self.actors,
                partition=self.partition,
                probe_interval=self.probe_interval,
                missed_since=None if previous is None else previous.alive_at,
                missed_reason="" if previous is None else previous.reason,
                pubsub={**self._pubsub_options, "start_timeout": self.start_timeout},
                on_gap=self._on_gap,
                on_failure=self._on_failure,
            ),
        )
        self._engine = self._observer.engine = engine
        await engine.start(self._stack)
        system.spawn(Sampler, self._observer, self.tree, name="sampler", restart="permanent")

    async def _drain(self, *, hurry: bool) -> None:
        """Let go of all work, within the deadline; in a ``hurry`` only the hooks are run."""
        assert self._system is not None
        assert self._engine is not None
        self.state = State.DRAINING
        begun = self._system.loop.time()
        try:
            async with asyncio.timeout(self.drain_timeout) as limit:
                if not hurry:
                    await self._engine.drain()
                for hook in self.shutdown_hooks:
                    await self._call(hook)
        except TimeoutError:
            if not limit.expired():
                raise
        except asyncio.CancelledError:
            await self._engine.kill()
            raise
        left = self._engine.left()
        seconds = self._system.loop.time() - begun
        self.drained = Drained(not limit.expired(), seconds, left)
        if limit.expired():
            log.error("drain_deadline_passed", seconds=round(seconds, 1), left=left)
            await self._engine.kill()

    async def _call(self, hook: Hook) -> None:
        result = hook(self) if takes_worker(hook) else hook()
        if inspect.isawaitable(result):
            await result

    # -- while it runs -----------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """Its client of the broker, for handlers that publish; RuntimeError before the start."""
        if self._engine is None or self._engine.client is None:
            raise RuntimeError(f"worker {self.name!r} is not running")
        return self._engine.client

    @property
    def system(self) -> ActorSystem:
        """The actor system that it is; RuntimeError before the start."""
        if self._system is None:
            raise RuntimeError(f"worker {self.name!r} is not running")
        return self._system

    def tree(self) -> TreeNode:
        """Return what runs, as a value that prints as a tree."""
        if self._system is None:
            return TreeNode(self.name, self.name, "supervisor", self.state.value)
        return self._system.tree()

    @property
    def started(self) -> bool:
        """Whether there is anything to take a snapshot of."""
        return self._system is not None

    @property
    def oldest_age(self) -> float:
        """Seconds for which the oldest message that waits for a handler has waited, about."""
        return self._observer.oldest if self.started else 0.0

    def snapshot(self) -> Snapshot:
        """Return all that there is to know of it, as a value."""
        return self._observer.snapshot(self.state, self.tree())

    def worker_snapshot(self) -> WorkerSnapshot:
        """Return it as a worker of one process."""
        one = self.snapshot()
        return WorkerSnapshot(self.name, (), 1, (one,), one.tree)
