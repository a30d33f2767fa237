"""The subscription manager: what takes time between what is desired and what is.

The reconciler keeps the two apart and acts on what can be acted on at once. The manager is the
actor around it: it carries out the user's calls, keeps a reader for each node in use, and asks
again, on a timer, for what was refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from math import inf
from typing import Any, TypeVar

import msgspec

from actors.pubsub.lifecycle.reader import NodeReader, ReaderOptions
from actors.pubsub.lifecycle.reader_policy import ReaderPolicy
from actors.pubsub.lifecycle.tree import READERS_READY, PubSubTree
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.pending_calls import Call
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.subscriptions.registry import Subscription
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import RedisError
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.death_watch import Terminated
from actors.runtime.ref import ActorRef
from supervisor import ExitReason, RetryPolicy

__all__ = ["Drain", "GiveUp", "ManagerOptions", "Subscribe", "SubscriptionManager", "Unsubscribe"]

_RECONCILE_SECONDS = 1.0
# What was refused is asked again after 1, 2, 4 ... reconciles, this many at most.
_LONGEST_PATIENCE = 32
# Targets of one call that are handled at once: about five milliseconds of the loop.
_PORTION = 500

T = TypeVar("T")


class Subscribe(msgspec.Struct, frozen=True):
    """Make these subscriptions desired."""

    subscriptions: list[Subscription]
    call: Call


class Unsubscribe(msgspec.Struct, frozen=True):
    """Make these targets desired no longer."""

    targets: list[Target]
    call: Call


class Drain(msgspec.Struct, frozen=True):
    """Make these targets desired no longer, and take what comes until they have ended."""

    targets: list[Target]
    call: Call


class GiveUp(msgspec.Struct, frozen=True):
    """Nobody waits for this ``subscribe`` call any more, and it did not succeed."""

    call: Call


class Tick(Enum):
    """The manager's own timers."""

    BEGIN = "begin"
    RECONCILE = "reconcile"


class ManagerOptions(msgspec.Struct, frozen=True):
    """What a manager is made with.

    Attributes:
        tree: the pub/sub object's tree.
        reader: what its readers are made with.
        retry_policy: how readers are restarted; None: not at all.
    """

    tree: PubSubTree
    reader: ReaderOptions
    retry_policy: RetryPolicy | None


