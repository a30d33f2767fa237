"""Since when messages wait, without a time stamp on any of them (pure).

A message is the n-th that entered a mailbox, and how many have left it is known. So it is enough to
note, now and then, how many had entered by when. The oldest message that is not handled entered
after the last note that does not count it.

Where it is not known exactly how many had entered, a note counts too many rather than too few: it
then makes messages older than they are, and never younger.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["AgeMeter", "Moment"]

_MOST_NOTES = 600


class Moment(NamedTuple):
    """When somebody looked, and when before that.

    Attributes:
        at: the time of the look.
        before: the time of the look before it: what came to the machine by then has been read.
    """

    at: float
    before: float


class AgeMeter:
    """Estimates the ages of one mailbox's oldest messages, to within the interval of looks.

    Args:
        since: a look at which it was empty, and nothing in hand.
        left: how many messages have left it.
    """

    __slots__ = ("_notes",)

    def __init__(self, since: Moment, left: int) -> None:
        # When, and how many had entered by then; both grow.
        self._notes: deque[tuple[Moment, int]] = deque([(since, left)])

    def note(self, now: Moment, left: int, in_hand: int, waiting: int) -> tuple[Moment, Moment]:
        """Take note; return moments after which the oldest unhandled, and the oldest waiting came.

        Args:
            now: the time, or when all had come that has not come to this mailbox yet.
            left: how many messages have left it for good, at least: handled or shed.
            in_hand: how many may be neither there nor counted as having left: at most.
            waiting: how many wait in it; with ``in_hand``, one at least.
        """
        notes, entered = self._notes, left + in_hand + waiting
        if left < notes[0][1]:  # the counters began anew, and what waits may be from before that
            self._notes = notes = deque([(notes[0][0], left)])
        while len(notes) > 1 and notes[-1][1] >= entered:
            notes.pop()  # no more than this have entered by now, so no more had by then
        notes.append((now, entered))
        # All but the last note that does not count the oldest message are of no use any more.
        while notes[1][1] <= left:
            notes.popleft()
        if len(notes) > _MOST_NOTES:
            self._notes = notes = deque([notes[0], *list(notes)[2::2]])
        oldest = waits = notes[0][0]
        if waiting:
            for when, count in notes:
                if count > left + in_hand:
                    break
                waits = when
        else:
            waits = now
        return oldest, waits
