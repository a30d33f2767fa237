"""How often, and for how many targets, servers are asked again that refused for the moment (pure).

A few targets are asked for at first, and more each time that some were accepted: a server that has
just come back is not met with ten thousand names at once, nor asked for all of them in vain.
"""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T")

#: Seconds between the first two attempts; each pause is twice as long as the one before.
_FIRST: Final = 0.05
#: Targets of the first attempt; four times as many after each attempt that had any success.
_FEW: Final = 5


class RetryTurns:
    """Takes turns with the refused targets.

    Attributes:
        pause: seconds until the next attempt.

    Args:
        longest: the longest pause in seconds.
    """

    def __init__(self, longest: float) -> None:
        self.pause = _FIRST
        self._longest = longest
        # How many targets are tried next, how many were refused before, and where to begin.
        self._count, self._refused, self._next = _FEW, 0, 0

    def reset(self) -> None:
        """Begin anew: nothing is refused."""
        self.pause, self._count, self._refused = _FIRST, _FEW, 0

    def take(self, refused: list[T]) -> list[T]:
        """Return the targets to ask for now, out of all that are refused."""
        if len(refused) < self._refused:
            self.pause, self._count = _FIRST, 4 * self._count
        else:
            self.pause, self._count = min(2 * self.pause, self._longest), _FEW
        self._refused = len(refused)
        start = self._next % max(len(refused), 1)
        tried = [*refused[start:], *refused[:start]][: self._count]
        self._next = start + len(tried)
        return tried
