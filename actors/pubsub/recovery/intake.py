"""A recovering channel's way to its consumer: each message passes once, in order.

The route of such a channel leads into its intake from every node that the channel is live on. An
envelope that follows the one before it passes at once: that is decided here, by two comparisons,
and the position is told only when something else comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.model.recover import Recover, beginning, seconds_back
from actors.pubsub.model.types import Gap, Target
from actors.pubsub.recovery.histories import Histories
from actors.pubsub.recovery.kept_positions import KeptPosition
from actors.pubsub.recovery.outlet import Outlet
from actors.pubsub.recovery.position import Lost, Position, Wish
from actors.pubsub.recovery.resume import NOT_READ, Resume
from actors.redis.history.entries import Entry, EntryId, parse_envelope

_MOVED: Final = "another process took the channel over while its history was being read"


class Intake:
    """One recovering channel.

    Attributes:
        target: the channel that is subscribed to: that of the history.
        recover: what the consumer asked for.
        outlet: gives the consumer what follows from a fact.
        position: where the consumer is in the history.
        resume: the position that is kept for the consumer; None: it keeps none.
        users: how many subscriptions feed through this intake; none: it is closed.
    """

    __slots__ = (
        "_begun_at",
        "_histories",
        "_live_at",
        "_ms",
        "_n",
        "_number",
        "outlet",
        "position",
        "put",
        "recover",
        "resume",
        "target",
        "users",
    )

    def __init__(
        self,
        target: Target,
        label: Any,
        recover: Recover,
        histories: Histories[Intake],
        writer: MailboxWriter,
        kept: KeptPosition | None = None,
    ) -> None:
        self.target = target
        self.recover = recover
        self.outlet = Outlet(target, label, histories, writer)
        self.position = _beginning(recover)
        self.users = 0
        self._histories = histories
        self.resume = self.outlet.resume = None if kept is None else Resume(kept, self.outlet.shown)
        if self.resume is not None and (known := self.resume.beginning) is not None:
            self.position.begin_behind(known)
        #: Takes a message of the history's channel.
        self.put = self._put_text if histories.decode else self._put_bytes
        # The last entry's time as text; None: the position has to look at each envelope. And the
        # number of the entry that follows it, as a number and as it stands in an id.
        self._ms: Any = None
        self._n = 0
        self._number: Any = None
        # When the channel was live for the first time; None: it has never been.
        self._live_at: float | None = None
        # When the answer came that the position began with.
        self._begun_at = 0.0

    # -- messages ----------------------------------------------------------------------------------

    # The two methods below differ in types only, and are written out: they run for every message.
    # Until the year 2286 milliseconds have 13 digits; other ids take the way of the position.

    def _put_text(self, message: Any) -> None:
        data = message["data"]
        try:
            head, before, payload = data.split(" ", 2)
            if before == self._ms and head[14:] == self._number:
                self._ms = head[1:14]
                self._n = n = self._n + 1
                self._number = f"-{n}"
                message["data"] = payload
                message["id"] = head[1:]
                put = self.outlet.writer.put
                put(message)
                return
        except (TypeError, ValueError):
            pass  # no envelope, or bytes: no text in the encoding
        self._put_other(data)

    def _put_bytes(self, message: Any) -> None:
        data = message["data"]
        try:
            head, before, payload = data.split(b" ", 2)
            if before == self._ms and head[14:] == self._number:
                self._ms = head[1:14]
                self._n = n = self._n + 1
                self._number = b"-%d" % n
                message["data"] = payload
                message["id"] = head[1:]
                put = self.outlet.writer.put
                put(message)
                return
        except ValueError:
            pass  # no envelope
        self._put_other(data)

    def _put_other(self, data: str | bytes) -> None:
        raw = data.encode(self._histories.encoding) if isinstance(data, str) else data
        envelope = parse_envelope(raw)
        if envelope is None:
            self._histories.counts.discarded += 1  # anybody may publish on the history's channel
            return
        self._halt()
        self.outlet.deliver(self.position, partial(self.position.envelope, envelope))
        self._go_on()

    # -- facts -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take that the channel is live: its position begins."""
        if self._live_at is None:
            self._live_at = time.time()
            self._go_on()

    def take_over(self, since: float | None) -> None:
        """Take that another process had the channel until now, and that this one has it next.

        Args:
            since: what came after this time (Unix seconds) the other one did not handle, as far as
                anybody knows; None: it handles all that came until now.
        """
        self._live_at = None
        if since is None:
            self.position = Position()
            self.position.begin_with_next()
        elif self.resume is None:
            self.position = Position(since_ms=_milliseconds(since))
        else:
            self.position = Position()
        if self.resume is not None:
            self.resume.is_known = since is None
        self._ms = None

    def give_up(self) -> None:
        """Take that another process has the channel from now on."""
        self._halt()
        self._ms, self._live_at = None, None
        if self in self._histories.behind:
            self.outlet.tell_until_now(Lost(None, _MOVED), self.position.last)
            self.position = Position()
            self.position.begin_with_next()
            self._histories.done(self, self.outlet.settle())

    def stop_keeping(self) -> None:
        """Take that another process may have the channel: its position is not written any more."""
        if self.resume is not None:
            self.resume.kept.give_up()

    def interrupted(self, gap: Gap) -> None:
        """Take that the subscription had ``gap``: the history is read for what it has."""
        self.outlet.interrupted(gap)
        self._halt()
        since = gap.since if self._live_at is None else min(gap.since, self._live_at)
        early = gap.since < self._begun_at
        self.position.interrupted(_milliseconds(since), early=early)
        if self.resume is not None:
            self.resume.kept.progress.touch()  # a replica that took over may lack the latest write
        self._go_on()

    def check(self) -> None:
        """Have the history read: messages may be missing without a later one to show it."""
        self._halt()
        self.position.read_again()
        self._go_on()

    def promoted(self, reason: str) -> None:
        """Take that the channel's primary died and a replica took its place (R5)."""
        self._halt()
        if not self.recover.replicated:
            self.position.doubt(reason)
        self.check()

    @property
    def label(self) -> Any:
        """The channel's own name, as messages show it."""
        return self.outlet.label

    @property
    def writer(self) -> MailboxWriter:
        """The way to the consumer."""
        return self.outlet.writer

    @property
    def held(self) -> int:
        """How many messages are held back."""
        return len(self.position.held)

    def describe(self) -> dict[str, Any]:
        """Return what the tree shows: the position, and whether it is live."""
        self._halt()
        last = self.position.last
        state = "live"
        if self in self._histories.behind:
            state = "reading" if self.wish is None else "behind"
        return {"position": None if last is None else str(last), "recovery": state}

    # -- for the reader ----------------------------------------------------------------------------

    @property
    def wish(self) -> Wish | None:
        """What has to be read."""
        if not self.users:
            return None
        if self.resume is not None and not self.resume.is_known:
            return Wish.KEPT
        return self.position.wish

    def begin_read(self) -> EntryId:
        """Note that the wish is being read; return the entry from which to read."""
        self._halt()
        if self.wish is not Wish.KEPT:
            self.position.begin_read()
        return self.position.start

    def took_kept(self, position: bytes | None) -> None:
        """Take the position that is kept at the server; None: none is.

        Raises:
            ValueError: that is no position.
        """
        assert self.resume is not None
        beginning = self.resume.took(position)
        if beginning is not None:
            self.position.begin_behind(beginning)

    def took_last(self, last: EntryId | None) -> None:
        """Take the id of the history's last entry; None: the history is empty."""
        self._halt()
        if self.position.last is None:
            self._begun_at = time.time()
        self.outlet.deliver(self.position, partial(self.position.last_entry, last))
        self._arm()

    def took_page(self, start: EntryId, entries: Sequence[Entry], *, complete: bool) -> None:
        """Take the entries from ``start`` on; ``complete``: these are all."""
        self._halt()
        self.outlet.deliver(
            self.position, partial(self.position.page, start, entries, complete=complete)
        )
        self._arm()

    def unreadable(self, error: str) -> None:
        """Take that the history cannot be read, and why."""
        self._halt()
        if self.resume is not None and not self.resume.is_known:
            self.resume.is_known = True
            self.outlet.tell(Lost(None, f"{NOT_READ}: {error}"))
            return
        self.outlet.deliver(self.position, partial(self.position.unreadable, error))
        self._arm()

    def read_again(self) -> None:
        """Take that a read came to nothing: the wish is what it was."""
        self._halt()
        self.position.read_again()

    def caught_up(self) -> None:
        """Take that nothing is left to be read."""
        self._histories.done(self, self.outlet.settle())

    # -- its subscriptions -------------------------------------------------------------------------

    def attach(self, writer: MailboxWriter) -> None:
        """Take that a subscription feeds through this intake."""
        self.users += 1
        self._histories.channels += self.users == 1
        self.outlet.writer = writer
        if self.resume is not None:
            self.resume.kept.join()
        self._go_on()

    def detach(self, *, draining: bool) -> None:
        """Take that a subscription ended; ``draining``: what is held is delivered."""
        self.users -= 1
        if self.users:
            return
        self._histories.channels -= 1
        known = self.resume is None or self.resume.is_known  # else what is held comes again
        if draining and known and self.position.held:
            self.unreadable("the subscription ended")
        self._ms = None
        self._histories.done(self, self.outlet.settle())
        if self.resume is not None:
            self.resume.kept.leave(self.writer.mailbox)

    def succeed(self, former: Intake) -> None:
        """Go on where ``former`` is: another consumer takes over its channel."""
        if self.position is former.position or beginning(self.recover) != "now":
            return
        if self.resume is not None:  # the former one may not have handled all that it was given
            return
        former._halt()
        self.position, self.outlet.gap = former.position, former.outlet.gap
        self.position.read_again()  # the read under way was for the former consumer
        self._live_at, self._begun_at = former._live_at, former._begun_at

    # -- what follows ------------------------------------------------------------------------------

    def _halt(self) -> None:
        """Tell the position where the envelopes that followed have got to."""
        if self._ms is not None:
            self.position.last = EntryId(int(self._ms), self._n - 1)

    def _arm(self) -> None:
        """Let envelopes pass that follow the position, unless it has to look at each."""
        last = self.position.last
        if last is None or not self.position.is_open:
            self._ms = None
            return
        self._n = last.n + 1
        self._ms, self._number = str(last.ms), f"-{self._n}"
        if not self._histories.decode:
            self._ms, self._number = self._ms.encode(), self._number.encode()

    def _go_on(self) -> None:
        self._arm()
        if self._live_at is not None and self.wish is not None:
            self._histories.want(self)


def _beginning(recover: Recover) -> Position:
    """Return the position that the consumer asks for."""
    back = seconds_back(recover)
    if back is not None:
        return Position(since_ms=_milliseconds(time.time() - back))
    match beginning(recover):
        case None | "now":
            return Position()
        case "all":
            return Position(since_ms=0)
        case entry:
            return Position(EntryId.parse(entry.encode()))


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
