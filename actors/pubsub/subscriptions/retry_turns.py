"""How often, and for how many targets, servers are asked again that refused for the moment (pure).

A few targets are asked for at first, and more each time that a server accepted some of them: a
server that has just come back is not met with ten thousand names at once, nor asked for all of them
in vain. A target that is refused no more, because nodes that contradict each other sent it to each
other, was accepted by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

#: Seconds between the first two attempts; each pause is twice as long as the one before.
_FIRST: Final = 0.05
#: Targets of the first attempt; four times as many after each attempt that had any success.
_FEW: Final = 5
#: Attempts without any success after which a single target is tried: that is about ten seconds with
#: pauses of up to a second, and from then on the calm budget counts (P6b).
_FUTILE: Final = 14


class RetryTurns(msgspec.Struct, Generic[T]):
    """Takes turns with the refused targets, until none is refused.

    Attributes:
        longest: the longest pause in seconds.
        pause: seconds until the next attempt.
        count: how many targets are tried next.
        tried: the targets of the latest attempt.
        futile: how many attempts in a row had no success.
        begin: where among the refused targets the next attempt begins.
    """

    longest: float
    pause: float = _FIRST
    count: int = _FEW
    tried: list[T] = []
    begin: int = 0
    futile: int = 0

    def take(self, refused: list[T], served: Callable[[T], bool]) -> list[T]:
        """Return the targets to ask for now.

        Args:
            refused: all that are refused.
            served: returns whether a node feeds a target.
        """
        if any(map(served, set(self.tried).difference(refused))):
            self.pause, self.count, self.futile = _FIRST, 4 * self.count, 0
        else:
            self.futile += 1
            self.pause = min(2 * self.pause, self.longest)
            self.count = _FEW if self.futile < _FUTILE else 1
        start = self.begin % max(len(refused), 1)
        self.tried = [*refused[start:], *refused[:start]][: self.count]
        self.begin = start + len(self.tried)
        return self.tried
