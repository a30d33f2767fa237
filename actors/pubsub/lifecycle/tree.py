"""The tree of one pub/sub object that its actors share, and how they form a tree.

    pubsub      rest_for_one
    ├─ handlers     dynamic: an actor for each subscription with a handler
    ├─ manager      the subscription manager
    └─ readers      dynamic: an actor for each node in use

A manager that crashes takes the readers with it, and comes back to the same registry. Readers or
handlers that cannot be kept alive end the whole: that is the user's to hear of.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from actors.pubsub.delivery.receive_times import ReceiveTimes
from actors.pubsub.handlers.function_actor import COMES_BACK
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription, SubscriptionRegistry
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.pools.reservations import Reservations
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
from supervisor.supervisor import Phase

__all__ = ["PubSubTree"]

# The end of these supervisors is final: the readers' policy has said all there is to say, and a
# new supervisor of handlers would have none of them.
_FINAL = ConstantRetryPolicy((BaseException,), retries=0)


class PubSubTree:
    """What the actors of one pub/sub object know of each other.

    Attributes:
        registry: the desired subscriptions.
        reservations: the readers' places in the pool.
        reconciler: the running manager's reconciler.
        ready: set once the first reader is connected.
        last_error: why the latest connection could not be had.
        on_failed: called once with the error that ended it all.
        written: waits until all failures so far are with their sinks.
    """

    def __init__(self, system: ActorSystem, name: str, registry: SubscriptionRegistry) -> None:
        self.system = system
        self.name = name
        self.registry = registry
        self.reservations = Reservations()
        self.ready = asyncio.Event()
        self.last_error: BaseException | None = None
        self.on_failed: Callable[[BaseException], None] = lambda _: None
        self.written: Callable[[], Awaitable[None]] | None = None
        self._router: Reconciler | None = None
        self._handlers: Supervisor | None = None
        self._readers: Supervisor | None = None
        self.manager: ActorRef[Any]
        self.child: Child | None = None

    @property
    def reconciler(self) -> Reconciler:
        """The running manager's reconciler."""
        assert self._router is not None
        return self._router

    @reconciler.setter
    def reconciler(self, reconciler: Reconciler) -> None:
        self._router = reconciler

    @property
    def former_reconciler(self) -> Reconciler | None:
        """The reconciler of the manager that ran last; None: there was none."""
        return self._router

    def note_error(self, node: str, error: Exception) -> None:
        """Remember why a connection could not be had."""
        self.last_error = error

    def failed(self, error: BaseException) -> None:
        """It cannot go on: tell whoever uses it."""
        self.on_failed(error)

    # -- the tree ----------------------------------------------------------------------------------

    def start(self, manager: ActorSpec, *before: ActorSpec) -> None:
        """Begin to start the tree below the system's root; ``before`` are the manager's helpers."""
        system = self.system
        path = f"{system.root.path}/{self.name}"
        self.manager, manager_child = actor_child(system, path, manager)
        children = [
            ChildSpec(
                "handlers",
                self._run_handlers,
                shutdown=None,
                kind="supervisor",
                retry_policy=_FINAL,
            ),
            *(actor_child(system, path, spec)[1] for spec in before),
            manager_child,
            ChildSpec(
                "readers", self._run_readers, shutdown=None, kind="supervisor", retry_policy=_FINAL
            ),
        ]
        spec = SupervisorSpec(strategy="rest_for_one", children=children)

        async def run(child: Child) -> None:
            owner = child.owner
            tree = Supervisor(spec, path=child.path, clock=owner.clock, sink=owner.sink)
            await tree.run(child)

        self.child = system.root.start_child(
            ChildSpec(
                self.name,
                run,
                restart="temporary",
                shutdown=None,
                kind="supervisor",
                on_gone=self._gone,
            )
        )

    async def stop(self) -> None:
        """Take the tree down, in order."""
        if self.child is not None:
            await self.system.root.stop_child(self.name)

    @property
    def winding_down(self) -> bool:
        """Whether there are no readers any more, or they are about to end together."""
        return self._readers is None or self._readers.phase is Phase.STOPPING

    def spawn_reader(self, spec: ActorSpec, gone: Callable[[], None]) -> ActorRef[Any] | None:
        """Spawn a reader; None while the readers' supervisor takes none.

        Args:
            gone: called when it has ended for good, in whatever way, before anybody is told.
        """
        readers = self._readers
        if readers is None or readers.phase not in (Phase.STARTING, Phase.RUNNING):
            return None
        ref, child = actor_child(self.system, readers.path, spec)
        tell = child.on_gone
        assert tell is not None

        def on_gone(reason: ExitReason) -> None:
            gone()
            tell(reason)

        ref._cell.child = readers.start_child(msgspec.structs.replace(child, on_gone=on_gone))
        return ref

    def hasten_reader(self, ref: ActorRef[Any]) -> None:
        """Have a reader that waits for its restart connect now."""
        if self._readers is not None:
            self._readers.hasten(ref.path.rpartition("/")[2])

    def spawn_handler(
        self, subscription: Subscription, spec: ActorSpec, receive_times: Sequence[ReceiveTimes]
    ) -> None:
        """Spawn a handler, and have the subscription's messages go into its mailbox."""
        name = subscription.target.name.decode(errors="backslashreplace")
        if spec.retry_policy is None:
            spec = msgspec.structs.replace(spec, retry_policy=COMES_BACK)
        ref = self.spawn_beside(spec, name)
        subscription.handler = ref
        writer = self.registry.writer(ref._cell.mailbox, ref.path, ref._cell.bury)
        writer.receive_times = receive_times
        subscription.writer = writer

    def spawn_beside(self, spec: ActorSpec, name: str) -> ActorRef[Any]:
        """Spawn an actor among the handlers, called ``name`` or like it."""
        assert self._handlers is not None
        unique = base = name.replace("/", "_") or "_"
        numbers = itertools.count(2)
        while self._handlers.child(unique) is not None:
            unique = f"{base}~{next(numbers)}"
        spec = msgspec.structs.replace(spec, name=unique)
        return spawn_under(self.system, self._handlers, spec)

    async def _run_handlers(self, child: Child) -> None:
        self._handlers = _dynamic(child)
        await self._handlers.run(child)

    async def _run_readers(self, child: Child) -> None:
        self._readers = _dynamic(child)
        self.manager.tell(READERS_READY)
        try:
            await self._readers.run(child)
        finally:
            self._readers = None

    def _gone(self, reason: ExitReason) -> None:
        if reason.normal:  # not by the session's wish, or it would not listen any more
            self.failed(ConnectionError("the actor system of this pubsub has stopped"))
        else:
            self.failed(reason.error or RuntimeError(str(reason)))


def _dynamic(child: Child) -> Supervisor:
    owner = child.owner
    spec = SupervisorSpec(dynamic=True)
    return Supervisor(spec, path=child.path, clock=owner.clock, sink=owner.sink)


class _ReadersReady:
    """The readers' supervisor takes readers."""


#: Told to the manager when readers can be spawned.
READERS_READY = _ReadersReady()
