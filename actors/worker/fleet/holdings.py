"""What one member owns, is subscribed to, and delivers, as views are announced and committed.

A member is subscribed to all names that it owns by a view in force at any node, and to those that
it will own by a view that is announced or on its way to a node. It delivers a message where it is
the owner by the view in force at the node that the message comes from, and drops it otherwise. So
nothing has to be held back during a change: what comes before the commit is the old owner's.
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
        # By the number of a view that was announced, or committed by some nodes, and that is not
        # in force at all nodes yet: a slow node may be several views behind.
        self._coming: dict[int, frozenset[str]] = {}

    def delivers(self, name: str, node: str) -> bool:
        """Whether the member owns ``name`` by the view in force at ``node``."""
        return self.views.at(node) is not None and name in self._owns.get(node, ())

    def announce(self, view: View) -> list[Decision]:
        """``view`` is announced: subscribe to what it gives to the member.

        Each node brings the announcement once, and a slow one brings it after later ones.
        """
        known = [*self.views.remembered(), *([self.announced] if self.announced else [])]
        if any(view.number <= each.number for each in known):
            return []
        self.announced = view
        self._coming[view.number] = self._share(view)
        decisions = self._subscribe()
        if self._me in view.members:
            decisions.append(ReportLive(view.number))
        return decisions

    def commit(self, node: str, view: View) -> list[Decision]:
        """``node`` commits ``view``. A node without a connection commits nothing."""
        if not self.views.knows(node):
            return []
        before, after = self._owns.get(node, frozenset()), self._share(view)
        self.views.committed(node, view)
        self._owns[node] = self._coming[view.number] = after
        if self.announced is not None and self.announced.number <= view.number:
            self.announced = None
        oldest = min(each.number for each in self.views.remembered())
        self._coming = {number: own for number, own in self._coming.items() if number > oldest}
        decisions = self._forget_nodes()
        if lost := before - after:
            decisions.append(Lost(node, lost))
        if gained := after - before:
            dead = tuple(gone.member for gone in view.gone if gone.member != self._me)
            if dead and self._may_kill:
                decisions.append(Fence(dead))
            decisions.append(Gained(node, gained, view.gone, view.fresh))
        return decisions + self._subscribe()

    def stop(self) -> list[Decision]:
        """Own nothing, and take nothing that comes on today's connections."""
        self.views.forget()
        self.announced = None
        self._coming.clear()
        return [StopDelivering(), *self._forget_nodes(), *self._subscribe()]

    def _share(self, view: View) -> frozenset[str]:
        if self._me not in view.members:
            return frozenset()
        return owned(self._names, view.ids, self._me.id)

    def _forget_nodes(self) -> list[Decision]:
        """Own nothing at nodes that no view is remembered of."""
        nodes = [node for node in self._owns if self.views.last(node) is None]
        forgotten = [(node, self._owns.pop(node)) for node in nodes]
        return [Lost(node, names) for node, names in forgotten if names]

    def _subscribe(self) -> list[Decision]:
        """Subscribe to what the member owns or will own, and to nothing else."""
        wanted = frozenset().union(*self._owns.values(), *self._coming.values())
        decisions: list[Decision] = []
        if new := wanted - self._subscribed:
            decisions.append(Subscribe(new))
        if old := self._subscribed - wanted:
            decisions.append(Unsubscribe(old))
        self._subscribed = wanted
        return decisions
