"""The supervision tree of one pub/sub object, and what its actors share.

    pubsub      rest_for_one
    ├─ handlers     dynamic: an actor for each subscription with a handler
    ├─ manager      the subscription manager
    └─ readers      dynamic: an actor for each node in use

A manager that crashes restarts together with the readers, and uses the same registry again. When
the supervisor of the readers or of the handlers gives up, the pub/sub object has failed: its user
gets the error.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from actors.pubsub.handlers.function_actor import HANDLER_RETRY_POLICY
from actors.pubsub.lifecycle.refusing_nodes import RefusingNodes
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId
from actors.redis.error_meaning import is_no
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.wire.connect_progress import ConnectProgress
from actors.runtime.actor import ActorSpec
from actors.runtime.ref import ActorRef
from actors.runtime.spawning import actor_child, spawn_under
from actors.runtime.system import ActorSystem
from supervisor import (
    Child,
    ChildSpec,
    ConstantRetryPolicy,
    ExitReason,
    Supervisor,
    SupervisorSpec,
)
from supervisor.model.reasons import LOOP_ENDS
from supervisor.supervisor import Phase

if TYPE_CHECKING:
    from actors.pubsub.delivery.mailbox_writer import HandlerWriter
    from actors.pubsub.delivery.receive_times import ReceiveTimes
    from actors.pubsub.handlers.failure_sinks import LogSink

# These supervisors are not restarted: the readers' retry policy is spent by then, and a new
# supervisor of handlers would not have the handlers.
_FINAL = ConstantRetryPolicy((BaseException,), retries=0)


class LoopEnds(ConnectionError):
    """The program cancels everything that its event loop runs, the tree included."""


class PubSubTree:
    """What the actors of one pub/sub object know of each other.

    Attributes:
        registry: the desired subscriptions.
        progress: what the newest reader waits for, while it connects.
        ready: set once the first reader is connected.
        last_error: why the latest attempt to connect failed.
        refusing: the nodes that said no to the latest attempt.
        failed: called with the error that the pub/sub object cannot survive.
        latest_reconciler: that of the manager that runs or ran last; None: none has run.
        log_sinks: failure sinks that count what they log later.
        written: waits until the failure sinks have all failures so far; None: no sink is awaited.
        keep_positions: writes to the servers what consumers have handled; None: none of them
            resumes.
    """

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        registry: SubscriptionRegistry,
        refusing: RefusingNodes,
    ) -> None:
        self.system = system
        self.name = name
        self.registry = registry
        self.refusing = refusing
        self.progress = ConnectProgress()
        self.ready = asyncio.Event()
        self.last_error: BaseException | None = None
        self.failed: Callable[[BaseException], None] = lambda _: None
        self.written: Callable[[], Awaitable[None]] | None = None
        self.log_sinks: set[LogSink] = set()
        self.keep_positions: Callable[[], Awaitable[None]] | None = None
        self.latest_reconciler: Reconciler | None = None
        self._handlers: Supervisor | None = None
        self._readers: Supervisor | None = None
        self.manager: ActorRef[Any]
        self.child: Child | None = None

    @property
    def reconciler(self) -> Reconciler:
        """The reconciler of the running manager."""
        assert self.latest_reconciler is not None
        return self.latest_reconciler

    def connected(self, *servers: NodeId) -> None:
        """Take that there is a connection, and that ``servers`` count as accepting them."""
        for server in self.refusing.nodes.keys() & servers:
            self.refusing.forget(server)
        self.ready.set()

    def new_progress(self) -> ConnectProgress:
        """Return the progress of one more reader."""
        self.progress = ConnectProgress()
        return self.progress

    def note_error(self, server: NodeId, error: Exception) -> None:
        """Take that no connection to ``server`` could be had, and why."""
        self.last_error = error
        if is_no(error):
            self.refusing.note(server, error)

    # -- the tree ----------------------------------------------------------------------------------

    def start(self, manager: ActorSpec, *before: ActorSpec) -> None:
        """Start the tree below the system's root; ``before`` are actors that the manager needs."""
        system = self.system
        path = f"{system.root.path}/{self.name}"
        self.manager, manager_child = actor_child(system, path, manager)
        children = [
            _supervisor("handlers", self._run_handlers, retry_policy=_FINAL),
            *(actor_child(system, path, spec)[1] for spec in before),
            manager_child,
            _supervisor("readers", self._run_readers, retry_policy=_FINAL),
        ]
        spec = SupervisorSpec(strategy="rest_for_one", children=children)

        async def run(child: Child) -> None:
            await _below(child, spec).run(child)

        self.child = system.root.start_child(
            _supervisor(self.name, run, restart="temporary", on_gone=self._gone)
        )

    async def stop(self) -> None:
        """Stop the tree, in order."""
        if self.child is not None:
            await self.system.root.stop_child(self.name)

    @property
    def winding_down(self) -> bool:
        """Whether the supervisor of the readers has stopped or is stopping."""
        return self._readers is None or self._readers.phase is Phase.STOPPING

    def spawn_reader(self, spec: ActorSpec) -> ActorRef[Any] | None:
        """Spawn a reader; None while the readers' supervisor does not run."""
        readers = self._readers
        if readers is None or readers.phase not in (Phase.STARTING, Phase.RUNNING):
            return None
        ref, child = actor_child(self.system, readers.path, spec)
        ref._cell.child = readers.start_child(child)
        return ref

    def is_useful(self, ref: ActorRef[Any]) -> bool:
        """Whether the connection of a reader has been of use."""
        child = ref._cell.child
        return child is not None and child.healthy_for is not None

    def hasten_reader(self, ref: ActorRef[Any]) -> None:
        """Restart a reader now that waits for its restart."""
        if self._readers is not None:
            self._readers.hasten(ref.path.rpartition("/")[2])

    def spawn_handler(
        self, spec: ActorSpec, name: str, receive_times: Sequence[ReceiveTimes]
    ) -> tuple[ActorRef[Any], HandlerWriter]:
        """Spawn a handler's actor; return it, and the way into its mailbox."""
        if spec.retry_policy is None:
            spec = msgspec.structs.replace(spec, retry_policy=HANDLER_RETRY_POLICY)
        ref = self.spawn_beside(spec, name)
        writer = self.registry.writer(ref._cell)
        writer.receive_times = receive_times
        return ref, writer

    def spawn_beside(self, spec: ActorSpec, name: str) -> ActorRef[Any]:
        """Spawn an actor among the handlers, named ``name``, with a number if that is taken."""
        assert self._handlers is not None
        unique = base = name.replace("/", "_") or "_"
        numbers = itertools.count(2)
        while self._handlers.child(unique) is not None:
            unique = f"{base}~{next(numbers)}"
        spec = msgspec.structs.replace(spec, name=unique)
        return spawn_under(self.system, self._handlers, spec)

    async def _run_handlers(self, child: Child) -> None:
        self._handlers = _below(child, SupervisorSpec(dynamic=True))
        await self._handlers.run(child)

    async def _run_readers(self, child: Child) -> None:
        self._readers = _below(child, SupervisorSpec(dynamic=True))
        self.manager.tell(READERS_READY)
        try:
            await self._readers.run(child)
        finally:
            self._readers = None

    def _gone(self, reason: ExitReason) -> None:
        if reason is LOOP_ENDS:
            self.failed(LoopEnds("the event loop ends, and with it this pubsub"))
        elif reason.normal:  # the session did not ask for this: once closed it takes no failure
            self.failed(ConnectionError("the actor system of this pubsub has stopped"))
        else:
            self.failed(reason.error or RuntimeError(str(reason)))


def _supervisor(name: str, run: Any, **options: Any) -> ChildSpec:
    return ChildSpec(name, run, shutdown=None, kind="supervisor", **options)


def _below(child: Child, spec: SupervisorSpec) -> Supervisor:
    """Return the supervisor that runs as ``child``, with the clock and log of the one above."""
    owner = child.owner
    return Supervisor(spec, path=child.path, clock=owner.clock, sink=owner.sink)


class _ReadersReady:
    """The readers' supervisor runs."""


#: Sent to the manager when readers can be spawned.
READERS_READY = _ReadersReady()
