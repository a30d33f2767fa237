"""Tries channels again and again at nodes that their slots go to, until these take them for good.

Which slots, ``moves`` says. The target of a move in one step refuses them to its end, and ``jobs``
says how often they are tried: by subscriptions like any other, and by what is sent ahead. The
target of a single slot takes them, after ASKING, and may end that when it takes the slot over: for
that moment they are sent ahead, too. What is sent ahead waits on a second connection, so that
nothing else has to wait behind it; see ``ahead``. The first that is taken counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from actors.pubsub.cluster.ahead import Ahead
from actors.pubsub.cluster.jobs import MOST_AHEAD
from actors.pubsub.cluster.move_watch import MoveWatch
from actors.pubsub.cluster.seconds import second_of
from actors.pubsub.model.types import Target
from actors.pubsub.subscriptions.reconciler import Reconciler
from actors.pubsub.table.state import NodeId

__all__ = ["Tries"]

#: Seconds between two looks at what was sent ahead for single slots.
_SINGLE_PAUSE = 0.005
#: Milliseconds by which tries of single slots are further apart for each second that these are on
#: their way, and at the most.
_SLOWER, _SLOWEST = 0.5, 10


class Tries:
    """What is tried at the moment.

    Args:
        reconciler: subscribes.
        watch: says what is to be tried.
        slot: returns the slot of a channel.
        targets_in: returns the channels in some slots.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        watch: MoveWatch,
        slot: Callable[[Target], int],
        targets_in: Callable[[Iterable[int]], list[Target]],
    ) -> None:
        self._router = reconciler
        self._watch = watch
        self._slot = slot
        self._targets_in = targets_in
        # By node, what waits there.
        self._ahead: dict[NodeId, Ahead] = {}

    def again(self, now: float) -> float | None:
        """Try what is to be tried; return the seconds until the next time, None: it is over."""
        moves = self._watch.moves
        refused, single = moves.tried(now), moves.single()
        slots = refused | single.keys()
        if not slots:
            self._ahead.clear()
            return None
        targets = self._targets_in(slots)
        pause = _SINGLE_PAUSE
        if refused:
            again = [target for target in targets if self._slot(target) not in single]
            self._router.retry(again)
            pause = moves.pause(len(again), now)
        self._send_ahead(targets, now)
        return pause

    def _send_ahead(self, targets: Iterable[Target], now: float) -> None:
        by_node: dict[NodeId, dict[int, list[bytes]]] = {}
        rows, subscribers = self._router.table.rows, self._router.subscribers
        moves, single = self._watch.moves, self._watch.moves.single()
        for target in islice(targets, MOST_AHEAD):
            slot, row = self._slot(target), rows.get(target)
            node = second_of(moves.targets.get(slot, ""))
            if row is None or node not in subscribers or row.is_live(node):
                continue
            if row.is_tried(node) or (row.wanted and row.asked(node)):
                by_node.setdefault(node, {}).setdefault(slot, []).append(target.name)
        for node, by_slot in by_node.items():
            subscriber = subscribers[node]
            ahead = self._ahead.get(node)
            if ahead is None or ahead.subscriber is not subscriber:
                ahead = self._ahead[node] = Ahead(subscriber)
            since = min((single[slot] for slot in by_slot.keys() & single.keys()), default=now)
            apart = 1 + min(_SLOWEST, int((now - since) * _SLOWER))
            ahead.top_up(by_slot.values(), self._watch.sharers(), now, apart)
