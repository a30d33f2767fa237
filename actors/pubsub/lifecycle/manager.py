"""The subscription manager: the actor that carries out the user's calls and keeps the readers.

The reconciler, a synchronous object, keeps what the user wants and what the servers have in step.
The manager is the actor around the reconciler. What differs between one server, a cluster's plain
channels and shard channels is the manager's *role*: which nodes need a reader, and what its own
timers and reports mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from actors.pubsub.lifecycle.reader import NodeReader, ReaderOptions
from actors.pubsub.lifecycle.reader_policy import ReaderPolicy
from actors.pubsub.lifecycle.tree import READERS_READY, PubSubTree
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.pending_calls import Call
from actors.pubsub.subscriptions.placement import Placement, PlacementEvents
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription
from actors.pubsub.subscriptions.retry_turns import RetryTurns
from actors.pubsub.subscriptions.single_placement import SERVER, SinglePlacement
from actors.pubsub.table.state import NodeId
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.death_watch import Terminated
from actors.runtime.ref import ActorRef
from supervisor import ExitReason, RetryPolicy
from supervisor.model.retry_session import Retry, Spent

#: Seconds between two calls of a role's ``reconcile``.
RECONCILE_SECONDS = 1.0
# What a server refused is asked for again after 1, 2, 4 ... reconciles, at most every so many.
_LONGEST_PAUSE = 32
#: Seconds between two attempts where a server refuses for the moment, at most.
_LONGEST_RETRY = 0.5
# Targets of one call that are handled at once: about five milliseconds of the event loop.
_PORTION = 500

T = TypeVar("T")


class Subscribe(msgspec.Struct, frozen=True):
    """Make these subscriptions wanted."""

    subscriptions: list[Subscription]
    call: Call


class Unsubscribe(msgspec.Struct, frozen=True):
    """Make these targets unwanted."""

    targets: list[Target]
    call: Call


class Drain(msgspec.Struct, frozen=True):
    """Make these targets unwanted, and deliver what still comes until their subscriptions end."""

    targets: list[Target]
    call: Call


class Unhandled(msgspec.Struct, frozen=True):
    """What was accepted of these targets since then (loop time) was not handled, and why."""

    targets: list[Target]
    since: float
    reason: str


class GiveUp(msgspec.Struct, frozen=True):
    """Forget this ``subscribe`` call: it did not succeed, and nobody waits for it any more."""

    call: Call


class ManagerTick(Enum):
    """The manager's own timers."""

    BEGIN = "begin"
    RECONCILE = "reconcile"
    RETRY = "retry"


class ReaderKeeper(Protocol):
    """What a role may ask of its manager."""

    tree: PubSubTree
    readers: dict[NodeId, ActorRef[Any]]
    reconciler: Reconciler
    loop: asyncio.AbstractEventLoop

    def keep_reader(self, node: NodeId, name: str) -> None:
        """Have a reader for ``node``, an actor called ``name``."""

    def tell(self, message: Any) -> None:
        """Have the role receive ``message`` in its turn."""

    def after(self, seconds: float, message: Any) -> None:
        """Have the role receive ``message`` later; an equal message replaces an earlier one."""


class ManagerRole(Protocol):
    """What differs between the kinds of pub/sub objects."""

    @property
    def placement(self) -> Placement:
        """Answers where targets belong."""

    @property
    def events(self) -> PlacementEvents:
        """Is told what connections report."""

    def start(self, keeper: ReaderKeeper) -> None:
        """Begin: ``keeper`` and its reconciler are ready."""

    def stop(self) -> None:
        """Ask and tell nobody anything any more."""

    def place_readers(self) -> None:
        """Have a reader for each node that needs one."""

    def server_of(self, node: NodeId) -> NodeId:
        """Return the server that the reader of ``node`` connected to, or tried to, last."""

    def could_serve(self) -> Collection[NodeId]:
        """Return all servers on which targets can be subscribed."""

    def reader_ended(self, node: NodeId) -> None:
        """Take that the reader of ``node`` ended for good."""

    def targets_changed(self) -> None:
        """Take that other targets are wanted than before."""

    def reconcile(self) -> None:
        """Look after what no event reports; called every second."""

    def receive(self, message: Any) -> None:
        """Take a message that is no call: a timer's, or a report."""


class _SingleServerRole:
    """The role for one server: one reader, nothing to decide, and no timers."""

    def __init__(self) -> None:
        self.placement = self.events = SinglePlacement()
        self._keeper: ReaderKeeper

    def start(self, keeper: ReaderKeeper) -> None:
        self._keeper = keeper

    def place_readers(self) -> None:
        self._keeper.keep_reader(SERVER, "connection")

    def server_of(self, node: NodeId) -> NodeId:
        return node

    def could_serve(self) -> Collection[NodeId]:
        return (SERVER,)

    def stop(self) -> None: ...
    def reader_ended(self, node: NodeId) -> None: ...
    def targets_changed(self) -> None: ...
    def reconcile(self) -> None: ...
    def receive(self, message: Any) -> None: ...


class ManagerOptions(msgspec.Struct, frozen=True):
    """What a manager is made with.

    Attributes:
        tree: the pub/sub object's tree.
        reader: what the readers share.
        retry_policy: how readers are restarted; None: not at all.
        role: makes the role of one incarnation.
    """

    tree: PubSubTree
    reader: ReaderOptions
    retry_policy: RetryPolicy | None
    role: Callable[[], ManagerRole] = _SingleServerRole


