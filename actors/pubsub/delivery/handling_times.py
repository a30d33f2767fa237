"""How long the messages of one handler wait and take, as histograms; no message has a time stamp.

The writer of a mailbox notes the time of each batch, and up to which entry of the mailbox it goes.
The message loop looks at the clock after each message. A message that took longer than ``SHORT`` is
entered by itself; all others of a turn are entered together, with their mean: each of them is
surely below ``SHORT``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from time import monotonic
from typing import Any, Final

from actors.runtime.message_loop import SHORT
from actors.runtime.messages.ask import Ask
from actors.runtime.messages.envelopes import Envelope
from actors.runtime.messages.mailbox import Mailbox

#: The upper bounds of the histograms, in seconds; one more place counts what is above the last.
BOUNDS: Final = (
    *(0.0001, 0.000_25, 0.0005, SHORT, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Histogram:
    """How many durations lie between each two of ``BOUNDS``, and their sum."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Enter ``count`` durations."""
        self.counts[bisect_left(BOUNDS, seconds)] += count
        self.seconds += seconds * count


class HandlingTimes:
    """Measures the messages of one handler.

    Attributes:
        waiting: from the receipt of a message until its handling begins.
        handling: from there until the handler is done with it.
    """

    __slots__ = (
        "__weakref__",
        "_apart",
        "_apart_seconds",
        "_batches",
        "_entered",
        "_gone",
        "_noted",
        "_processed",
        "_queue",
        "_since",
        "handling",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting = Histogram()
        self.handling = Histogram()
        self._queue: deque[Any] = deque()
        self._batches: deque[tuple[float, int]] = deque()
        self._entered = 0  # entries that the mailbox has had
        self._gone = 0  # how many of these have left the mailbox
        self._processed = 0  # messages that the cell had counted at the end of the last turn
        self._begin_turn()

    def _begin_turn(self) -> None:
        self._noted = 0  # messages of this turn whose waiting is entered
        self._since = 0.0  # when those after them began; 0: with the turn
        self._apart = 0  # messages of this turn that are entered by themselves
        self._apart_seconds = 0.0  # what they took, and hooks

    def attach(self, mailbox: Mailbox) -> None:
        """Measure the messages of ``mailbox``, which is new."""
        self._queue = mailbox.queue
        # The time of each batch, and how many entries the mailbox had had with it. Each has one
        # entry at least, so that as many of them as the mailbox has places cover all that waits.
        self._batches = deque(maxlen=mailbox.spec.capacity)

    # -- the writer --------------------------------------------------------------------------------

    def note_batch(self, size: int) -> None:
        """Note that a batch of ``size`` entries was put into the mailbox."""
        self._entered = entered = self._entered + size
        self._batches.append((monotonic(), entered))

    # -- the message loop --------------------------------------------------------------------------

    def note_message(self, handled: int, message: Any, begun: float) -> float:
        """Note that ``message``, number ``handled`` of the turn, took from ``begun`` until now.

        Returns:
            the time now.
        """
        now = monotonic()
        self._apart_seconds += now - begun
        if type(message) in Envelope.classes and type(message) is not Ask:
            # A hook of the user's, and no message.
            return now
        self._apart += 1
        self.handling.add(now - begun)
        if handled - self._noted > 1:
            self._began(handled - self._noted - 1, self._since or begun)
        self._began(1, begun)
        # Meanwhile others may have been shed: they are gone, too.
        self._gone = max(self._gone, self._entered - len(self._queue))
        self._noted, self._since = handled, now
        return now

    def note_turn(self, processed: int, begun: float, ended: float) -> None:
        """Note the end of a turn, after which the cell has counted ``processed`` messages."""
        count = processed - self._processed
        self._processed = processed
        batches, gone = self._batches, self._entered - len(self._queue)
        if count > 0 and not self._apart_seconds and batches:
            received, last = batches[0]
            if gone - count < last and gone <= last:
                # Nearly always: short messages of one batch. What follows does the same, slowly.
                handling, waiting = self.handling, self.waiting
                took, waited = ended - begun, max(0.0, begun - received)
                handling.counts[bisect_left(BOUNDS, took / count)] += count
                handling.seconds += took
                waiting.counts[bisect_left(BOUNDS, waited)] += count
                waiting.seconds += waited * count
                self._gone = gone
                if gone == last:
                    batches.popleft()
                return
        short = count - self._apart
        if short > 0:
            mean = (ended - begun - self._apart_seconds) / short
            self.handling.add(min(max(mean, 0.0), SHORT), short)
        rest = count - self._noted
        self._began_last(rest, self._since or begun)
        self._begin_turn()

    # -- handlers that note each message, or each call ---------------------------------------------

    def taken(self) -> float | None:
        """Return when the message was received that was just taken from the mailbox."""
        batches, number = self._batches, self._entered - len(self._queue)
        while batches and batches[0][1] < number:
            batches.popleft()
        return batches[0][0] if batches else None

    def note_taken(self, received: float | None, begun: float) -> None:
        """Note that a message, taken from the mailbox before, took from ``begun`` until now."""
        if received is not None:
            self.waiting.add(max(0.0, begun - received))
        self.handling.add(monotonic() - begun)

    def begin_call(self, messages: int) -> float:
        """Note that a call with the latest messages of the mailbox begins; return the time now."""
        now = monotonic()
        self._began_last(messages, now)
        return now

    def end_call(self, begun: float) -> None:
        """Note that a call took from ``begun`` until now."""
        self.handling.add(monotonic() - begun)

    def _began_last(self, count: int, at: float) -> None:
        """As ``_began``, of the messages that were the latest to leave the mailbox."""
        self._gone = max(self._gone, self._entered - len(self._queue) - count)
        self._began(count, at)

    def _began(self, count: int, at: float) -> None:
        """Enter how long the next ``count`` messages had waited when their handling began."""
        batches, number = self._batches, self._gone
        while count > 0 and batches:
            received, last = batches[0]
            here = min(count, last - number)
            if here > 0:
                self.waiting.add(max(0.0, at - received), here)
                count -= here
                number += here
            if number >= last:
                batches.popleft()
        self._gone = number
