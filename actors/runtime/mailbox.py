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
from actors.runtime.overflow import MailboxSpec, Overflow, drop_newest, drop_oldest

__all__ = ["Mailbox", "MailboxStats"]

# Stands for the turn of a mailbox without a reader; always empty.
_NO_TURN: list[int] = []


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
        turn: what the reader iterates over while it handles messages; clearing it ends the turn
            after the message in hand, which costs the reader no check per message.
        waiter: the reader's future while it waits.
        senders: those who wait for room, in the order in which they came.
        shed: messages dropped at the bound so far.
        peak: most that ever waited.
    """

    __slots__ = (
        "_loop",
        "_promised",
        "limit",
        "peak",
        "queue",
        "senders",
        "shed",
        "signal",
        "spec",
        "turn",
        "urgent",
        "waiter",
    )

    def __init__(self, spec: MailboxSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.spec = spec
        self.queue: deque[Any] = deque()
        self.urgent: deque[Any] | None = None
        self.limit = spec.capacity
        self.signal = False
        self.turn = _NO_TURN
        self.waiter: asyncio.Future[None] | None = None
        self.senders: deque[asyncio.Future[None]] | None = None
        self.shed = 0
        self.peak = 0
        self._promised = 0
        self._loop = loop

    @property
    def closed(self) -> bool:
        """Whether the actor has ended."""
        return self.limit < 0

    # -- the reader --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake the reader if it waits."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def interrupt(self) -> None:
        """Have the reader look at ``signal`` before its next message."""
        self.signal = True
        self.turn.clear()
        if self.waiter is not None:
            self.wake()

    def attach(self) -> None:
        """Make ready for a new reader, and end the turn of one that was left behind."""
        self.detach()
        self.signal = bool(self.urgent)

    def detach(self) -> None:
        """End the turn of whoever reads."""
        self.turn.clear()
        self.turn = _NO_TURN

    def note_peak(self) -> None:
        """Take note of the depth: called by the reader once a batch."""
        depth = len(self.queue)
        if depth > self.peak:  # noqa: PLR1730 - max() would cost as much as the rest of it
            self.peak = depth

    # -- senders -----------------------------------------------------------------------------------

    def put_urgent(self, message: Any) -> None:
        """Put ``message`` ahead of the user lane; it is never shed."""
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(message)
        self.interrupt()

    def put_last(self, message: Any) -> None:
        """Put ``message`` at the end of the user lane, whatever the bound."""
        self.queue.append(message)
        self.wake()

    def put_full(self, message: Any, path: str) -> None:
        """Put ``message`` into the full mailbox, as its policy says."""
        match self.spec.overflow:
            case Overflow.FAIL:
                raise MailboxFull(f"{path}: full ({self.limit} messages)")
            case Overflow.BLOCK:
                raise MailboxFull(f"{path}: full ({self.limit}): use `await ref.send()` to wait")
            case _:
                self.queue.append(message)
                self.trim(path)

    def trim(self, path: str = "") -> int:
        """Shed what is beyond the bound, by policy; return how many messages went.

        For writers that append a batch first and look at the bound after it. What stays for good
        are envelopes: a gap or a lag is news that must not be lost to the next one.
        """
        if len(self.queue) <= self.limit:
            return 0
        drop = drop_newest if self.spec.overflow is Overflow.DROP_NEWEST else drop_oldest
        dropped = drop(self.queue, self.limit, path)
        self.shed += dropped
        return dropped

    # -- senders that wait -------------------------------------------------------------------------

    @property
    def crowded(self) -> bool:
        """Whether one more sender has to wait: there is no room, or others came before it."""
        return bool(self.senders) or 0 <= self.limit <= len(self.queue) + self._promised

    async def room(self) -> None:
        """Wait for room, first come first served; returns also when the mailbox closes.

        The room is the caller's only until it awaits something again.
        """
        senders = self.senders
        if senders is None:
            senders = self.senders = deque()
        sender = self._loop.create_future()
        senders.append(sender)
        while True:
            try:
                await sender
            except asyncio.CancelledError:
                if sender in senders:
                    senders.remove(sender)
                elif not sender.cancelled():  # the place was meant for this one: pass it on
                    self._promised -= 1
                    self.release()
                raise
            self._promised -= 1
            if not 0 <= self.limit <= len(self.queue):
                return
            # A tell(), which waits for nobody, took the place.
            sender = self._loop.create_future()
            senders.appendleft(sender)

    def release(self) -> None:
        """Let as many waiting senders go on as there is room for."""
        senders = self.senders
        while senders and (self.limit < 0 or len(self.queue) + self._promised < self.limit):
            sender = senders.popleft()
            if not sender.done():
                sender.set_result(None)
                self._promised += 1

    # -- the end -----------------------------------------------------------------------------------

    def clear(self) -> list[Any]:
        """Take out and return the user lane."""
        left = list(self.queue)
        self.queue.clear()
        if self.senders:
            self.release()
        return left

    def close(self) -> list[Any]:
        """Take no more messages; return those that nobody will read."""
        self.limit = -1
        self.detach()
        if self.urgent is not None:
            self.urgent.clear()
        return self.clear()

    def reopen(self) -> None:
        """Take messages again: the actor came back with its supervisor."""
        self.limit = self.spec.capacity

    def stats(self) -> MailboxStats:
        """Return the numbers for a snapshot."""
        return MailboxStats(len(self.queue), self.peak, self.spec.capacity, self.shed)
