"""Where the channels of all slots should be live, at once; pure but for what it is given to ask.

Thousands of channels are looked up after each change, so that a look-up costs no decision: the
whole list is made anew, run of slots by run, and only slots on their way are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.pubsub.cluster.placement_rules import NodeHealth, shard_places
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import NodeId
from actors.redis.topology.model import Topology
from actors.redis.topology.slots import SLOTS, key_slot

_Places = tuple[NodeId, ...]
#: So many slots are looked at one by one; more of them with all others, run by run.
_FEW = 500


def all_places(topology: Topology, health: NodeHealth, before: list[_Places]) -> list[_Places]:
    """Return the places of each slot; those of a slot that nobody serves are what they were."""
    found = list(before)
    calm = NodeHealth(
        health.down,
        health.silent,
        replicas_first=health.replicas_first,
        unsure=health.unsure,
    )
    for shard in topology.shards:
        # What differs between the slots of a shard is whose turn it is; see shard_places.
        turns = len(shard.replicas) or 1
        places: dict[int, _Places | None] = {}
        for start, end in shard.slots:
            for first in range(start, min(start + turns, end + 1)):
                turn = first % turns
                if turn not in places:
                    places[turn] = shard_places(topology, first, calm)
                there = places[turn]
                if there is not None:
                    found[first : end + 1 : turns] = [there] * len(range(first, end + 1, turns))
    for slot in health.unsettled | health.moving.keys():
        found[slot] = shard_places(topology, slot, health) or before[slot]
    return found


class SlotAssignments:
    """The places of all slots, made when they are asked for.

    Args:
        see: returns what they follow from.
        made: called when they were made anew.
    """

    def __init__(
        self, see: Callable[[], tuple[Topology, NodeHealth]], made: Callable[[], None]
    ) -> None:
        self._see = see
        self._made = made
        self._all: list[_Places] = [()] * SLOTS
        self._valid = False
        # Slots to be looked at again, where nothing else has changed.
        self._stale: set[int] = set()

    def clear(self) -> None:
        """What they follow from has changed."""
        self._valid = False

    def drop(self, slot: int) -> None:
        """What those of ``slot`` follow from has changed, and nothing else."""
        self._stale.add(slot)

    def all(self) -> list[_Places]:
        """Return the places by slot; equal ones are mostly the same object."""
        if self._valid and not self._stale:
            return self._all
        topology, health = self._see()
        if self._valid and len(self._stale) <= _FEW:
            for slot in self._stale:
                self._all[slot] = shard_places(topology, slot, health) or self._all[slot]
        else:
            self._all = all_places(topology, health, self._all)
        self._valid = True
        self._stale.clear()
        self._made()
        return self._all


class TargetSlots(dict[Target, int]):
    """The slots of shard channels, each hashed once; ``used`` says how many are in use."""

    def __init__(self, used: Callable[[], int]) -> None:
        super().__init__()
        self._used = used

    def __missing__(self, target: Target) -> int:
        if len(self) > 2 * self._used() + 1000:
            self.clear()  # most are of names that were unsubscribed
        slot = self[target] = key_slot(target.name)
        return slot

    def of(self, targets: Iterable[Target]) -> list[int]:
        """Return the slot of each target."""
        return list(map(self.__getitem__, targets))
