"""How long messages have waited in a mailbox, without a time stamp on any of them (pure).

Each look at a mailbox notes how many messages have entered it so far. If n messages have left it,
the oldest one inside is number n + 1: it entered after the last note of n or less.

Where the number is not exact, a note counts too many rather than too few, so that messages may seem
older than they are, but never younger.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_MOST_NOTES = 600


class Moment(NamedTuple):
    """The time of a look at the mailboxes, and of the look before it."""

    at: float  # the time of the look
    before: float  # the time of the previous look; whatever had arrived by then has been read


class AgeMeter:
    """Estimates the age of the oldest message of one mailbox, to within the interval of looks.

    At the look ``since`` the mailbox was empty, and ``left`` messages had left it.
    """

    __slots__ = ("_notes",)

    def __init__(self, since: Moment, left: int) -> None:
        # Times, and how many messages had entered by then; both grow.
        self._notes: deque[tuple[Moment, int]] = deque([(since, left)])

    def note(self, now: Moment, left: int, in_hand: int, waiting: int) -> tuple[Moment, Moment]:
        """Note a look; return after which looks the oldest unhandled and the oldest waiting came.

        Args:
            now: this look.
            left: how many messages at least have left the mailbox, handled or shed.
            in_hand: how many at most are being handled, or are handled but not yet counted.
            waiting: how many wait in the mailbox; ``waiting + in_hand`` is at least 1.
        """
        notes, entered = self._notes, left + in_hand + waiting
        if left < notes[0][1]:  # the counters began anew; waiting messages may be older
            self._notes = notes = deque([(notes[0][0], left)])
        while len(notes) > 1 and notes[-1][1] >= entered:
            notes.pop()  # this note counted too many
        notes.append((now, entered))
        # Of the notes that do not count the oldest message only the last one is needed.
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
