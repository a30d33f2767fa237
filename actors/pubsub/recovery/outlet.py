"""From what a position decides to the consumer's mailbox: messages, and losses told as gaps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.model.types import Gap, Target
from actors.pubsub.recovery.histories import Histories
from actors.pubsub.recovery.position import Lost, Output, Position
from actors.pubsub.recovery.resume import Resume
from actors.redis.history.entries import BEFORE_FIRST, Entry, EntryId, Envelope


class Outlet:
    """What the consumer of one channel gets besides the envelopes that follow.

    Attributes:
        label: the channel's own name, as messages show it.
        writer: the way to the consumer.
        resume: the position that is kept for the consumer; None: it keeps none.
        gap: the gap that the reads under way are about; None: none is.
    """

    __slots__ = ("_histories", "_recovered", "_target", "gap", "label", "resume", "writer")

    def __init__(
        self, target: Target, label: Any, histories: Histories[Any], writer: MailboxWriter
    ) -> None:
        self.label = label
        self.writer = writer
        self.gap: Gap | None = None
        self.resume: Resume | None = None
        self._target = target
        self._histories = histories
        # How much the reads under way have brought.
        self._recovered = 0

    def interrupted(self, gap: Gap) -> None:
        """Take that the subscription had ``gap``; several become one."""
        first = self.gap
        if first is not None:
            since, until = min(first.since, gap.since), max(first.until, gap.until)
            gap = Gap(gap.kind, gap.name, since, until, gap.reason, gap.node)
        self.gap = gap

    def deliver(self, position: Position, fact: Callable[[], Output]) -> None:
        """Give the consumer what follows from ``fact``, a call of ``position``."""
        before, counts = position.last, self._histories.counts
        output = fact()
        if self.resume is not None:
            self.resume.delivered(before, position.last, output)
        read = sum(type(one) is Entry for one in output)
        for one in output:
            if isinstance(one, Lost):
                self.tell(one, before, read)
            else:
                put = self.writer.put
                put(self._message(one))
        self._recovered += read
        counts.recovered += read
        counts.repeats += position.repeats
        counts.discarded += position.discarded
        position.repeats = position.discarded = 0

    def settle(self) -> int:
        """Take that all is read; return how many messages that has brought."""
        recovered, self._recovered, self.gap = self._recovered, 0, None
        if self.resume is not None and self.resume.counts:
            self.resume.counts = False
            self._histories.counts.resumed += recovered
        return recovered

    def _message(self, entry: Entry | Envelope) -> dict[str, Any]:
        data: Any = entry.payload
        if self._histories.decode:
            try:
                data = data.decode(self._histories.encoding)
            except UnicodeDecodeError:
                pass  # a payload that is not text stays bytes
        message = {
            "type": "message",
            "pattern": None,
            "channel": self.label,
            "data": data,
            "id": self.shown(entry.id),
        }
        if type(entry) is Entry:
            message["recovered"] = True
        return message

    def shown(self, entry: EntryId) -> Any:
        """Return an entry's id as messages show it."""
        return str(entry) if self._histories.decode else str(entry).encode()

    def tell_until_now(self, loss: Lost, before: EntryId | None) -> None:
        """Tell the consumer of ``loss``, which ends now, and not with the subscription's gap."""
        if self.gap is not None:
            self.gap = msgspec.structs.replace(self.gap, until=time.time())
        self.tell(loss, before)

    def tell(self, loss: Lost, before: EntryId | None = None, recovered: int = 0) -> None:
        """Tell the consumer of ``loss``.

        Args:
            loss: what is lost.
            before: the last entry before that; None: unknown.
            recovered: how many messages behind it are read already.
        """
        counts = self._histories.counts
        if loss.count is None:
            counts.unknown += 1
        else:
            counts.lost += loss.count
        now = time.time()
        since, until, reason, node = now, now, loss.reason, None
        if before is not None and before != BEFORE_FIRST:
            since = min(now, before.ms / 1000)
        if (gap := self.gap) is not None:
            since, until, node = gap.since, gap.until, gap.node
            reason = f"{gap.reason}; {loss.reason}"
        target = self._target
        gap = Gap(target.kind, self.label, since, until, reason, node, loss.count, recovered)
        self._histories.tell(target, gap)
