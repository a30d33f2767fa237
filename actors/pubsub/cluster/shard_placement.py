"""Where shard channels belong: answers a reconciler's questions out of a :class:`ShardState`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.pubsub.cluster.shard_state import ShardState
from actors.pubsub.cluster.slot_assignment import SlotAssignments, TargetSlots
from actors.pubsub.model.types import Target
from actors.pubsub.table.state import Handover, NodeId

#: Seconds for which both nodes feed a target when its source changes: longer than the cluster bus
#: is ever late.
_HANDOVER = 0.1


class ShardPlacement:
    """Answers; changes nothing that is known.

    Attributes:
        places_by_slot: where the channels of each slot belong; to be told what has changed.
        slots: the slot of each channel.

    Args:
        state: what is known.
        channels: returns how many channels there are.
        changed: called when places were looked up anew: readers may be needed elsewhere.
    """

    def __init__(
        self, state: ShardState, channels: Callable[[], int], changed: Callable[[], None]
    ) -> None:
        self._state = state
        self.places_by_slot = SlotAssignments(lambda: (state.topology, state.health()), changed)
        self.slots = TargetSlots(channels)

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return where ``target`` should be live, the preferred node first."""
        return self.places_by_slot.all()[self.slots[target]]

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return where each of ``targets`` should be live."""
        return list(map(self.places_by_slot.all().__getitem__, self.slots.of(targets)))

    def hopeless(self, target: Target) -> bool:
        """Return whether no node that should take ``target`` can be connected to."""
        down = self._state.down.since
        return bool(down) and all(node in down for node in self.places(target))

    def unserved(self, target: Target) -> str | None:
        """Return in words why no node serves the slot of ``target``; None where one does."""
        slot = self.slots[target]
        shard = self._state.topology.shard_for(slot)
        if shard is None:
            return f"no node of the cluster serves its slot, {slot}"
        if all(node.failing or not node.addressable for node in shard.nodes):
            nodes = ", ".join(self.address_of(node.id) for node in shard.nodes)
            return f"the cluster calls every node that serves its slot, {slot}, failing: {nodes}"
        return None

    def address_of(self, node: NodeId) -> str:
        """Return the address of ``node``; its id where that is unknown."""
        known = self._state.topology.nodes.get(node)
        return node if known is None else f"{known.host}:{known.port}"

    def group(self, target: Target) -> int:
        """Return the slot: channels of different slots cannot share a command (P4)."""
        return self.slots[target]

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return whether ``node`` is importing the target's slot."""
        return self._state.topology.migrating.get(self.slots[target]) == node

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return whether the target's slot moves to ``node`` from another shard, or just did."""
        return self._state.imports(node, self.slots[target])

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether two nodes are of one shard."""
        return self._state.peers.are(node, other)

    def trusted(self, node: NodeId) -> bool:
        """Return whether ``node`` answers, and surely receives what its primary accepts."""
        return self._state.trusted(node)

    def complete(self, node: NodeId, heard: float) -> float:
        """Return until when ``node`` has delivered everything that its shard accepted."""
        return self._state.complete(node, heard)

    def linger(self, handover: Handover) -> float | None:
        """Return how long both nodes feed a target."""
        if not self._state.answers(handover.old):
            return 0.0
        if not self.same_stream(handover.old, handover.new) and self.asking(
            handover.new, handover.target
        ):
            return None  # until the slot has moved: both own it in turn, neither repeats the other
        return _HANDOVER
