"""One node's way into a merge: what the node has delivered, and what is held of it (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Protocol


class Taker(Protocol):
    """The merge that a node feeds."""

    now: Callable[[], float]

    def put(self, feeder: MergeInput, message: Any) -> None:
        """Take a message that ``feeder``'s node delivered."""


class MergeInput:
    """One node's way into a merge, where passed messages are numbered.

    Attributes:
        stream: identifies the messages that the node delivers: one for all nodes of a shard.
        first: the number of the first message that the node may repeat.
        position: the number after the latest one that the node has delivered.
        joined: the number of the first message that passed since the node is live.
        owing: the node owes no message before this number.
        delivered: the numbers that the node has delivered: those from ``owing`` on, and those
            before ``joined``.
        held: messages that have not passed, each with the time when it came.
        overtaken: messages like those in ``held``, but a later one of this node has passed.
        since: when the node became live.
        met: the leader with which the node has delivered a message in common.
        ambiguous_at: when the node last delivered a payload that comes more than once, and that was
            taken for a message of the leader.
        ambiguous_since: since when the node has delivered such payloads, without a pause of
            ``OWED`` seconds.
    """

    __slots__ = (
        "_merge",
        "ambiguous_at",
        "ambiguous_since",
        "delivered",
        "first",
        "held",
        "joined",
        "met",
        "overtaken",
        "owing",
        "position",
        "since",
        "stream",
    )

    def __init__(self, merge: Taker, stream: Hashable, position: int, joined: int) -> None:
        self._merge = merge
        self.stream = stream
        self.since = merge.now()
        self.first = self.position = position
        self.joined = self.owing = joined
        self.delivered: set[int] = set()
        self.held: deque[tuple[Any, float]] = deque()
        self.overtaken: deque[tuple[Any, float]] = deque()
        self.met: MergeInput | None = None
        self.ambiguous_at = self.ambiguous_since = -inf

    def delivered_since_live(self, number: int) -> bool:
        """Whether the node delivered what passed as ``number``, and was live when it did."""
        return number >= self.joined and (number < self.owing or number in self.delivered)

    def put(self, message: Any) -> None:
        """Take a message."""
        self._merge.put(self, message)

    def deliver(self, number: int) -> None:
        """Note that the node has delivered what passed as ``number``."""
        self.position = max(self.position, number + 1)
        self.delivered.add(number)
        if number >= self.owing:
            self.forget(self.owing)

    def overtake(self) -> None:
        """A later message has passed: what is held cannot pass in order any more."""
        self.overtaken.extend(self.held)
        self.held.clear()

    def forget(self, number: int) -> None:
        """Let go what passed before ``number``."""
        while self.owing < number or self.owing in self.delivered:
            self.delivered.discard(self.owing)
            self.owing += 1


def before(waiting: deque[tuple[Any, float]], limit: float) -> list[tuple[Any, float]]:
    """Take the messages that came before ``limit`` out of ``waiting``; return these."""
    taken = []
    while waiting and waiting[0][1] < limit:
        taken.append(waiting.popleft())
    return taken
