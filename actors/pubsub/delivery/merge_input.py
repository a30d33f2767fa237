"""One node's way into a merge: what it delivered of all that passed, and what waits; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Protocol

__all__ = ["MergeInput", "Taker"]


class Taker(Protocol):
    """What a port belongs to: a merge."""

    now: Callable[[], float]

    def put(self, port: MergeInput, message: Any) -> None:
        """Take a message that ``port``'s node delivered."""


class MergeInput:
    """One node's way in: a consumer like an writer.

    Attributes:
        stream: which sequence of messages it delivers.
        first: the number of the first that it may repeat.
        position: the number after the latest that it delivered of all that passed.
        joined: the number of the first that passed since the node is live.
        owing: all before this number it delivered, or it need not.
        delivered: the numbers from there on that it delivered, and those before ``joined``.
        held: messages, each with when it came, that have not passed.
        since: when the node became live.
        met: of which leader it has delivered a message that this one delivered, too.
        ambiguous_at: when it last delivered a payload that comes more than once and was taken for
            one that the leader delivers, too.
    """

    __slots__ = (
        "_merge",
        "ambiguous_at",
        "delivered",
        "first",
        "held",
        "joined",
        "met",
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
        self.met: MergeInput | None = None
        self.ambiguous_at = -inf

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

    def drop(self, limit: float) -> list[tuple[Any, float]]:
        """Let go what came before ``limit`` and is held; return it, each with when it came."""
        dropped = []
        while self.held and self.held[0][1] < limit:
            dropped.append(self.held.popleft())
        return dropped

    def forget(self, number: int) -> None:
        """Let go what passed before ``number``."""
        while self.owing < number or self.owing in self.delivered:
            self.delivered.discard(self.owing)
            self.owing += 1
