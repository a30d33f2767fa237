"""Why a target is not live yet, in words for the error of a call that waited too long."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.placement import Placement
from actors.pubsub.table.state import NodeId, TargetState
from actors.redis.exceptions import RedisError


class Obstacles:
    """Knows what nodes said that refused a target for now.

    Args:
        placement: knows who serves what.
        own: returns a target with the name that users know it by.
    """

    def __init__(
        self, placement: Placement, own: Callable[[Target], Target] = lambda target: target
    ) -> None:
        self._placement = placement
        self._own = own
        self._refusals: dict[Target, tuple[NodeId, str]] = {}

    def note(self, node: NodeId, targets: Collection[Target], error: RedisError) -> None:
        """Note that ``node`` refused ``targets`` for now."""
        self._refusals |= dict.fromkeys(targets, (node, str(error)))

    def forget(self, target: Target) -> None:
        """Forget what was said of ``target``: it is live, or nobody waits for it."""
        self._refusals.pop(target, None)

    def of(self, target: Target, row: TargetState | None, up: Collection[NodeId]) -> str:
        """Return why ``target`` is not live yet; empty where nothing is known.

        Args:
            target: the target.
            row: what the table knows of it.
            up: the nodes with a connection.
        """
        name = repr(self._own(target).name.decode(errors="backslashreplace"))
        said = ""
        if target in self._refusals:
            node, answer = self._refusals[target]
            said = f"; {self._placement.address_of(node)} answered: {answer}"
        unserved = self._placement.unserved(target)
        if unserved is not None:
            return f"{name}: {unserved}{said}"
        if said or row is None:
            return f"{name}{said.replace(';', ':', 1)}" if said else ""
        places = ", ".join(map(self._placement.address_of, row.places))
        if not any(node in up for node in row.places):
            return f"{name}: there is no connection to {places} yet"
        return f"{name}: {places} has not answered"
