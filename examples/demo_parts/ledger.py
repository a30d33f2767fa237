"""The books of the demo: messages published, messages delivered, and gaps that explain losses.

A message is published when the server has answered PUBLISH with an integer, and delivered when a
handler was called with it. A published message that was not delivered is lost. A gap reported for
the channel explains the loss if it covers the time of the PUBLISH.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from actors import Gap

__all__ = ["Balance", "Channel", "Ledger"]

#: Seconds by which the times of a gap and of a PUBLISH may be inexact.
TOLERANCE = 0.02
#: The name of the time before the first fault.
BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Publish:
    """An accepted message: when it was sent and when the answer came, in Unix seconds."""

    asked: float
    answered: float


@dataclass(slots=True)
class Channel:
    """The books of one channel."""

    accepted: dict[int, Publish] = field(default_factory=dict[int, Publish])
    arrived: set[int] = field(default_factory=set[int])
    gaps: list[Gap] = field(default_factory=list[Gap])
    recovered: set[int] = field(default_factory=set[int])
    recovered_twice: int = 0
    not_recovered: bool = False
    next_number: int = 1
    newest: int = 0
    unanswered: int = 0
    twice: int = 0
    late: list[int] = field(default_factory=list[int])

    def lost(self) -> list[Publish]:
        """Return the accepted messages that did not arrive."""
        return [sent for number, sent in self.accepted.items() if number not in self.arrived]

    def explains(self, sent: Publish) -> bool:
        """Whether a reported gap covers ``sent``."""
        return any(
            gap.since - TOLERANCE <= sent.answered and sent.asked <= gap.until + TOLERANCE
            for gap in self.gaps
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """The sums.

    Attributes:
        published: messages that the server accepted.
        delivered: those of them that a handler was called with.
        lost: the others.
        unexplained: lost outside every reported gap of their channel; must be 0.
        twice: deliveries of messages that had been delivered before.
        out_of_order: deliveries of published messages after a later one of the same channel; a
            PUBLISH without an answer may take effect much later, and does not count.
        unanswered: publishes that failed or got no answer in time; not counted as published.
        unanswered_arrived: those of them that were delivered nevertheless.
        gaps: gaps reported, one for each channel and interruption.
        lost_by_fault: the lost ones by the fault during which they were published.
        recovering_lost: the messages that the consumer with recovery did not get, by fault.
        recovering_untold: those of them on channels of which it was not told that it lost some.
        recovering_twice: those that it got twice.
        twice_by_fault: second deliveries, by the fault during which they came.
    """

    published: int
    delivered: int
    lost: int
    unexplained: int
    twice: int
    out_of_order: int
    unanswered: int
    unanswered_arrived: int
    gaps: int
    lost_by_fault: dict[str, int]
    recovering_lost: dict[str, int]
    recovering_untold: int
    recovering_twice: int
    twice_by_fault: dict[str, int]


class Ledger:
    """The books of all channels; chapters assign losses to faults."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.published = 0
        self.delivered = 0
        self.gaps = 0
        self._chapters: list[tuple[float, str]] = []
        self._twice: Counter[str] = Counter()

    def open(self, channel: str) -> Channel:
        """Begin the books of ``channel``."""
        self.channels[channel] = Channel()
        return self.channels[channel]

    def begin_chapter(self, fault: str) -> None:
        """Count the losses from now on for ``fault``."""
        self._chapters.append((time.time(), fault))

    # -- entries -----------------------------------------------------------------------------------

    def next_number(self, channel: str) -> int:
        """Return the number of the next message of ``channel``."""
        books = self.channels[channel]
        books.next_number += 1
        return books.next_number - 1

    def accepted(self, channel: str, number: int, asked: float) -> None:
        """The server accepted a message that was sent at ``asked`` (Unix seconds)."""
        self.channels[channel].accepted[number] = Publish(asked, time.time())
        self.published += 1

    def unanswered(self, channel: str) -> None:
        """A publish failed, or its answer was lost: whether it was executed is not known."""
        self.channels[channel].unanswered += 1

    def arrived(self, channel: str, number: int) -> None:
        """A handler was called with a message."""
        books = self.channels[channel]
        if number in books.arrived:
            books.twice += 1
            self._twice[self._chapter] += 1
            return
        books.arrived.add(number)
        self.delivered += 1
        if number < books.newest:
            books.late.append(number)
        books.newest = max(books.newest, number)

    def recovered(self, channel: str, number: int) -> None:
        """A handler with recovery was called with a message."""
        books = self.channels[channel]
        books.recovered_twice += number in books.recovered
        books.recovered.add(number)

    def not_recovered(self, gap: Gap) -> None:
        """The library reported a gap that a history could not fill."""
        self.channels[gap.name].not_recovered = True

    def reported(self, gap: Gap) -> None:
        """The library reported a gap."""
        self.channels[gap.name].gaps.append(gap)
        self.gaps += 1

    # -- sums --------------------------------------------------------------------------------------

    def mark(self) -> dict[str, int]:
        """Return each channel's next number, for :meth:`all_beyond`."""
        return {name: books.next_number for name, books in self.channels.items()}

    def silent_since(self, mark: dict[str, int]) -> list[str]:
        """Return the channels of which nothing published after ``mark`` was delivered yet."""
        return [name for name, books in self.channels.items() if books.newest < mark[name]]

    def all_settled(self) -> bool:
        """Whether the newest accepted message of every channel was delivered, to both consumers."""
        return all(
            min(books.newest, max(books.recovered, default=0)) >= max(books.accepted, default=0)
            for books in self.channels.values()
        )

    def balance(self) -> Balance:
        """Return the sums as of now."""
        books = list(self.channels.values())
        delivered = sum(len(one.accepted.keys() & one.arrived) for one in books)
        by_fault: Counter[str] = Counter({fault: 0 for _, fault in self._chapters})
        lost = unexplained = untold = 0
        recovering: Counter[str] = Counter({fault: 0 for _, fault in self._chapters})
        for one in books:
            for sent in one.lost():
                lost += 1
                unexplained += not one.explains(sent)
                by_fault[self._chapter_of(sent)] += 1
            for number, sent in one.accepted.items():
                if number not in one.recovered:
                    recovering[self._chapter_of(sent)] += 1
                    untold += not one.not_recovered
        published = sum(len(one.accepted) for one in books)
        return Balance(
            published=published,
            delivered=delivered,
            lost=lost,
            unexplained=unexplained,
            twice=sum(one.twice for one in books),
            out_of_order=sum(number in one.accepted for one in books for number in one.late),
            unanswered=sum(one.unanswered for one in books),
            unanswered_arrived=sum(len(one.arrived - one.accepted.keys()) for one in books),
            gaps=sum(len(one.gaps) for one in books),
            lost_by_fault=dict(by_fault),
            recovering_lost=dict(recovering),
            recovering_untold=untold,
            recovering_twice=sum(one.recovered_twice for one in books),
            twice_by_fault=dict(self._twice),
        )

    @property
    def _chapter(self) -> str:
        return self._chapters[-1][1] if self._chapters else BEFORE

    def _chapter_of(self, sent: Publish) -> str:
        # A message answered just before a fault may have been on its way when the fault struck.
        begun = [name for since, name in self._chapters if since - 0.2 <= sent.answered]
        return begun[-1] if begun else BEFORE
