"""A channel's position in its history: what to deliver, what to read, what is lost (pure).

Facts come in as method calls: an envelope that a node delivered, a page of the history, a gap of
the subscription. Each call returns what follows for the consumer, in order: entries to deliver, and
losses to tell before the entry behind them. What the position needs next from the server is its
*wish*. The rules:

- An envelope whose predecessor is the last delivered entry follows: it is delivered.
- One with an id that is no newer, in number and in time, is a repeat: it is dropped.
- Any other one is *held*, and the history is read from the last delivered entry on, that entry
  included. A gap of the subscription starts such a read, too, and live envelopes that follow are
  delivered meanwhile.
- Entries of the history are numbered without holes. A number that is left out was trimmed: so many
  are lost. An older number with a later time is another history's, as after FLUSHALL or after the
  promotion of a replica that lacked the end: nobody knows how much is lost. A history that has
  nothing from the last delivered entry on is another one, too: the position is at its end then.
- What is held, and neither follows at the end of a read nor came after it was begun, is not in the
  history: a primary published it that was replaced. It is dropped. If it was newer than all that
  the history has, that is an unknown loss.

The position begins with the last entry of the history, or with the predecessor of the first
envelope that comes, if that is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from actors.redis.history.entries import BEFORE_FIRST, Entry, EntryId, Envelope

#: Envelopes that one channel holds at the most: they are in the history, and can be read later.
MOST_HELD: Final = 1024


class Lost(msgspec.Struct, frozen=True, gc=False):
    """A loss, before the entry that follows.

    Attributes:
        count: how many entries; None: nobody knows.
        reason: why, in words.
    """

    count: int | None
    reason: str


class Wish(Enum):
    """What a position needs from the history."""

    #: The position that is kept at the server.
    KEPT = "kept"
    #: The id of the last entry.
    LAST = "last"
    #: The entries from :attr:`Position.start` on.
    PAGE = "page"


#: What follows for the consumer, in order: entries that were read, envelopes, losses.
Output: TypeAlias = list[Entry | Envelope | Lost]

TRIMMED = "entries were trimmed before they were read"
ANOTHER = "the history is another one: it was deleted, or a primary was replaced"
UNREADABLE = "the history could not be read"
REPLACED = "a primary was replaced that had published messages which no other one has"


class Position:
    """Where the consumer of one channel is in the channel's history.

    Attributes:
        last: the last entry that was delivered, or the one before the first; None: unknown.
        held: envelopes that wait for their predecessor, by the predecessor's id.
        repeats: envelopes dropped because they had been delivered.
        discarded: envelopes dropped because the history does not have them.

    Args:
        last: where to begin; None: at the end of the history.
        since_ms: begin with the entries from this time on, in milliseconds, instead.
    """

    __slots__ = (
        "_beginning",
        "_displaced",
        "_doubt",
        "_floor",
        "_next_begins",
        "_since",
        "_unread",
        "discarded",
        "held",
        "last",
        "repeats",
    )

    def __init__(self, last: EntryId | None = None, *, since_ms: int | None = None) -> None:
        self.last = last
        self.held: dict[EntryId, Envelope] = {}
        self.repeats = self.discarded = 0
        self._since = None if since_ms is None else EntryId(since_ms, 0)
        # The last entry that was delivered of a former history: nothing older is a new message.
        self._floor = BEFORE_FIRST
        # The end of the history that was taken for the beginning, if nothing was delivered then.
        self._beginning: EntryId | None = None
        # Whether something has happened that no read was begun after.
        self._unread = True
        # Whether the history had nothing from the entry on that was asked for.
        self._displaced = False
        # Why messages may be lost though the history looks whole.
        self._doubt = ""
        # Whether the next envelope is the beginning: the history could not be read.
        self._next_begins = False

    # -- what is needed ----------------------------------------------------------------------------

    @property
    def wish(self) -> Wish | None:
        """What has to be read; None: nothing."""
        if not self._unread:
            return None
        known = self.last is not None or self._since is not None
        return Wish.PAGE if known and not self._displaced else Wish.LAST

    @property
    def start(self) -> EntryId:
        """The entry from which the history is to be read, that entry included."""
        return self.last or self._since or BEFORE_FIRST

    @property
    def is_open(self) -> bool:
        """Whether an envelope that follows the last entry can be delivered at once."""
        return self.last is not None and not self.held and self.last >= self._floor

    def begin_read(self) -> None:
        """Note that the wish is being read: what happens from now on wants another read."""
        self._unread = False

    # -- facts -------------------------------------------------------------------------------------

    def envelope(self, envelope: Envelope) -> Output:
        """Take what a node delivered."""
        if self.last is None and self._next_begins:
            self.last = envelope.previous
        last = self.last
        if last is not None:
            if envelope.previous == last and envelope.id > self._floor:
                return self._follow(envelope)
            if envelope.id <= last and last == self._beginning and envelope.id > self._floor:
                # Published since the subscription; the answer with the last id was faster.
                self.last, self._beginning = envelope.previous, None
                self._unread = True
                return self._follow(envelope)
            if _is_no_newer(envelope.id, last):
                self.repeats += 1
                return []
        self._unread = True
        if len(self.held) >= MOST_HELD:
            self.held.clear()  # the history has them
        self.held.setdefault(envelope.previous, envelope)
        return []

    def begin_behind(self, last: EntryId) -> None:
        """Take where to begin, before anything was delivered: behind ``last``."""
        self.last, self._since, self._unread = last, None, True

    def begin_with_next(self) -> None:
        """Take that the next envelope is the beginning, before anything was delivered."""
        self._next_begins, self._unread = True, False

    def read_again(self) -> None:
        """Take that a read came to nothing."""
        self._unread = True

    def interrupted(self, since_ms: int, *, early: bool = False) -> None:
        """Take that the subscription had a gap.

        A position that has not begun begins with the entries since then.

        Args:
            since_ms: when the subscription was surely live last, in milliseconds.
            early: that was before the answer that the position began with: it may have begun too
                late.
        """
        self._unread = True
        if early and self.last is not None and self.last == self._beginning:
            self.last = self._beginning = self._since = None
        if self.last is None and self._since is None:
            self._since = EntryId(since_ms, 0)

    def doubt(self, reason: str) -> None:
        """Take that entries may be lost though the history may look whole."""
        if self.last is not None:
            self._doubt = reason
            self._unread = True

    def last_entry(self, last: EntryId | None) -> Output:
        """Take the id of the history's last entry; None: the history is empty."""
        found = last or BEFORE_FIRST
        if self.last is None and self._since is not None:
            if not self._displaced or found >= max(self._since, EntryId(0, 1)):
                # An answer from before it was known where to begin, or there is something by now.
                self._displaced, self._unread = False, True
                return []
            self._displaced = False
        output: Output = []
        if self.last is not None:
            self._displaced = False
            if found >= self.last:  # there is something to read again
                self._unread = True
                return []
            self._doubt = ""
            self._floor = max(self._floor, self.last)
            output.append(Lost(None, ANOTHER))
        begins = self.last is None
        newer = (before for before, one in self.held.items() if one.id > self._floor)
        self.last = min([found, *newer])
        released = self._release()
        if begins and not released:
            self._beginning = self.last
        output += released
        if self.held or self.last < found:
            self._unread = True
        return output

    def page(self, start: EntryId, entries: Sequence[Entry], *, complete: bool) -> Output:
        """Take the entries from ``start`` on, which was :attr:`start`; ``complete``: all of them.

        Envelopes may have followed since then.
        """
        if self.last is None:
            if start != self.start:
                self._unread = True  # an answer from before it was known where to begin
                return []
            if not entries:  # nothing since then: begin at the end
                self._displaced = self._unread = True
                return []
            first = entries[0].id
            earliest = min(self.held, default=first)
            if earliest < first:  # an envelope came that is older
                self.last = earliest
                self._unread = True
                return self._release()
            self.last = EntryId(first.ms, first.n - 1)
        elif not entries and self.last != BEFORE_FIRST:
            self._displaced = self._unread = True
            return []
        output: Output = []
        if self._doubt:
            output.append(Lost(None, self._doubt))
            self._doubt = ""
        self._append(entries, output)
        output += self._release()
        if not complete:
            self._unread = True
        elif not self._unread:
            self._discard(output)
        return output

    def unreadable(self, error: str) -> Output:
        """Take that the history cannot be read, and why: what is held is delivered."""
        held = sorted(self.held.values(), key=_id_of)
        output: Output = []
        if self.last is not None or held:
            output.append(Lost(None, f"{UNREADABLE}: {error}"))
        self.held.clear()
        self._since = None
        self._unread = self._displaced = False
        self._doubt = ""
        if held:
            self.last = held[-1].id
            output += held
        self._next_begins = True
        return output

    # -- what follows ------------------------------------------------------------------------------

    def _follow(self, envelope: Envelope) -> Output:
        self.last = envelope.id
        return [envelope, *self._release()]

    def _release(self) -> Output:
        """Take out of what is held what follows the last entry."""
        output: Output = []
        held, last = self.held, self.last
        assert last is not None
        while (envelope := held.get(last)) is not None and envelope.id > self._floor:
            del held[last]
            last = self.last = envelope.id
            output.append(envelope)
        for before in [before for before, one in held.items() if _is_no_newer(one.id, last)]:
            del held[before]
            self.repeats += 1
        return output

    def _append(self, entries: Iterable[Entry], output: Output) -> None:
        assert self.last is not None
        last = self.last
        previous = {envelope.id: before for before, envelope in self.held.items()}
        other = any(one.n <= last.n and one > last for one in previous)
        for entry in entries:
            last = self.last
            if entry.id <= last:  # the first one, or delivered live since the read was begun
                # A higher number with an earlier time: the page is of a history that is gone.
                self._unread |= entry.id.n > last.n
                continue
            if other or entry.id.n != last.n + 1 or previous.get(entry.id, last) != last:
                # What the history has no more may have come live.
                for envelope in sorted(self.held.values(), key=_id_of):
                    if max(last, self._floor) < envelope.id < entry.id:
                        self._step(envelope, envelope.previous, output)
            self._step(entry, previous.get(entry.id), output)

    def _step(self, one: Entry | Envelope, before: EntryId | None, output: Output) -> None:
        """Go on to ``one``, and tell what is missing; ``before``: what came before it, if known."""
        last = self.last
        assert last is not None
        missing = one.id.n - last.n - 1
        if missing < 0 or (missing == 0 and before not in (None, last)):
            self._floor = max(self._floor, last)
            _lose(output, Lost(None, ANOTHER))
        elif missing > 0:
            _lose(output, Lost(missing, TRIMMED))
        self.last = one.id
        if one.payload is not None:
            output.append(one)

    def _discard(self, output: Output) -> None:
        """Drop what is held after a complete read: the history does not have it."""
        assert self.last is not None
        unknown = [one for one in self.held.values() if one.id > self._floor]
        self.repeats += len(self.held) - len(unknown)
        self.discarded += len(unknown)
        self.held.clear()
        if any(envelope.id.n > self.last.n for envelope in unknown):
            _lose(output, Lost(None, REPLACED))


def _lose(output: Output, loss: Lost) -> None:
    """Put ``loss`` into ``output``, unless the entry before says already that nobody knows."""
    before = output[-1] if output else None
    if not (isinstance(before, Lost) and before.count is None):
        output.append(loss)


def _is_no_newer(one: EntryId, last: EntryId) -> bool:
    return one.n <= last.n and one.ms <= last.ms


def _id_of(envelope: Envelope) -> EntryId:
    return envelope.id
