"""Where messages enter a consumer: one append each, and one look at the consumer a batch.

The first message of a batch goes through ``_first``, which puts the writer on its subscriber's
list of touched writers and swaps ``put`` for the queue's own ``append``. When the batch is read,
``flush`` swaps ``_first`` back, enforces the bound and wakes the consumer. So a message costs an
append, and a batch costs one bound check and one wake-up for each consumer in it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from actors.pubsub.delivery.notices import GapNotice, HandledNotice
from actors.runtime.mailbox import Mailbox
from actors.runtime.overflow import Overflow
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.pubsub.delivery.message_queue import MessageQueue

__all__ = ["HandlerWriter", "MailboxWriter", "flush"]

log = get_logger("mailslot.pubsub")

# Seconds between two lines about what a consumer that is behind sheds: it does with every batch.
_QUIET = 10.0


class MailboxWriter:
    """The way into one mailbox.

    Attributes:
        put: takes a message; look it up anew for each one.
        mailbox: where messages go.
        path: what the bound's errors call the consumer.
        news: how many gaps wait to be told of: they take no message's place.
        bury: takes what comes for a consumer that has ended.
    """

    __slots__ = (
        "_append",
        "_first",
        "_pause",
        "_quiet_until",
        "_touched",
        "bury",
        "mailbox",
        "news",
        "path",
        "put",
    )

    def __init__(
        self,
        mailbox: Mailbox,
        touched: list[MailboxWriter],
        path: str,
        pause: Callable[[Mailbox], None],
        bury: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.mailbox = mailbox
        self.path = path
        self.news = 0
        self.bury = bury
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
        """Take the news of a gap."""
        self.news += 1
        notice.writer = self
        self.put(notice)

    def flush(self) -> None:
        """Do what is due once a batch."""
        self.put = self._first
        self.wake()
        mailbox = self.mailbox
        if len(mailbox.queue) > mailbox.limit:
            self._full()

    def wake(self) -> None:
        """Wake the consumer."""
        if self.mailbox.waiter is not None:
            self.mailbox.wake()

    def own_places(self) -> int:
        """Return how many places of the queue are taken by what is no message, and counts not."""
        return self.news

    def _full(self) -> None:
        mailbox = self.mailbox
        if mailbox.closed:
            while mailbox.queue:
                self.bury(mailbox.queue.popleft())
            return
        own = self.own_places()
        if len(mailbox.queue) <= mailbox.limit + own:
            return
        if mailbox.spec.overflow is Overflow.BLOCK:
            # Nothing is shed: the sockets are not read until the consumer has caught up.
            self._pause(mailbox)
            return
        mailbox.limit += own
        try:
            dropped = mailbox.trim(self.path)
        finally:
            mailbox.limit -= own
        if dropped:
            self._tell_shed()

    def _tell_shed(self) -> None:
        now = monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _QUIET
        spec = self.mailbox.spec
        log.warning(
            "messages_shed",
            path=self.path,
            so_far=self.mailbox.shed,
            capacity=spec.capacity,
            overflow=str(spec.overflow),
        )


class HandlerWriter(MailboxWriter):
    """The way into a handler's mailbox: what it is through with, ``get_message`` hears of.

    A notice follows the messages, one at a time however many batches come: what waits in the
    mailbox of a busy handler is messages, and the notice takes the place of none.
    """

    __slots__ = ("_before", "_inbox", "_notice", "_noticed", "_owed", "_put_count", "_waits")

    def __init__(
        self,
        mailbox: Mailbox,
        touched: list[MailboxWriter],
        path: str,
        pause: Callable[[Mailbox], None],
        message_queue: MessageQueue,
        bury: Callable[[Any], None] = lambda _: None,
    ) -> None:
        super().__init__(mailbox, touched, path, pause, bury)
        self._inbox = message_queue
        self._notice = HandledNotice(self)
        self._waits = False  # the notice lies in the mailbox
        self._before = 0
        # Messages put so far; of these, those before the notice; of these, those that were told.
        self._put_count = self._noticed = self._owed = 0

    def _put_first(self, message: Any) -> None:
        # No consumer runs while a batch is read: the growth of the queue is the batch's count.
        self._before = len(self.mailbox.queue)
        super()._put_first(message)

    def put_gap(self, notice: GapNotice) -> None:
        """Take the news of a gap: it is no message, and ``get_message`` does not hear of it."""
        super().put_gap(notice)
        self._put_count -= 1

    def wake(self) -> None:
        """Wake the handler."""
        self._put_count += len(self.mailbox.queue) - self._before
        if not self._waits and self._inbox.counts_nones:
            self._follow()
        super().wake()

    def _follow(self) -> None:
        self._waits = True
        self._noticed = self._put_count
        self.mailbox.queue.append(self._notice)

    def handled(self) -> None:
        """The handler is through with all that was put before the notice, or that was shed."""
        self._waits = False
        passed = self._noticed - self.mailbox.shed
        if passed > self._owed:
            self._inbox.owe_nones(passed - self._owed)
            self._owed = passed
        if self._put_count > self._noticed:
            self._follow()

    def own_places(self) -> int:
        """Return the number of gaps, and of the notice for ``get_message``."""
        return self.news + self._waits


def flush(touched: list[MailboxWriter]) -> None:
    """Flush all writers that a batch touched."""
    for writer in touched:
        writer.flush()
    touched.clear()