class SubscriptionManager(Actor[Any]):
    """Carries out calls, keeps readers, and asks again for what servers refused."""

    def __init__(self, options: ManagerOptions) -> None:
        self.options = options
        self.tree = options.tree
        self.readers: dict[NodeId, ActorRef[Any]] = {}
        self.role = options.role()
        self.reconciler: Reconciler
        self.loop: asyncio.AbstractEventLoop
        self._pause = self._waited = 1
        self._turns: RetryTurns[Target] = RetryTurns(_LONGEST_RETRY)
        self._retrying = False

    async def on_start(self) -> None:
        """Make a reconciler for what the registry holds; the readers come after."""
        self.loop = self.context.system.loop
        former = self.tree.latest_reconciler
        role = self.role
        role.start(self)
        self.reconciler = Reconciler(self.tree.registry, role.placement, role.events, self.loop)
        if former is not None:
            self.reconciler.inherit(former)
        self.tree.latest_reconciler = self.reconciler
        self.reconciler.retry_soon = self._retry_soon
        # Managers reconcile at the same instants, so that where there are many, the event loop
        # wakes up once a second for all of them.
        begin = RECONCILE_SECONDS * (1.5 - (self.loop.time() / RECONCILE_SECONDS + 0.5) % 1)
        self.after(begin, ManagerTick.BEGIN)

    async def receive(self, message: Any) -> None:
        """Carry out a call, look after the readers, or hand the message to the role."""
        match message:
            case Subscribe(subscriptions, call):
                await _in_portions(self.reconciler.calls.subscribe, subscriptions, call)
                self.role.targets_changed()
            case Unsubscribe(targets, call):
                await _in_portions(self.reconciler.calls.unsubscribe, targets, call)
            case Drain(targets, call):
                self.reconciler.calls.drain(targets, call)
            case Unhandled(targets, since, reason):
                self.reconciler.unhandled(targets, since, reason)
            case GiveUp(call):
                self.reconciler.calls.give_up(call)
            case ManagerTick.BEGIN:
                self.context.timers.every(RECONCILE_SECONDS, ManagerTick.RECONCILE)
                self._reconcile()
            case ManagerTick.RECONCILE:
                self._reconcile()
            case ManagerTick.RETRY:
                self._retry()
            case Terminated(ref, reason):
                self._reader_ended(ref, reason)
            case _ if message is READERS_READY:
                self.role.place_readers()
            case _:
                self.role.receive(message)

    async def on_stop(self, reason: ExitReason) -> None:
        """Let the reconciler go."""
        self.role.stop()
        self.reconciler.close()
        if reason.normal:  # the handlers end next
            self.tree.registry.abandon()

    def _reconcile(self) -> None:
        refused = self.reconciler.refusals.targets
        if not refused:
            self._pause = self._waited = 1
        elif self._waited < self._pause:
            self._waited += 1
        else:
            self._waited, self._pause = 1, min(2 * self._pause, _LONGEST_PAUSE)
            self.reconciler.retry(list(refused))
        self.role.reconcile()

    def _retry_soon(self) -> None:
        if not self._retrying:
            self._retrying = True
            self.after(self._turns.pause, ManagerTick.RETRY)

    def _retry(self) -> None:
        """Ask again the server that refused for the moment."""
        self._retrying = False
        refused = self.reconciler.refused_for_now()
        if refused:
            self.reconciler.retry(self._turns.take(refused, self.reconciler.is_served))
            self._retry_soon()
        else:
            self._turns = RetryTurns(_LONGEST_RETRY)

    # -- for the role ------------------------------------------------------------------------------

    def keep_reader(self, node: NodeId, name: str) -> None:
        """Have a reader for ``node``; see :class:`ReaderKeeper`."""
        if node in self.readers:
            return
        policy = self.options.retry_policy
        ref = self.tree.spawn_reader(
            ActorSpec(
                NodeReader,
                (node, self.options.reader, self.tree.new_progress()),
                name=name,
                retry_policy=None
                if policy is None
                else ReaderPolicy(policy, partial(self._after_no, node)),
                restart="temporary" if policy is None else "permanent",
                shutdown=1.0,
            )
        )
        if ref is not None:
            self.readers[node] = ref
            self.context.watch(ref)

    def _after_no(self, node: NodeId) -> Retry | Spent:
        role = self.role
        return self.tree.refusing.after(role.server_of(node), role.could_serve())

    def tell(self, message: Any) -> None:
        """Put ``message`` into this manager's mailbox."""
        self.context.self_ref.tell(message)

    def after(self, seconds: float, message: Any) -> None:
        """Put ``message`` into this manager's mailbox later."""
        self.context.timers.after(seconds, message)

    def _reader_ended(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        for node in [node for node, other in self.readers.items() if other is ref]:
            del self.readers[node]
            if not reason.normal:
                self.tree.failed(reason.error or RuntimeError(str(reason)))
            self.role.reader_ended(node)


async def _in_portions(handle: Callable[[list[T], Call], None], items: list[T], call: Call) -> None:
    """Have ``handle`` take ``items``, in portions between which the event loop gets its turn.

    Connections may report in between: after each portion the reconciler is consistent.
    """
    for start in range(0, len(items), _PORTION):
        if start:
            await asyncio.sleep(0)
        handle(items[start : start + _PORTION], call)
        call.taken += _PORTION
