"""Views: numbered lists of members, and which one is in force at each node.

The view in force at a node is the last one that the node's stream of messages committed. All
subscribers of a node get its messages in one order, so at each place of that order all of them have
the same view in force, and exactly one owner for each name. Numbers only tell views apart: no
member compares them to find out which view counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from actors.worker.fleet.members import Gone, Member


class View(msgspec.Struct, frozen=True):
    """The members that own names, together.

    Attributes:
        number: the server's time, in milliseconds, when the view was made, and more than the
            number of the view before it.
        members: who owns names.
        gone: who was dropped when this view was made, and has to be fenced.
        fresh: nobody owned anything before this view.
    """

    number: int
    members: tuple[Member, ...] = ()
    gone: tuple[Gone, ...] = ()
    fresh: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the members."""
        return tuple(member.id for member in self.members)


class NodeViews:
    """The view in force at each node, as one member knows it.

    A node whose stream was interrupted has no view in force until the next commit comes from it.
    What was in force before is remembered, so that the member stays subscribed to the same names.
    """

    def __init__(self) -> None:
        self._in_force: dict[str, View | None] = {}
        self._last: dict[str, View] = {}

    def __bool__(self) -> bool:
        return bool(self._in_force)

    def at(self, node: str) -> View | None:
        """Return the view in force at ``node``; None where it is not known."""
        return self._in_force.get(node)

    def numbers(self) -> dict[str, int | None]:
        """Return the number of the view in force at each connected node; None: not known."""
        return {
            node: None if view is None else view.number for node, view in self._in_force.items()
        }

    def knows(self, node: str) -> bool:
        """Whether ``node`` is connected."""
        return node in self._in_force

    def remembered(self) -> Iterator[View]:
        """Return the views in force, and the last ones where the view in force is not known."""
        return iter(self._last.values())

    def last(self, node: str) -> View | None:
        """Return the last view that was in force at ``node``."""
        return self._last.get(node)

    def connected(self, node: str) -> None:
        """The control channel is subscribed on a new connection to ``node``."""
        self._in_force[node] = None

    def disconnected(self, node: str) -> None:
        """The connection to ``node`` has ended, or brings nothing any longer."""
        self._in_force.pop(node, None)

    def committed(self, node: str, view: View) -> None:
        """``node`` commits ``view``: forget the last views of nodes that are not connected."""
        self._in_force[node] = self._last[node] = view
        for other in self._last.keys() - self._in_force.keys():
            del self._last[other]

    def forget(self) -> None:
        """Forget all nodes, until they are connected anew."""
        self._in_force.clear()
        self._last.clear()

    def settled_without(self, member: Member) -> bool:
        """Whether ``member`` is in no view that is known to be in force."""
        views = self._in_force.values()
        return all(view is None or member not in view.members for view in views)
