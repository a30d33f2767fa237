"""Which channel is subscribed to for which: a recovering channel stands on its history's channel.

Servers, the table and the routes know the history's channel; users see the channel's own name.
"""

from __future__ import annotations

from actors.pubsub.model.types import Kind, NodeTarget, Target


class WireNames:
    """The recovering channels of one pub/sub object, from the call that asks for them to their end.

    Both questions have an answer for every other target, too: the target itself.
    """

    def __init__(self) -> None:
        self._wire: dict[tuple[Kind, bytes], bytes] = {}
        self._own: dict[tuple[Kind, bytes], bytes] = {}

    def add(self, kind: Kind, own: bytes, wire: bytes) -> None:
        """Take that ``wire`` is subscribed to for the channel ``own``."""
        self._wire[kind, own] = wire
        self._own[kind, wire] = own

    def forget(self, target: Target) -> None:
        """Take that ``target``, as servers know it, is not subscribed to any more."""
        own = self._own.pop((target.kind, target.name), None)
        if own is not None:
            self._wire.pop((target.kind, own), None)

    def wire(self, target: Target) -> Target:
        """Return what is subscribed to for ``target``, which is named as users do."""
        name = self._wire.get((target.kind, target.name))
        return target if name is None else Target(target.kind, name)

    def own(self, target: Target) -> Target:
        """Return ``target``, which is named as servers do, with the channel's own name."""
        name = self._own.get((target.kind, target.name))
        if name is None:
            return target
        if isinstance(target, NodeTarget):
            return NodeTarget(target.kind, name, target.node)
        return Target(target.kind, name)
