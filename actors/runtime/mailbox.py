"""The mailbox: a bounded lane for users, and a lane for the system that passes every backlog (A2).

Senders append to ``queue`` while ``len(queue) < limit`` and wake the reader where one waits; that
is the whole fast path, written out in :meth:`ActorRef.tell`. Everything else comes here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec

from actors.runtime.errors import MailboxFull
from actors.runtime.messages import Envelope, Lagged
from actors.runtime.overflow import MailboxSpec, Overflow

__all__ = ["Mailbox", "MailboxStats"]


class MailboxStats(msgspec.Struct, frozen=True):
    """A mailbox as a tree snapshot shows it.

    Attributes:
        depth: messages that wait now.
        peak: most that ever waited, looked at once a batch.
        capacity: the bound.
        shed: messages dropped at the bound since the actor was spawned.
    """

    depth: int
    peak: int
    capacity: int
    shed: int


class Mailbox:
    """Messages on their way to one actor.

    Attributes:
        queue: the user lane, oldest first.
        urgent: the system lane.
        limit: the capacity while open, -1 once closed, so that one comparison covers both.
        signal: something in the system lane, or a stop, wants the reader's attention.
        waiter: the reader's future while it waits.
    """

    __slots__ = (
        "_loop",
        "_senders",
        "limit",
        "peak",
        "queue",
        "shed",
        "signal",
        "spec",
        "urgent",
        "waiter",
    )

    def __init__(self, spec: MailboxSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.spec = spec
        self.queue: deque[Any] = deque()
        self.urgent: deque[Any] | None = None
        self.limit = spec.capacity
        self.signal = False
        self.waiter: asyncio.Future[None] | None = None
        self.shed = 0
        self.peak = 0
        self._loop = loop
        self._senders: deque[asyncio.Future[None]] | None = None

    @property
    def closed(self) -> bool:
        """Whether the actor has ended."""
        return self.limit < 0

    # -- the reader --------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Return when there may be something; also when there is not."""
        if self._senders:
            self.release()
        if self.queue or self.signal:
            return
        self.waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self.waiter = None

    def wake(self) -> None:
        """Wake the reader if it waits."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def note_peak(self) -> None:
        """Take note of the depth: called by the reader once a batch."""
        self.peak = max(self.peak, len(self.queue))

    # -- senders -----------------------------------------------------------------------------------

    def put_urgent(self, message: Any) -> None:
        """Put ``message`` ahead of the user lane; it is never shed."""
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(message)
        self.signal = True
        self.wake()

    def put_last(self, message: Any) -> None:
        """Put ``message`` at the end of the user lane, whatever the bound."""
        self.queue.append(message)
        self.wake()

    def put_full(self, message: Any, path: str) -> None:
        """Put ``message`` into the full mailbox, as its policy says."""
        match self.spec.overflow:
            case Overflow.DROP_OLDEST:
                self.queue.append(message)
                self._drop_oldest(len(self.queue) - self.limit, path)
            case Overflow.DROP_NEWEST:
                _shed(message, path)
                self._drop_newest(1)
            case Overflow.BLOCK:
                raise MailboxFull(f"{path}: full ({self.limit}): use `await ref.send()` to wait")
            case _:
                raise MailboxFull(f"{path}: full ({self.limit} messages)")

    async def room(self) -> None:
        """Wait for room, first come first served; returns also when the mailbox closes."""
        if self._senders is None:
            self._senders = deque()
        while 0 <= self.limit <= len(self.queue):
            sender = self._loop.create_future()
            self._senders.append(sender)
            try:
                await sender
            except asyncio.CancelledError:
                if sender.done() and not sender.cancelled():
                    self.release()  # the place was meant for this one: pass it on
                raise

    def release(self) -> None:
        """Let as many waiting senders go on as there is room for."""
        free = self.limit - len(self.queue) if self.limit >= 0 else len(self._senders or ())
        while self._senders and free > 0:
            sender = self._senders.popleft()
            if not sender.done():
                sender.set_result(None)
                free -= 1

    # -- the bound ---------------------------------------------------------------------------------

    def trim(self, path: str = "") -> int:
        """Shed what is beyond the bound, by policy; return how many messages went.

        For writers that append a batch first and look at the bound after it. What stays for good
        are envelopes: a gap or a lag is news that must not be lost to the next one.
        """
        excess = len(self.queue) - self.limit
        if excess <= 0:
            return 0
        if self.spec.overflow is Overflow.DROP_NEWEST:
            dropped = 0
            while dropped < excess and _sheddable(self.queue[-1]):
                _shed(self.queue.pop(), path)
                dropped += 1
            self._drop_newest(dropped)
            return dropped
        return self._drop_oldest(excess, path)

    def _drop_newest(self, count: int) -> None:
        self.shed += count
        last = self.queue[-1] if self.queue else None
        if type(last) is Lagged:
            last.count += count
        else:
            self.queue.append(Lagged(count))

    def _drop_oldest(self, excess: int, path: str) -> int:
        queue, kept, dropped = self.queue, [], 0
        lagged: Lagged | None = None
        while dropped < excess and queue:
            head = queue.popleft()
            if type(head) is Lagged:
                lagged = head
            elif _sheddable(head):
                _shed(head, path)
                dropped += 1
            else:
                kept.append(head)
        self.shed += dropped
        if lagged is None:
            lagged = Lagged(0)
        lagged.count += dropped
        queue.appendleft(lagged)
        queue.extendleft(reversed(kept))
        return dropped

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> list[Any]:
        """Take no more messages; return those that nobody will read."""
        left = list(self.queue)
        self.queue.clear()
        self.limit = -1
        if self._senders:
            self.release()
        return left

    def reopen(self) -> None:
        """Take messages again: the actor came back with its supervisor."""
        self.limit = self.spec.capacity

    def stats(self) -> MailboxStats:
        """Return the numbers for a snapshot."""
        return MailboxStats(len(self.queue), self.peak, self.spec.capacity, self.shed)


def _sheddable(message: Any) -> bool:
    return type(message) not in Envelope.classes or message.sheddable


def _shed(message: Any, path: str) -> None:
    if type(message) in Envelope.classes:
        message.shed(path)
