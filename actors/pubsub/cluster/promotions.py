"""Promotions: which slots have a new primary, whether the former one died, what is read then (R5).

A primary that dies may take along messages that it had accepted, and that no replica and no
consumer had seen. A planned failover loses nothing: the primary lives, waits for its replica, and
then ends the subscriptions of its slots; the primary may be restarted a moment later. After either,
nodes relay no messages to each other for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from actors.pubsub.cluster.shard_roles import promoted
from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SlotRange, key_slot, without_slot

if TYPE_CHECKING:
    from actors.pubsub.recovery.intake import Intake

#: Why messages may be lost, in words.
_PRIMARY_DIED = "a primary died, and its replica may lack what it had published last"


class Promoted(msgspec.Struct, frozen=True):
    """Slots that a former replica serves.

    Attributes:
        slots: the slots.
        died: those of them whose former primary died.
    """

    slots: tuple[SlotRange, ...] = ()
    died: tuple[SlotRange, ...] = ()


class NewPrimaries:
    """Follows the topologies of one cluster: topologies in, slots out (pure).

    Attributes:
        troubled: primaries whose connection ended, or that did not answer, since the last topology
            that shows them well.
        resigned: the slots whose subscriptions their primary ended while it was well, with the
            primary.

    Args:
        topology: the first one.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.troubled: set[NodeId] = set()
        self.resigned: dict[int, NodeId] = {}

    def resign(self, node: NodeId, slot: int) -> None:
        """Take that the primary ``node`` ended a subscription: it gave up the slot, and lives."""
        if node not in self.troubled:
            self.resigned[slot] = node

    def take(self, topology: Topology, lost: Collection[NodeId] = ()) -> Promoted:
        """Return the slots whose primary was replaced by a replica since the topology before.

        Args:
            topology: the latest one.
            lost: nodes that have no connection at the moment, or do not answer.
        """
        before, self._topology = self._topology, topology
        self.troubled.update(lost)
        slots: list[SlotRange] = []
        died: list[SlotRange] = []
        for node, primary in promoted(before, topology).items():
            shard = topology.shard_of(node)
            runs = () if shard is None else shard.slots
            slots += runs
            if self._died(primary, before, topology):
                died += self._not_resigned(primary, runs)
        self.resigned = {
            slot: node
            for slot, node in self.resigned.items()
            if (known := topology.primary_for(slot)) is not None and known.id == node
        }
        self.troubled = {
            node
            for node in self.troubled
            if node in lost or (known := topology.nodes.get(node)) is None or known.failing
        }
        return Promoted(tuple(slots), tuple(died))

    def _not_resigned(self, primary: NodeId, runs: Sequence[SlotRange]) -> Sequence[SlotRange]:
        for slot, node in self.resigned.items():
            if node == primary:
                runs = without_slot(runs, slot)
        return runs

    def _died(self, primary: NodeId, before: Topology, now: Topology) -> bool:
        if primary in self.troubled or primary not in now.nodes:
            return True
        known = before.nodes.get(primary)
        return now.nodes[primary].failing or (known is not None and known.failing)


class PromotionReads:
    """Has the histories of promoted slots read.

    Args:
        registry: knows which channels recover.
        loop: the event loop.
    """

    def __init__(self, registry: SubscriptionRegistry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def take(self, promoted: Promoted, relayed: float) -> None:
        """Take that slots have other primaries: have what recovers there read.

        Args:
            promoted: the slots.
            relayed: seconds after which every node surely receives what the new primaries publish:
                what was published before then may be missing without a later message to show it.
        """
        for intake in self._intakes(promoted.died):
            intake.promoted(_PRIMARY_DIED)
        if any(True for _ in self._intakes(promoted.slots)):
            due = self._loop.time() + relayed
            self._timers[due] = self._loop.call_at(due, self._read, due, promoted.slots)

    def cancel(self) -> None:
        """Read nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _read(self, due: float, slots: Sequence[SlotRange]) -> None:
        self._timers.pop(due, None)
        for intake in self._intakes(slots):
            intake.check()

    def _intakes(self, slots: Sequence[SlotRange]) -> Iterator[Intake]:
        if not slots:
            return
        for target, subscription in self._registry.subscriptions.items():
            if subscription.intake is not None:
                slot = key_slot(target.name)
                if any(run.start <= slot <= run.end for run in slots):
                    yield subscription.intake
