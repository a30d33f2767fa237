"""What a reconciler asks of, and tells, the part that knows the servers.

Two protocols, one in each direction: :class:`Placement` answers questions and changes nothing;
:class:`PlacementEvents` is told what happened and changes what it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import RedisError


class Placement(Protocol):
    """Answers where targets belong, and what the nodes that deliver them are worth."""

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return the nodes where ``target`` should be live, the preferred one first."""

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return the :meth:`places` of many targets, faster than one by one."""

    def hopeless(self, target: Target) -> bool:
        """Return whether no node that could take ``target`` can be connected to at the moment."""

    def unserved(self, target: Target) -> str | None:
        """Return in words why no node serves ``target`` at the moment; None where one does."""

    def address_of(self, node: NodeId) -> str:
        """Return the address of ``node``, for texts."""

    def group(self, target: Target) -> int:
        """Return a number that is equal for targets that may share a command (a slot, say)."""

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return whether ``node`` takes ``target`` only after ASKING: it imports the slot."""

    def imports(self, node: NodeId, target: Target) -> bool:
        """Return whether the target's slot moves to ``node`` from another shard, or just did."""

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether the two nodes deliver the same messages: they are of one shard."""

    def trusted(self, node: NodeId) -> bool:
        """Return whether ``node`` surely delivers what it should: it answers, and is in sync."""

    def complete(self, node: NodeId, heard: float) -> float:
        """Return until when ``node`` has delivered everything that any node accepted.

        Args:
            node: the node.
            heard: when it was surely heard last, in the loop's time.
        """

    def linger(self, handover: Handover) -> float | None:
        """Return the seconds that a handover takes; None: until a later topology tells."""


class Revocation(msgspec.Struct, frozen=True):
    """What is known of the reason for which a node ended a subscription by itself.

    Attributes:
        promoted: the node may have become the primary of its shard.
        missed: the node is a replica whose shard has lost the slot: messages that its primary
            accepted at the end may never reach it, and the new owner never had them.
    """

    promoted: bool = False
    missed: bool = False


class PlacementEvents(Protocol):
    """Is told what connections report. Each answer says what the reconciler has to do then."""

    def lost(self, node: NodeId) -> bool:
        """Take that ``node``'s connection ended; return whether places change by that."""

    def found(self, node: NodeId) -> bool:
        """Take that ``node`` is connected; return whether places change by that."""

    def revoked(self, node: NodeId, target: Target) -> Revocation:
        """Take that ``node`` ended the subscription of ``target`` by itself."""

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Take ``node``'s error to a subscription; return False where the error is final."""
