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
    """Knows the counts of handlers some time ago; what is asked for are the differences.

    Args:
        over: seconds that are looked back.
        now: the time; nothing has been counted before.
    """

    def __init__(self, over: float, now: float) -> None:
        self._over = over
        self._noted_at = now
        self._latest: dict[str, Counts] = {}
        # The times of notes within the window, and what each of them has changed: the counts
        # before. Most handlers are idle at any time, and are in none.
        self._notes: deque[tuple[float, Mapping[str, Counts]]] = deque()

    def due(self, now: float) -> bool:
        """Return whether it is time for the next note."""
        return now - self._noted_at >= self._over / _PARTS

    def note(self, now: float, changed: Mapping[str, Counts]) -> None:
        """Note the counts of the handlers, by path, that have changed since the last note."""
        latest, nothing = self._latest, Counts()
        self._notes.append((now, {path: latest.get(path, nothing) for path in changed}))
        latest.update(changed)
        self._noted_at = now
        while self._notes and self._notes[0][0] <= now - self._over:
            self._notes.popleft()

    def of(self, path: str, now: Counts) -> Counts:
        """Return what the handler at ``path`` did lately; ``now`` are its counts."""
        before = next((one[path] for _, one in self._notes if path in one), None)
        if before is None:
            before = self._latest.get(path, Counts())
        # A handler that was subscribed anew counts from zero; its failures are counted elsewhere.
        is_same = now.handled >= before.handled and now.shed >= before.shed
        return Counts(
            now.handled - before.handled if is_same else now.handled,
            now.failed - before.failed,
            now.shed - before.shed if is_same else now.shed,
        )
