"""For how long messages wait, without a time stamp on any of them (pure).

A message is the n-th that entered a mailbox, and n is known when it is asked for: what was handled
plus what waits. So it is enough to note, now and then, how many had entered by when. The oldest
message that waits entered after the last note that does not count it.
"""

from __future__ import annotations

from collections import deque

__all__ = ["AgeMeter"]

_MOST_NOTES = 600


class AgeMeter:
    """Estimates the age of the oldest message of one mailbox, to within the interval of notes."""

    __slots__ = ("_left", "_notes")

    def __init__(self) -> None:
        self._left = 0
        # (when, how many had entered by then)
        self._notes: deque[tuple[float, int]] = deque(maxlen=_MOST_NOTES)

    def note(self, now: float, left: int, waiting: int) -> float:
        """Take note, and return the oldest message's age in seconds; 0.0 when none waits.

        Args:
            now: the time.
            left: how many messages have left the mailbox, handled or shed.
            waiting: how many wait in it.
        """
        notes = self._notes
        if left < self._left:
            notes.clear()  # the counters began anew: it is another mailbox
        self._left = left
        # Messages in hand are in neither of the two counts: the sum may fall for a while.
        entered = max(left + waiting, notes[-1][1] if notes else 0)
        notes.append((now, entered))
        # All but the last note that does not count the oldest message are of no use any more.
        while len(notes) > 1 and notes[1][1] <= left:
            notes.popleft()
        if not waiting:
            return 0.0
        return now - notes[0][0]
