"""What a member owns at each node, and from whom it has it (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from actors.pubsub.api.gated import Takeover
from actors.worker.fleet.decisions import Gained
from actors.worker.fleet.members import Gone
from actors.worker.fleet.owners import owner


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
        # When each name was handed over by a member that lives, in Unix seconds.
        self._handed_at: dict[str, float] = {}

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
        self, gained: Gained, now: float, never: float, interrupted: float | None = None
    ) -> dict[str, Takeover]:
        """Take what is gained; return the names that were owned nowhere, with their takeovers.

        Args:
            gained: the decision.
            now: the time (Unix seconds).
            never: the time (Unix seconds) after which a member may have handled nothing that never
                said until when it had.
            interrupted: the time (Unix seconds) at which the connection to the node had ended, so
                that commits may have been missed; None: all of them have come.
        """
        new = [name for name in gained.names if not self.anywhere(name)]
        self._owned.setdefault(gained.node, set()).update(gained.names)
        takeover = self._takeover(gained, never, interrupted)
        self.stopped_since = None
        self._forget(new)
        found = {} if takeover is None else dict.fromkeys(new, takeover)
        self._takeovers.update(found)
        if takeover is not None and takeover.since is None:
            self._handed_at.update(dict.fromkeys(new, now))
        return found

    def unhandled(
        self, gone: Gone, ids: Iterable[str], me: str, never: float
    ) -> tuple[float, dict[str, float]]:
        """Return what a member that is gone may not have handled of what it had handed over.

        Args:
            gone: the member.
            ids: those of the members that stay.
            me: the id of this member.
            never: the time (Unix seconds) after which ``gone`` may have handled nothing, where it
                never said until when it had.

        Returns:
            the time from which on it may not have handled what came; the names that it would own
            if this member were not there, and when each was handed over.
        """
        since = gone.handled / 1000 or never
        others = tuple({*ids, gone.member.id} - {me})
        handed = {
            name: at
            for name, at in self._handed_at.items()
            if since < at and owner(name, others) == gone.member.id
        }
        for name in handed:
            del self._handed_at[name]
        return since, handed

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
        self._forget(gone)
        return gone

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._takeovers.pop(name, None)
            self._handed_at.pop(name, None)

    def stop(self, since: float) -> None:
        """Take that nothing is owned any more; all that came until ``since`` is handled."""
        self.stopped_since = since
        self._owned.clear()
        self._takeovers.clear()
        self._handed_at.clear()