class SubscriptionManager(Actor[Any]):
    """Keeps all targets on one node, called ``server``; subclasses know of more."""

    NODE: NodeId = "server"

    def __init__(self, options: ManagerOptions) -> None:
        self.options = options
        self.tree = options.tree
        self.readers: dict[NodeId, ActorRef[Any]] = {}
        self.reconciler: Reconciler
        self._patience = self._waited = 1

    async def on_start(self) -> None:
        """Make a reconciler of what the registry says; the readers come after."""
        former = self.tree.former_reconciler
        self.reconciler = Reconciler(self.tree.registry, self, self.context.system.loop)
        if former is not None:
            self.reconciler.inherit(former)
        self.tree.reconciler = self.reconciler
        # All at the same instants: where there are many connections, one wake-up of the loop each
        # second is for all of them.
        now = self.context.system.loop.time()
        begin = _RECONCILE_SECONDS * (1.5 - (now / _RECONCILE_SECONDS + 0.5) % 1)
        self.context.timers.after(begin, Tick.BEGIN)

    async def receive(self, message: Any) -> None:
        """Carry out a call, or look after the readers."""
        match message:
            case Subscribe(subscriptions, call):
                await _in_portions(self.reconciler.subscribe, subscriptions, call)
            case Unsubscribe(targets, call):
                await _in_portions(self.reconciler.unsubscribe, targets, call)
            case Drain(targets, call):
                self.reconciler.drain(targets, call)
            case GiveUp(call):
                self.reconciler.give_up(call)
            case Tick.BEGIN:
                self.context.timers.every(_RECONCILE_SECONDS, Tick.RECONCILE)
                await self.reconcile()
            case Tick.RECONCILE:
                await self.reconcile()
            case Terminated(ref, reason):
                self.reader_ended(ref, reason)
            case _ if message is READERS_READY:
                self.place_readers()

    async def on_stop(self, reason: ExitReason) -> None:
        """Let the reconciler go."""
        self.reconciler.close()
        if reason.normal:  # the handlers are next
            self.tree.registry.abandon()

    async def reconcile(self) -> None:
        """Look at what no event brings up."""
        if not self.reconciler.refused:
            self._patience = self._waited = 1
        elif self._waited < self._patience:
            self._waited += 1
        else:
            self._waited, self._patience = 1, min(2 * self._patience, _LONGEST_PATIENCE)
            self.reconciler.retry(list(self.reconciler.refused))

    # -- readers -----------------------------------------------------------------------------------

    def place_readers(self) -> None:
        """Have a reader for each node in use."""
        self.keep_reader(self.NODE, "connection")

    def keep_reader(self, node: NodeId, name: str | None = None) -> None:
        """Have a reader for ``node``."""
        if node in self.readers:
            return
        policy = self.options.retry_policy
        reservation = self.tree.reservations.reservation()
        ref = self.tree.spawn_reader(
            ActorSpec(
                NodeReader,
                (node, self.options.reader, reservation),
                name=name or node,
                retry_policy=None if policy is None else ReaderPolicy(policy),
                restart="temporary" if policy is None else "permanent",
                shutdown=1.0,
            ),
            reservation.leave,
        )
        if ref is not None:
            self.readers[node] = ref
            self.context.watch(ref)

    def reader_ended(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        """A reader ended for good: by our wish, or because nothing restarts it."""
        for node in [node for node, other in self.readers.items() if other is ref]:
            del self.readers[node]
            if not reason.normal:
                self.tree.failed(reason.error or RuntimeError(str(reason)))

    # -- placement ---------------------------------------------------------------------------------

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return where ``target`` should be live."""
        return (self.NODE,)

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return where each of ``targets`` should be live."""
        return [self.places(target) for target in targets]

    def hopeless(self, target: Target) -> bool:
        """Return whether nothing is connected that could take ``target``."""
        return self.NODE not in self.reconciler.table.up

    def group(self, target: Target) -> int:
        """Return what must agree for two targets to share a command."""
        return 0

    def asking(self, node: NodeId, target: Target) -> bool:
        """A single server imports nothing."""
        return False

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """All that is placed here is of one server."""
        return True

    def trusted(self, node: NodeId) -> bool:
        """What a server delivers is up to date."""
        return True

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        """A single server is never behind itself."""
        return heard

    def replica_until(self, node: NodeId) -> float:
        """A single server is no replica."""
        return -inf

    def linger(self, handover: Handover) -> float | None:
        """Return how long a hand-over takes."""
        return 0.0

    def lost(self, node: NodeId) -> bool:
        """Nothing is placed elsewhere for a lost connection: it is restored."""
        return False

    def found(self, node: NodeId) -> bool:
        """Nothing is placed elsewhere, so nothing comes back."""
        return False

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """No error of a single server says where else to ask."""
        return False

    def giver(self, node: NodeId, target: Target) -> NodeId | None:
        """None: a single server gives nothing away."""
        return None

    def accepted(self, node: NodeId, target: Target) -> None:
        """Nothing: what was asked for came."""

    def revoked(self, node: NodeId, target: Target) -> bool:
        """Nothing beyond what the table does: it asks again."""
        return False


async def _in_portions(handle: Callable[[list[T], Call], None], items: list[T], call: Call) -> None:
    """Have ``handle`` take ``items``; where they are many, the loop has its turn in between.

    Calls that come meanwhile wait in the mailbox. What subscribers report does not: each portion
    leaves the reconciler as a call of its own would.
    """
    handle(items[:_PORTION], call)
    for start in range(_PORTION, len(items), _PORTION):
        await asyncio.sleep(0)
        handle(items[start : start + _PORTION], call)
