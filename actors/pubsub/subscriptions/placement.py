"""What a reconciler asks of whoever knows where targets belong: a manager."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from actors.pubsub.model.types import Target
from actors.pubsub.table.state import Handover, NodeId
from actors.redis.exceptions import RedisError

__all__ = ["Placement"]


class Placement(Protocol):
    """Where targets belong, and what to do about errors that say otherwise."""

    def places(self, target: Target) -> tuple[NodeId, ...]:
        """Return the nodes where ``target`` should be live, best first."""

    def places_of(self, targets: Iterable[Target]) -> list[tuple[NodeId, ...]]:
        """Return the places of many targets: the same as :meth:`places`, faster."""

    def hopeless(self, target: Target) -> bool:
        """Return whether no node that could take ``target`` can be connected to at the moment."""

    def group(self, target: Target) -> int:
        """Return what must agree for two targets to share a command: a shard channel's slot."""

    def asking(self, node: NodeId, target: Target) -> bool:
        """Return whether ``node`` takes ``target`` only after ASKING: it imports its slot."""

    def same_stream(self, node: NodeId, other: NodeId) -> bool:
        """Return whether the two deliver the same messages: they are of one shard."""

    def trusted(self, node: NodeId) -> bool:
        """Return whether what ``node`` delivers is up to date: it answers."""

    def complete(self, node: NodeId, heard: float, taken: Target | None = None) -> float:
        """Return until when ``node``, heard last at ``heard``, delivered all that was accepted.

        ``taken``: the target that it took away.
        """

    def replica_until(self, node: NodeId) -> float:
        """Return until when ``node`` surely was a replica, and accepted nothing itself.

        -inf: nobody saw whom it took over from.
        """

    def giver(self, node: NodeId, target: Target) -> NodeId | None:
        """Return the primary of ``node`` where it gives the target's slot to another shard.

        None: it does not, or ``node`` has no primary. What the primary accepted last may not have
        come to its replica when that one gives the target up.
        """

    def linger(self, handover: Handover) -> float | None:
        """Return the seconds that a hand-over takes; None: until the placement says so."""

    def lost(self, node: NodeId) -> bool:
        """Hear that ``node``'s connection ended; return whether places change by that."""

    def found(self, node: NodeId) -> bool:
        """Hear that ``node`` is connected; return whether places change by that."""

    def redirected(self, node: NodeId, targets: list[Target], error: RedisError) -> bool:
        """Take an error that says where a target is, or to try later; False: it is final."""

    def accepted(self, node: NodeId, target: Target) -> None:
        """Hear that ``node`` took ``target``, which was live elsewhere already."""

    def revoked(self, node: NodeId, target: Target) -> bool:
        """Hear that ``node`` took ``target`` away; return whether it was promoted."""
