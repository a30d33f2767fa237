"""How often a slot may be followed to another node (pure).

In a broken cluster two nodes may each say that the other one serves a slot. Each of their answers
contradicts the one before, whether it is a redirection or a view of the topology, and following all
of them would ask both nodes without a pause. A slot that really moves has a higher config epoch at
its new owner than it ever had.
"""

from __future__ import annotations

#: Answers about a slot that are followed at once.
_AT_ONCE = 3
#: Seconds until the next one is followed then: at first and at most, doubled each time.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Answers that are followed after such pauses, of all slots together: so many at once, and so many
#: a second. A cluster may be broken about thousands of slots.
_IN_ALL_AT_ONCE, _IN_ALL = 4.0, 2.0
#: Seconds without another answer after which a slot is as good as new.
_FORGOTTEN = 10.0


class Redirects:
    """Counts how often each slot was followed to another node."""

    def __init__(self) -> None:
        # By slot: how many were followed, when the last one was, and the highest config epoch.
        self._followed: dict[int, tuple[int, float, int]] = {}
        # How many answers may be followed after a pause now, and when that was counted.
        self._left, self._left_at = _IN_ALL_AT_ONCE, 0.0

    def may_follow(self, slot: int, now: float, epoch: int = 0) -> bool:
        """Return whether ``slot`` is to be followed to another node now; if so, count it.

        Args:
            slot: the slot.
            now: the time in seconds.
            epoch: the config epoch of the other node's claim; 0: unknown.
        """
        count, last, highest = self._followed.get(slot, (0, now, 0))
        if now - last > _FORGOTTEN or epoch > highest > 0:
            count = 0
        if count >= _AT_ONCE:
            pause = min(_PAUSE * 2 ** min(count - _AT_ONCE, 10), _LONGEST_PAUSE)
            if now - last < pause or not self._has_left(now):
                return False
        self._followed[slot] = count + 1, now, max(epoch, highest)
        return True

    def _has_left(self, now: float) -> bool:
        """Return whether one more answer may be followed after a pause; if so, count it."""
        left = min(self._left + (now - self._left_at) * _IN_ALL, _IN_ALL_AT_ONCE)
        self._left_at = now
        self._left = left - 1 if left >= 1 else left
        return left >= 1

    def expire(self, now: float) -> None:
        """Forget the slots that were not followed for a while."""
        limit = now - _FORGOTTEN
        self._followed = {slot: one for slot, one in self._followed.items() if one[1] >= limit}
