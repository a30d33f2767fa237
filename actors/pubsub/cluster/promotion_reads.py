"""What recovering channels do when replicas become primaries (R5)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from actors.pubsub.subscriptions.registry import SubscriptionRegistry
from actors.redis.topology.slots import SlotRange, key_slot

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
        """Take that slots have other primaries.

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
