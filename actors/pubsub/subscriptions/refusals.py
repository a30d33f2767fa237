"""Targets that a node refused for good: asked for again now and then, each by itself."""

from __future__ import annotations

from actors.pubsub.model.types import Target


class Refusals:
    """The refused targets, and which of them the log has named.

    Attributes:
        targets: the refused ones.
    """

    def __init__(self) -> None:
        self.targets: set[Target] = set()
        self._logged: set[Target] = set()

    def __contains__(self, target: Target) -> bool:
        return target in self.targets

    def __bool__(self) -> bool:
        return bool(self.targets or self._logged)

    def add(self, target: Target) -> None:
        """Note that a node refused ``target``."""
        self.targets.add(target)

    def forgive(self, target: Target) -> None:
        """Forget that ``target`` was refused."""
        self.targets.discard(target)
        self._logged.discard(target)

    def is_news(self, target: Target) -> bool:
        """Return whether ``target`` is refused and the log has not named it; from now on it has."""
        news = target in self.targets and target not in self._logged
        if news:
            self._logged.add(target)
        return news

    def inherit(self, former: Refusals, known: set[Target]) -> None:
        """Take over the refusals of a crashed manager, for the targets that are still known."""
        self.targets = former.targets & known
        self._logged = former._logged & self.targets
