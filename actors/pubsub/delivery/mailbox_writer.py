"""Where messages enter a consumer's mailbox: one append a message, the rest once a batch.

The first message of a batch goes through ``_first``, which puts the writer on the list of touched
writers and replaces ``put`` by the queue's own ``append``. When the batch is read, ``flush``
restores ``put``, wakes the consumer and checks the bound. So a message costs one append, and a
batch one bound check and one wake-up for each of its consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from actors.pubsub.delivery.notices import GapNotice, HandledNotice
from actors.pubsub.delivery.pending_nones import MOST_NONES, PendingNones
from actors.runtime.cell import Cell
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.messages.overflow import Overflow
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes
    from actors.pubsub.delivery.receive_times import ReceiveTimes

log = get_logger("mailslot.pubsub")

# Seconds between two log lines about one consumer that sheds: it may do so with every batch.
_QUIET = 10.0


class MailboxWriter:
    """Writes messages into one mailbox.

    Attributes:
        put: takes a message; look it up anew for each message.
        mailbox: where messages go.
        path: what log lines call the consumer.
        gaps: how many gap notices are in the queue; they count not against its bound.
    """

    __slots__ = (
        "_append",
        "_first",
        "_pause",
        "_quiet_until",
        "_touched",
        "gaps",
        "mailbox",
        "path",
        "put",
    )

    def __init__(
        self,
        mailbox: Mailbox,
        touched: list[MailboxWriter],
        path: str,
        pause: Callable[[Mailbox], None],
    ) -> None:
        self.mailbox = mailbox
        self.path = path
        self.gaps = 0
        self._touched = touched
        self._quiet_until = 0.0
        self._pause = pause
        self._append: Callable[[Any], None] = mailbox.queue.append
        self._first: Callable[[Any], None] = self._put_first
        self.put: Callable[[Any], None] = self._first

    def _put_first(self, message: Any) -> None:
        self._touched.append(self)
        self.put = self._append
        self._append(message)

    def put_gap(self, notice: GapNotice) -> None:
        """Put a gap notice behind the messages so far."""
        self.gaps += 1
        notice.on_taken = self._gap_taken
        self.put(notice)

    def _gap_taken(self) -> None:
        self.gaps -= 1

    def flush(self) -> None:
        """End a batch: wake the consumer and check the bound."""
        self.put = self._first
        self.wake()
        mailbox = self.mailbox
        if len(mailbox.queue) > mailbox.limit:
            self._overflow()

    def wake(self) -> None:
        """Wake the consumer."""
        # What Mailbox.wake() does, written out.
        waiter = self.mailbox.waiter
        if waiter is not None:
            self.mailbox.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def notices(self) -> int:
        """Return how many entries of the queue are no messages: the bound does not count them."""
        return self.gaps

    def dead_letter(self, message: Any) -> None:
        """Take a message for a consumer that has ended."""

    def _overflow(self) -> None:
        mailbox = self.mailbox
        if mailbox.closed:
            while mailbox.queue:
                self.dead_letter(mailbox.queue.popleft())
            return
        notices = self.notices()
        if len(mailbox.queue) <= mailbox.limit + notices:
            return
        if mailbox.spec.overflow is Overflow.BLOCK:
            # Nothing is shed: the sockets are not read until the consumer has caught up.
            self._pause(mailbox)
            return
        mailbox.limit += notices
        try:
            dropped = mailbox.trim(self.path)
        finally:
            mailbox.limit -= notices
        if dropped and (now := monotonic()) >= self._quiet_until:
            self._quiet_until = now + _QUIET
            log.warning(
                "messages_shed",
                path=self.path,
                so_far=mailbox.shed,
                capacity=mailbox.spec.capacity,
                overflow=str(mailbox.spec.overflow),
            )


class HandlerWriter(MailboxWriter):
    """Writes into a handler's mailbox, and lets ``get_message`` know what the handler handled.

    Once somebody calls ``get_message``, a notice follows the messages, one at a time however many
    batches come: the mailbox of a busy handler fills with messages, and not with notices.

    Attributes:
        receive_times: where the receipt of each message is noted.
        times: what measures the handler; None: nothing does.
    """

    __slots__ = (
        "_before",
        "_handler",
        "_listed",
        "_nones",
        "_notice",
        "_noticed",
        "_put_count",
        "_queued",
        "_reported",
        "receive_times",
        "times",
    )

    def __init__(
        self,
        handler: Cell,
        touched: list[MailboxWriter],
        pause: Callable[[Mailbox], None],
        nones: PendingNones,
    ) -> None:
        super().__init__(handler.mailbox, touched, handler.path, pause)
        self.receive_times: Sequence[ReceiveTimes] = ()
        self.times: HandlingTimes | None = None
        self._handler = handler
        self._nones = nones
        self._notice: HandledNotice | None = None  # made for the first get_message
        self._listed = False  # whether the writer is to report at the first get_message
        self._queued = False  # whether the notice is in the mailbox
        self._before = 0
        # Messages put so far; those of them before the notice; those of them reported as handled.
        self._put_count = self._noticed = self._reported = 0

    def _put_first(self, message: Any) -> None:
        # No consumer runs while a batch is read: the batch is what the queue grows by.
        self._before = len(self.mailbox.queue)
        super()._put_first(message)

    def put_gap(self, notice: GapNotice) -> None:
        """Put a gap notice behind the messages so far; ``get_message`` does not count it."""
        super().put_gap(notice)
        self._put_count -= 1

    def wake(self) -> None:
        """Count the batch, and wake the handler."""
        queue = self.mailbox.queue
        size = len(queue) - self._before
        if self.receive_times:
            self._note_receipt(size)
        if self.times is not None:
            self.times.note_batch(size)
        self._put_count += size
        if not self._queued and self._nones.wanted:
            self._count(size)
        super().wake()

    def _count(self, size: int) -> None:
        nones = self._nones
        if nones.polled:
            self._queue_notice()
            return
        if not self._listed:
            self._listed = True
            nones.reports.append(self._report)
        nones.unreported += size
        if nones.unreported >= MOST_NONES:
            nones.refuse()

    def _report(self) -> None:
        # Somebody calls get_message for the first time.
        mailbox = self.mailbox
        if mailbox.closed or (mailbox.waiter is not None and not mailbox.queue):
            self._noticed = self._put_count
            self._handled()
        elif not self._queued:
            self._queue_notice()

    def _note_receipt(self, size: int) -> None:
        batch = list(islice(reversed(self.mailbox.queue), size))
        for receive_times in self.receive_times:
            receive_times.note(message for message in batch if type(message) is dict)

    def _queue_notice(self) -> None:
        self._queued = True
        self._noticed = self._put_count
        if self._notice is None:
            self._notice = HandledNotice(self._handled)
        self.mailbox.queue.append(self._notice)

    def _handled(self) -> None:
        """Note that all that was put before the notice was handled or shed."""
        self._queued = False
        handled = self._noticed - self.mailbox.shed
        if handled > self._reported:
            self._nones.add(handled - self._reported)
            self._reported = handled
        if self._put_count > self._noticed:
            self._queue_notice()

    def notices(self) -> int:
        """Return the number of gap notices, and of the notice for ``get_message``."""
        return self.gaps + self._queued

    def dead_letter(self, message: Any) -> None:
        """Take a message for a handler that has ended."""
        self._handler.dead_letter(message)


def flush(touched: list[MailboxWriter]) -> None:
    """Flush all writers that a batch touched."""
    for writer in touched:
        writer.flush()
    touched.clear()
