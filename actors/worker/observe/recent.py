"""What handlers did lately: their counts of now against those of some time ago (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

#: How many notes lie within the window: it is longer than asked for by one of its parts at most.
_PARTS: Final = 6


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What a handler has done, in some time or since it was started."""

    handled: int = 0  # messages handled, failed ones included
    failed: int = 0  # messages that went to the failure sink
    shed: int = 0  # messages that its full mailbox dropped


class Recent:
    """Knows the counts of all handlers some time ago; what is asked for are the differences.

    Args:
        over: seconds that are looked back.
        now: the time; nothing has been counted before.
    """

    def __init__(self, over: float, now: float) -> None:
        self._over = over
        self._notes: deque[tuple[float, Mapping[str, Counts]]] = deque([(now, {})])

    def due(self, now: float) -> bool:
        """Return whether it is time for the next note."""
        return now - self._notes[-1][0] >= self._over / _PARTS

    def note(self, now: float, counts: Mapping[str, Counts]) -> None:
        """Note the counts of all handlers, by path."""
        latest = self._notes[-1][1]
        # Counts that have not changed are kept once: most handlers are idle at any time.
        kept = {
            path: one if (one := latest.get(path)) == new else new for path, new in counts.items()
        }
        self._notes.append((now, kept))
        while self._notes[1][0] <= now - self._over:
            self._notes.popleft()

    def of(self, path: str, now: Counts) -> Counts:
        """Return what the handler at ``path`` did lately; ``now`` are its counts."""
        before = self._notes[0][1].get(path, Counts())
        # A handler that was subscribed anew counts from zero; its failures are counted elsewhere.
        is_same = now.handled >= before.handled and now.shed >= before.shed
        return Counts(
            now.handled - before.handled if is_same else now.handled,
            now.failed - before.failed,
            now.shed - before.shed if is_same else now.shed,
        )
