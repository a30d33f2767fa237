"""Which nodes are out of touch with their cluster, and since when; whom replicas follow (pure).

Messages go from node to node over the cluster bus. A node whose bus is cut off, and one that the
others have forgotten, goes on answering its clients and delivers nothing. What tells is CLUSTER
NODES: of the node itself when it last heard of each of the others, and of the others whether they
know the node.

A healthy node hears of one of the others each second, whatever the timeout of the cluster is. The
node's clock may differ from ours; by how much is learned from the latest that it ever heard.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from actors.redis.topology.merge_views import in_touch
from actors.redis.topology.model import Health, Topology

#: Seconds without news of any other node after which a node's answer is doubtful; and for how much
#: longer its answers must have been so. (One that was stopped answers before it hears of others.)
_DOUBTFUL_AFTER, _DEAF_AFTER = 1.5, 1.5
#: Seconds that may pass between two times that a healthy node hears of one of the others.
_BETWEEN_PINGS: Final = 1.0
#: Seconds for which it is remembered when a node was known that no other node knows any more.
_REMEMBERED: Final = 60.0
#: Seconds for which all must know a node again that most had forgotten: servers forget it for a
#: minute, and learn of it for moments in between while it still runs.
_FORGOTTEN_FOR: Final = 10.0


@dataclass(slots=True)
class _Reading:
    """What one node said of the others when it was asked; times in seconds.

    Attributes:
        asked_at: when that was, by our clock.
        newest: when it last heard of any of the others, by its clock.
        most: when it last heard of most of the others, by its clock.
        ahead: by how much its clock is ahead of ours, at least.
        news_at: when it was asked and had news of any of them, by our clock.
        doubtful_since: since when its answers are doubtful, by our clock; None: they are not.
    """

    asked_at: float
    newest: float
    most: float
    ahead: float
    news_at: float
    doubtful_since: float | None = None

    def next(self, asked_at: float, newest: float, most: float) -> _Reading:
        """Return what follows from the next answer."""
        news_at = asked_at if newest > self.newest else self.news_at
        doubtful = asked_at - news_at >= _DOUBTFUL_AFTER
        return _Reading(
            asked_at,
            newest,
            most,
            ahead=max(self.ahead, newest - asked_at),
            news_at=news_at,
            doubtful_since=(self.doubtful_since or asked_at) if doubtful else None,
        )

    @property
    def heard_at(self) -> float:
        """Until when it surely heard of most of the others, by our clock."""
        return self.most - self.ahead - _BETWEEN_PINGS

    @property
    def deaf(self) -> bool:
        """Whether it has heard of nobody for too long."""
        since = self.doubtful_since
        return since is not None and self.asked_at - since >= _DEAF_AFTER


class BusContacts:
    """What the answers of nodes say of who hears whom.

    Attributes:
        cut_off: the nodes that are out of touch with most of their cluster, while others are in
            touch; each with the time until which it surely heard of most of them.
    """

    def __init__(self) -> None:
        self.cut_off: dict[str, float] = {}
        self._readings: dict[str, _Reading] = {}
        self._known_at: dict[str, float] = {}
        # By replica, by primary: when the replica was asked and said that it follows the primary.
        self._followed_at: dict[str, dict[str, float]] = {}
        self._forgotten_at: dict[str, float] = {}

    def heard_at(self, node_id: str) -> float:
        """Return until when a node surely heard of most of the others; -infinity: unknown."""
        reading = self._readings.get(node_id)
        return self.cut_off.get(node_id, -inf if reading is None else reading.heard_at)

    def known_at(self, node_id: str) -> float:
        """Return when the others were last known to know a node; -infinity: never."""
        return self._known_at.get(node_id, -inf)

    def followed_at(self, node_id: str, primary_id: str | None) -> float:
        """Return when a node was asked last and said that its primary is ``primary_id``.

        Other nodes learn over the bus, late, that a replica follows another primary. -infinity: the
        node never said so.
        """
        return self._followed_at.get(node_id, {}).get(primary_id or "", -inf)

    def forgotten(self, now: float) -> set[str]:
        """Return the nodes that the others knew, and have forgotten a moment ago."""
        return {node for node, at in self._forgotten_at.items() if now - at < _FORGOTTEN_FOR}

    def doubtful(self, node_id: str) -> bool:
        """Whether a node had no news of the others when it answered last."""
        reading = self._readings.get(node_id)
        return reading is not None and reading.doubtful_since is not None

    def deaf(self, node_id: str | None) -> bool:
        """Whether a node has heard of nobody for so long that others are to be asked."""
        reading = self._readings.get(node_id or "")
        return reading is not None and reading.deaf

    def read(self, view: Topology, asked_at: float) -> None:
        """Take the answer of one node, which was asked at ``asked_at``."""
        if view.myself is None:
            return
        own = view.nodes.get(view.myself)
        if own is not None and own.primary_id:
            self._followed_at.setdefault(own.id, {})[own.primary_id] = asked_at
        heard = sorted(
            node.heard_at / 1000
            for node in view.nodes.values()
            if node.heard_at and node.id != view.myself and node.health is not Health.FAILED
        )
        if not heard:
            return
        newest, most = heard[-1], heard[-(len(heard) // 2 + 1)]
        reading = self._readings.get(view.myself)
        self._readings[view.myself] = (
            _Reading(asked_at, newest, most, ahead=newest - asked_at, news_at=asked_at)
            if reading is None
            else reading.next(asked_at, newest, most)
        )

    def compare(self, views: Sequence[Topology], asked_at: float) -> None:
        """Take the answers of one round of questions, each :meth:`read` already."""
        own = {view.myself: view for view in views if view.myself is not None}
        sound = {node for node, view in own.items() if in_touch(view) and not self.deaf(node)}
        for node in own:
            if node in sound:
                self.cut_off.pop(node, None)
            elif sound:
                self.cut_off.setdefault(node, self.heard_at(node))
        self._note_members([own[node] for node in sound], asked_at)

    def _note_members(self, views: Sequence[Topology], asked_at: float) -> None:
        for node_id in self._known_at:
            others = [view for view in views if view.myself != node_id]
            lacking = sum(node_id not in view.nodes for view in others)
            if 2 * lacking > len(others) or (lacking and node_id in self._forgotten_at):
                self._forgotten_at[node_id] = asked_at
        lately = self.forgotten(asked_at)
        for view in views:
            for node in view.nodes.values():
                if node.id == view.myself or not node.link_up or node.failing:
                    continue
                if node.id not in lately and all(node.id in other.nodes for other in views):
                    self._known_at[node.id] = asked_at

    def keep(self, known: Collection[str], now: float) -> None:
        """Forget the nodes that are not ``known``; when those were known last, after a while."""
        self.cut_off = {node: at for node, at in self.cut_off.items() if node in known}
        self._readings = {node: one for node, one in self._readings.items() if node in known}
        self._followed_at = {
            node: {primary: at for primary, at in followed.items() if now - at < _REMEMBERED}
            for node, followed in self._followed_at.items()
            if node in known
        }
        self._known_at = {
            node: at
            for node, at in self._known_at.items()
            if node in known or now - at < _REMEMBERED
        }
        self._forgotten_at = {node: self._forgotten_at[node] for node in self.forgotten(now)}
