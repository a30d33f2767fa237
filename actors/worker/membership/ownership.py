"""What a member owns at each node, and from whom it has it (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from actors.pubsub.api.gated import Takeover
from actors.worker.fleet.decisions import Gained


class Ownership:
    """The names of one member.

    Attributes:
        stopped_since: the time (Unix seconds) until which the member had handled all that came
            when its lease was over; None: that has not happened since it owned names.
    """

    def __init__(self) -> None:
        self.stopped_since: float | None = None
        self._owned: dict[str, set[str]] = {}
        self._takeovers: dict[str, Takeover] = {}

    def at(self, node: str) -> set[str]:
        """Return the names owned at ``node``."""
        return self._owned.get(node, set())

    def anywhere(self, name: str) -> bool:
        """Whether ``name`` is owned at a node."""
        return any(name in owned for owned in self._owned.values())

    def all(self) -> set[str]:
        """Return the names that are owned at a node."""
        return set().union(*self._owned.values())

    def held(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return the names owned at all of ``nodes``."""
        owned = [self.at(node) for node in nodes]
        return frozenset(set.intersection(*owned)) if owned else frozenset()

    def takeover_of(self, name: str) -> Takeover | None:
        """Return from whom the member has ``name``; None: nobody had it, or it is not owned."""
        return self._takeovers.get(name)

    def gained(
        self, gained: Gained, never: float, interrupted: float | None = None
    ) -> dict[str, Takeover]:
        """Take what is gained; return the names that were owned nowhere, with their takeovers.

        Args:
            gained: the decision.
            never: the time (Unix seconds) after which a member may have handled nothing that never
                said until when it had.
            interrupted: the time (Unix seconds) at which the connection to the node had ended, so
                that commits may have been missed; None: all of them have come.
        """
        new = [name for name in gained.names if not self.anywhere(name)]
        self._owned.setdefault(gained.node, set()).update(gained.names)
        takeover = self._takeover(gained, never, interrupted)
        self.stopped_since = None
        for name in new:
            self._takeovers.pop(name, None)
        found = {} if takeover is None else dict.fromkeys(new, takeover)
        self._takeovers.update(found)
        return found

    def _takeover(self, gained: Gained, never: float, interrupted: float | None) -> Takeover | None:
        if gained.gone:
            since = min(gone.handled / 1000 or never for gone in gained.gone)
            who = ", ".join(str(gone.member) for gone in gained.gone)
            reason = f"taken over from {who}, which is gone"
            return Takeover(since if interrupted is None else min(since, interrupted), reason)
        if gained.fresh and self.stopped_since is not None:
            return Takeover(self.stopped_since, "the lease of the only member was over")
        if interrupted is not None:
            return Takeover(interrupted, "the connection ended, and the owners changed meanwhile")
        return None if gained.fresh else Takeover(None, "handed over")

    def lost(self, node: str, names: Iterable[str]) -> list[str]:
        """Take what is lost at ``node``; return the names that are owned nowhere any longer."""
        self.at(node).difference_update(names)
        gone = [name for name in names if not self.anywhere(name)]
        for name in gone:
            self._takeovers.pop(name, None)
        return gone

    def stop(self, since: float) -> None:
        """Take that nothing is owned any more; all that came until ``since`` is handled."""
        self.stopped_since = since
        self._owned.clear()
        self._takeovers.clear()
