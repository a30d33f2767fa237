"""What one member owns, is subscribed to, and delivers, as views are announced and committed.

A member is subscribed to all names that it owns by a view in force at any node, and to those that
it will own by the announced view. It delivers a message where it is the owner by the view in force
at the node that the message comes from, and drops it otherwise. So nothing has to be held back
during a change: what comes before the commit is the old owner's.
"""

from __future__ import annotations

from actors.worker.fleet.decisions import (
    Decision,
    Fence,
    Gained,
    Lost,
    ReportLive,
    StopDelivering,
    Subscribe,
    Unsubscribe,
)
from actors.worker.fleet.members import Member
from actors.worker.fleet.owners import owned
from actors.worker.fleet.views import NodeViews, View


class Holdings:
    """What the member ``me`` owns of ``names``.

    Attributes:
        views: the views in force.
        announced: the view that the member prepares for; None where no change is under way.
    """

    def __init__(self, me: Member, names: frozenset[str], *, may_kill: bool) -> None:
        self.views = NodeViews()
        self.announced: View | None = None
        self._me = me
        self._names = names
        self._may_kill = may_kill
        self._subscribed: frozenset[str] = frozenset()
        # By the last view in force at each node.
        self._owns: dict[str, frozenset[str]] = {}

    def delivers(self, name: str, node: str) -> bool:
        """Whether the member owns ``name`` by the view in force at ``node``."""
        return self.views.at(node) is not None and name in self._owns.get(node, ())

    def announce(self, view: View) -> list[Decision]:
        """``view`` is announced: subscribe to what it gives to the member."""
        self.announced = view
        decisions = self._subscribe()
        if self._me in view.members:
            decisions.append(ReportLive(view.number))
        return decisions

    def commit(self, node: str, view: View) -> list[Decision]:
        """``node`` commits ``view``. A node without a connection commits nothing."""
        if not self.views.knows(node):
            return []
        before, after = self._owns.get(node, frozenset()), self._owned(view)
        self.views.committed(node, view)
        self._owns[node] = after
        if self.announced is not None and self.announced.number <= view.number:
            self.announced = None
        decisions: list[Decision] = []
        if lost := before - after:
            decisions.append(Lost(node, lost))
        if gained := after - before:
            dead = tuple(gone.member for gone in view.gone if gone.member != self._me)
            if dead and self._may_kill:
                decisions.append(Fence(dead))
            decisions.append(Gained(node, gained, view.gone))
        return decisions + self._subscribe()

    def stop(self) -> list[Decision]:
        """Own nothing, and take nothing that comes on today's connections."""
        lost = [Lost(node, names) for node, names in self._owns.items() if names]
        self.views.forget()
        self._owns.clear()
        self.announced = None
        return [StopDelivering(), *lost, *self._subscribe()]

    def _owned(self, view: View | None) -> frozenset[str]:
        if view is None or self._me not in view.members:
            return frozenset()
        return owned(self._names, view.ids, self._me.id)

    def _subscribe(self) -> list[Decision]:
        """Subscribe to what the member owns or will own, and to nothing else."""
        views = [*self.views.remembered(), self.announced]
        wanted = frozenset().union(*(self._owned(view) for view in views))
        decisions: list[Decision] = []
        if new := wanted - self._subscribed:
            decisions.append(Subscribe(new))
        if old := self._subscribed - wanted:
            decisions.append(Unsubscribe(old))
        self._subscribed = wanted
        return decisions
