"""The slots that are used: those that channels are in; pure.

While slots move, this is asked each time a server tells of one, and there may be tens of thousands
of channels. So it is an index, made anew only when there are other channels than before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence

import msgspec

from actors.pubsub.model.types import Target
from actors.redis.topology.slots import SlotRange

__all__ = ["UsedSlots"]


class _Index(msgspec.Struct, frozen=True):
    """Made of the channels that there were.

    Attributes:
        version: of them.
        slots: rising, each as often as there are channels in it.
        targets: those channels, by slot.
    """

    version: Hashable
    slots: list[int]
    targets: dict[int, list[Target]]


class UsedSlots:
    """Finds the channels of slots, and the slots that have channels.

    Args:
        version: returns what is another value when there are other channels.
        targets: returns the channels.
        slots_of: returns the slot of each.
    """

    def __init__(
        self,
        version: Callable[[], Hashable],
        targets: Callable[[], Iterable[Target]],
        slots_of: Callable[[Iterable[Target]], Sequence[int]],
    ) -> None:
        self._version = version
        self._targets = targets
        self._slots_of = slots_of
        self._made = _Index(object(), [], {})

    def all(self) -> Sequence[int]:
        """Return all used slots, rising, each as often as there are channels in it.

        It is the same object as long as the channels are the same.
        """
        return self._index().slots

    def among(self, slots: Iterable[int]) -> set[int]:
        """Return those of ``slots`` that are used."""
        used = self._index().targets
        return {slot for slot in slots if slot in used}

    def count(self, runs: Iterable[SlotRange]) -> int:
        """Return how many channels there are in these runs of slots."""
        return sum(last - first for first, last in self._bounds(runs))

    def within(self, runs: Iterable[SlotRange]) -> list[int]:
        """Return the used slots in these runs, each as often as there are channels in it."""
        slots = self._index().slots
        return [slot for first, last in self._bounds(runs) for slot in slots[first:last]]

    def targets_in(self, slots: Iterable[int]) -> list[Target]:
        """Return the channels in ``slots``, those of the lowest slot first."""
        targets = self._index().targets
        return [target for slot in sorted(set(slots)) for target in targets.get(slot, ())]

    def _bounds(self, runs: Iterable[SlotRange]) -> list[tuple[int, int]]:
        slots = self._index().slots
        return [(bisect_left(slots, start), bisect_right(slots, end)) for start, end in runs]

    def _index(self) -> _Index:
        version = self._version()
        if version != self._made.version:
            targets: dict[int, list[Target]] = {}
            all_targets = list(self._targets())
            for target, slot in zip(all_targets, self._slots_of(all_targets), strict=True):
                targets.setdefault(slot, []).append(target)
            slots = [slot for slot in sorted(targets) for _ in targets[slot]]
            self._made = _Index(version, slots, targets)
        return self._made
