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
#: Seconds without another answer after which a slot is as good as new.
_FORGOTTEN = 10.0


class Redirects:
    """Counts how often each slot was followed to another node."""

    def __init__(self) -> None:
        # By slot: how many were followed, when the last one was, and the highest config epoch.
        self._followed: dict[int, tuple[int, float, int]] = {}

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
            if now - last < pause:
                return False
        self._followed[slot] = count + 1, now, max(epoch, highest)
        return True

    def expire(self, now: float) -> None:
        """Forget the slots that were not followed for a while."""
        limit = now - _FORGOTTEN
        self._followed = {slot: one for slot, one in self._followed.items() if one[1] >= limit}
