"""Worker: handlers, actors and hooks in one supervised process.

NEW --enter--> STARTING --> RUNNING --leave--> DRAINING --> STOPPED
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from actors.pubsub.handlers.failure_sinks import HandlerFailureSink, LogSink
from actors.pubsub.model.types import GapCallback
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from actors.runtime.system import ActorSystem
from actors.worker.declare.checks import worker_problems
from actors.worker.declare.registry import C, Registry
from actors.worker.fleet.members import FleetOptions
from actors.worker.observe.health_limits import Health
from actors.worker.observe.snapshot import Snapshot, State, WorkerSnapshot
from actors.worker.run.broker import DEFAULT_RETRY_POLICY, Address, Broker
from actors.worker.run.lifecycle import Drained, WorkerRun
from actors.worker.run.lifespan import Lifespan, OnGiveUp, warn_of_several_processes
from actors.worker.run.partition import WHOLE, Partition
from actors.worker.run.settings import Previous, RunSettings
from supervisor import EventSink, RetryPolicy, TreeNode, log_event

if TYPE_CHECKING:
    from actors.client import Redis
    from actors.cluster import RedisCluster


class Worker(Registry[C]):
    """A supervised consumer: it calls handlers with messages. An async context manager.

    ::

        app = Worker("redis://localhost")

        @app.channel("orders")
        async def on_order(order: Order) -> None: ...

    ``mailslot run module:app`` runs it as a process; :meth:`lifespan` runs it inside a web
    application, and ``async with app:`` inside any program. Each way it is a supervision tree,
    :meth:`tree`.

    Args:
        where: the URL of a server or of a cluster node, or several nodes of a cluster.
        cluster: whether the URL is a cluster's; None: only a list of nodes is a cluster.
        name: the name of the worker and of the root of its tree.
        context: a value for handlers that have a parameter annotated with its type.
        context_type: the type of the context, if a start-up hook sets ``app.context``.
        drain_timeout: seconds in which the worker has to finish its work when it stops.
        shutdown_timeout: seconds that the shutdown hooks have at least: after a drain that took all
            of ``drain_timeout``, and after a cancellation.
        probe_interval: seconds for which a proof of delivery is fresh; None: no probes.
        start_timeout: seconds in which the broker must answer at the start; None: no limit.
        subscription_timeout: seconds in which subscriptions must be confirmed at the start.
        retry_policy: how lost connections are restored; by default it tries for ever.
        on_failure: the failure sink of handlers without one of their own; logs by default.
        on_gap: called for gaps of handlers without a hook of their own.
        mailbox: the bound of the mailboxes of handlers that do not set one.
        overflow: the overflow policy of those mailboxes.
        fleet: the name of the fleet that this process is a member of: its members own the names
            together, each name at one member; None: this process has all names of its partition.
        fleet_ttl: seconds for which a member's lease holds that does not renew it.
        every_primary: subscribe to channels and patterns on every primary of the cluster, for
            keyspace notifications; shard channels are where they are.
        health: from when on ``/ready`` calls the worker degraded.
        intensity: restarts allowed at the root within ``period`` seconds.
        period: see ``intensity``.
        on_give_up: what follows in a :meth:`lifespan` when the worker gives up: it starts again
            after a back-off ("restart"), SIGTERM ends this process ("exit"), or what a function of
            the error returns; after None the worker stays down.
        fan_out: the user says that several processes may consume the same channels, each of them
            every message.
        http_token: who has this token may pause handlers, close breakers and drain over HTTP; 16
            characters at least; None: nobody may.
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
        shutdown_timeout: float = 2.0,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        on_failure: HandlerFailureSink | None = None,
        on_gap: GapCallback | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        every_primary: bool = False,
        health: Health = Health(),  # noqa: B008 - frozen
        fleet: str | None = None,
        fleet_ttl: float = 2.0,
        intensity: int | None = 5,
        period: float = 30.0,
        on_give_up: OnGiveUp = "restart",
        fan_out: bool = False,
        http_token: str | None = None,
        sink: EventSink = log_event,
        **client_options: Any,
    ) -> None:
        super().__init__(name, context, context_type)
        self.broker = Broker(where, cluster, client_options)
        self.drain_timeout = drain_timeout
        self.shutdown_timeout = shutdown_timeout
        self.probe_interval = probe_interval
        self.start_timeout = start_timeout
        #: The channels, patterns and single actors that fall to this process.
        self.partition: Partition = WHOLE
        self.fleet = fleet
        self.fleet_ttl = fleet_ttl
        #: The number of this process among several, from 0.
        self.process = 0
        #: The process that this one replaces: handlers are told the gap between the two.
        self.previous: Previous | None = None
        self.state = State.NEW
        #: Why the worker gave up in its lifespan; None: it runs, or did not give up.
        self.gave_up: str | None = None
        self.on_give_up: OnGiveUp = on_give_up
        self.fan_out = fan_out
        #: How the last drain ended; None before.
        self.drained: Drained | None = None
        self.pubsub_options = {
            "retry_policy": retry_policy,
            "subscription_timeout": subscription_timeout,
            "mailbox": mailbox,
            "overflow": overflow,
            "every_primary": every_primary,
        }
        self.on_failure: HandlerFailureSink = LogSink() if on_failure is None else on_failure
        self.on_gap = on_gap
        self.health = health
        self.restart_limit = (intensity, period)
        self.http_token = http_token
        self.sink = sink
        self._run = WorkerRun(self)
        self._stop_asked = asyncio.Event()

    # -- before it runs ----------------------------------------------------------------------------

    def validate(self) -> None:
        """Check everything that was declared, without connecting.

        Raises:
            SpecError: lists every problem.
        """
        problems = [*self.broker.problems(), *worker_problems(self)]
        if self.fan_out and self.partition != WHOLE:
            problems.append(
                "fan_out=True has every process consume everything, and the partition"
                f" {self.partition} gives this one a share: leave one of them out"
            )
        if self.fan_out and self.fleet is not None:
            problems.append(
                "fan_out=True has every process consume everything, and the members of the fleet"
                f" {self.fleet!r} share: leave one of them out"
            )
        if not isinstance(self.health, Health):
            problems.append(f"health must be a Health, not {self.health!r}")
        self.check_declarations(problems, cluster=self.broker.is_cluster)

    def at(self, where: str | Sequence[Address], *, cluster: bool | None = None) -> Self:
        """Use another broker from the next start on, in tests for instance; return the worker.

        ::

            async with app.at(mailslot_url): ...

        Args:
            where: as for the constructor.
            cluster: whether it is a cluster; None: as before, or if ``where`` lists nodes.
        """
        self.broker = self.broker.at(where, cluster)
        return self

    def owns(self, name: str | bytes) -> bool:
        """Return whether ``name`` falls to this process; for exactly one process it does.

        For work that one process of several has to do: ``if app.owns("report")``. Channels,
        patterns and actors with ``once=True`` are distributed by the same rule. In a fleet the
        answer follows the committed view: False before this process is in the view.
        """
        if self.fleet is None:
            return self.partition.has(name)
        components = self._run.components
        run = None if components is None else components.fleet
        return run is not None and run.has(name)

    # -- start and stop ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start hooks, actors and subscriptions, in this order.

        Raises:
            SpecError: a declaration is wrong; nothing was started.
            ConnectionError, TimeoutError: the broker could not be reached.
            ExceptionGroup: the subscriptions failed.
        """
        if self.state not in (State.NEW, State.STOPPED, State.GAVE_UP):
            raise RuntimeError(
                f"worker {self.name!r} is {self.state.value}: it runs once at a time"
            )
        self.validate()
        if self.state is not State.NEW:
            self._run, self._stop_asked = WorkerRun(self), asyncio.Event()
            self.drained = None
        self.state = State.STARTING
        run = self._run
        try:
            await run.start(self._settings())
        except BaseException as error:
            self.state = State.STOPPED
            suppressed = await run.stack.__aexit__(type(error), error, error.__traceback__)
            assert not suppressed
            raise
        self.state, self._runs = State.RUNNING, True
        return self

    def _settings(self) -> RunSettings:
        return RunSettings(
            broker=self.broker,
            partition=self.partition,
            fleet=None if self.fleet is None else FleetOptions(self.fleet, self.fleet_ttl),
            process=self.process,
            # In a fleet it is the successors of its names that tell what it has missed.
            previous=self.previous if self.fleet is None else None,
            drain_timeout=self.drain_timeout,
            shutdown_timeout=self.shutdown_timeout,
            probe_interval=self.probe_interval,
            restart_limit=self.restart_limit,
            pubsub={**self.pubsub_options, "start_timeout": self.start_timeout},
            health=self.health,
            on_gap=self.on_gap,
            on_failure=self.on_failure,
            sink=self.sink,
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain within ``drain_timeout``, run the shutdown hooks, stop; see :attr:`drained`."""
        self.state, run = State.DRAINING, self._run
        try:
            await run.leave(self.drain_timeout, error=error)
        except BaseException as second:
            await run.stack.__aexit__(type(second), second, second.__traceback__)
            raise
        finally:
            self.state, self._runs, self.drained = State.STOPPED, False, run.drained
        await run.stack.__aexit__(kind, error, traceback)

    def lifespan(self, program: object = None) -> Lifespan:
        """Return a context that keeps the worker running inside another program.

        ::

            api = FastAPI(lifespan=app.lifespan)

        Entering it starts the worker, and raises what ``async with app`` raises; leaving it drains
        the worker. While the program runs, ``on_give_up`` says what follows when the worker gives
        up. Within a lifespan of the program's own: ``async with app.lifespan(): ...``.

        Args:
            program: the application, which web frameworks pass; it is not used.
        """
        if not self.fan_out and self.fleet is None and self.partition == WHOLE:
            warn_of_several_processes(self.name)
        return Lifespan(self, self.on_give_up)

    async def run(self) -> Drained:
        """Run until :meth:`request_stop` is called; return how the drain ended."""
        async with self:
            await self.stop_requested()
        assert self.drained is not None
        return self.drained

    def request_stop(self) -> None:
        """Ask :meth:`run` to drain and return."""
        self._stop_asked.set()

    async def stop_requested(self) -> None:
        """Wait until :meth:`request_stop` is called."""
        await self._stop_asked.wait()

    # -- while it runs -----------------------------------------------------------------------------

    @property
    def client(self) -> Redis[Any] | RedisCluster[Any]:
        """The client, for handlers that publish; RuntimeError before the start.

        It is a RedisCluster where the worker's broker is a cluster, and a Redis otherwise.
        """
        components = self._run.components
        if components is None or components.client is None:
            raise RuntimeError(
                f"worker {self.name!r} is not running: it has a client from its start on"
            )
        client: Redis[Any] | RedisCluster[Any] = components.client
        return client

    @property
    def system(self) -> ActorSystem:
        """The actor system of the worker; RuntimeError before the start."""
        if self._run.system is None:
            raise RuntimeError(f"worker {self.name!r} is not running")
        return self._run.system

    def tree(self) -> TreeNode:
        """Return the supervision tree, as a value that prints as a tree."""
        if self._run.system is None:
            return TreeNode(self.name, self.name, "supervisor", self.state.value)
        return self._run.system.tree()

    @property
    def started(self) -> bool:
        """Whether there is an actor system to take a snapshot of."""
        return self._run.system is not None

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest message that waits for a handler arrived, about."""
        backlog = self._run.observer.backlog
        return 0.0 if backlog is None else backlog.oldest

    @property
    def lag(self) -> float:
        """The longest delay of the event loop in the last few seconds, in seconds."""
        meter = self._run.observer.lag
        return 0.0 if meter is None else meter.worst

    def handled_until(self) -> float:
        """Return the time (Unix seconds) until which no message was missed or left unhandled."""
        return self._run.observer.handled_until()

    def snapshot(self) -> Snapshot:
        """Return the state of this process, as a value."""
        return self._run.observer.snapshot(self.state, self.tree(), self.gave_up)

    def worker_snapshot(self) -> WorkerSnapshot:
        """Return the snapshot of a worker that is this one process."""
        one = self.snapshot()
        return WorkerSnapshot(self.name, (), 1, (one,), one.tree)
