"""How often a slot may be followed to another node (pure).

In a broken cluster two nodes may each say that the other one serves a slot. Each of their answers
contradicts the one before, and following all of them would ask both nodes without a pause.
"""

from __future__ import annotations

#: Redirections of a slot that are followed at once.
_AT_ONCE = 3
#: Seconds until the next one is followed then: at first and at most, doubled each time.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Seconds without a redirection after which a slot is as good as new.
_FORGOTTEN = 10.0


class Redirects:
    """Counts the redirections of each slot."""

    def __init__(self) -> None:
        # By slot: how many were followed, and when the last one was.
        self._followed: dict[int, tuple[int, float]] = {}

    def may_follow(self, slot: int, now: float) -> bool:
        """Return whether a redirection of ``slot`` is to be followed now; if so, count it."""
        count, last = self._followed.get(slot, (0, now))
        if now - last > _FORGOTTEN:
            count = 0
        if count >= _AT_ONCE:
            pause = min(_PAUSE * 2 ** min(count - _AT_ONCE, 10), _LONGEST_PAUSE)
            if now - last < pause:
                return False
        self._followed[slot] = count + 1, now
        return True

    def expire(self, now: float) -> None:
        """Forget the slots that were not redirected for a while."""
        limit = now - _FORGOTTEN
        self._followed = {slot: one for slot, one in self._followed.items() if one[1] >= limit}
