"""The mailbox: a bounded user lane, and a system lane whose messages pass every backlog (A2).

A sender appends to ``queue`` while ``len(queue) < limit``, and wakes the reader if it waits. This
fast path is written out in :meth:`ActorRef.tell`; all other cases are handled here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from actors.runtime.messages.errors import MailboxFull
from actors.runtime.messages.overflow import MailboxSpec, Overflow, shed

# The turn of a mailbox without a reader; always empty.
_NO_TURN: list[int] = []


class Mailbox:
    """Messages on their way to one actor.

    Attributes:
        queue: the user lane, oldest first.
        urgent: the system lane.
        paused: whether the reader leaves the user lane alone; senders go on filling it.
        limit: the capacity while open, -1 once closed, so that one comparison covers both.
        signal: whether the reader has to look at the system lane, a stop or a crash.
        turn: the list that the reader iterates over while it handles messages. Clearing it ends
            the turn after the message in hand, without a check for each message.
        waiter: the reader's future while it waits.
        senders: the futures of senders that wait for room, first come first.
        shed: how many messages were dropped at the bound.
    """

    __slots__ = (
        "_loop",
        "_promised",
        "limit",
        "paused",
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
        self.signal = self.paused = False
        self.turn = _NO_TURN
        self.waiter: asyncio.Future[None] | None = None
        self.senders: deque[asyncio.Future[None]] | None = None
        self.shed = 0
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

    def pause(self) -> None:
        """Have the reader leave the user lane alone from its next message on."""
        self.paused = True
        self.interrupt()

    def resume(self) -> None:
        """Have the reader go on with the user lane."""
        if self.paused:
            self.paused = False
            self.interrupt()

    def attach(self) -> None:
        """Prepare for a new reader, and end the turn of a reader that was left behind."""
        self.detach()
        self.signal = self.paused or bool(self.urgent)

    def detach(self) -> None:
        """End the reader's turn."""
        self.turn.clear()
        self.turn = _NO_TURN

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
        """Put ``message`` into the full mailbox, or raise MailboxFull, as the policy says."""
        match self.spec.overflow:
            case Overflow.FAIL:
                raise MailboxFull(f"{path}: full ({self.limit} messages)")
            case Overflow.BLOCK:
                raise MailboxFull(f"{path}: full ({self.limit}): use `await ref.send()` to wait")
            case _:
                self.queue.append(message)
                self.trim(path)

    def trim(self, path: str = "") -> int:
        """Drop messages beyond the bound, as the policy says; return how many.

        For writers that append a whole batch before they look at the bound.
        """
        if len(self.queue) <= self.limit:
            return 0
        newest = self.spec.overflow is Overflow.DROP_NEWEST
        dropped = shed(self.queue, self.limit, path, newest=newest)
        self.shed += dropped
        return dropped

    # -- senders that wait -------------------------------------------------------------------------

    @property
    def crowded(self) -> bool:
        """Whether one more sender has to wait: there is no room, or others wait already."""
        return bool(self.senders) or 0 <= self.limit <= len(self.queue) + self._promised

    async def room(self) -> None:
        """Wait for room, first come first served, or until the mailbox closes.

        The caller has to use the room before it awaits anything else.
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
                elif not sender.cancelled():  # the room was promised to this sender: pass it on
                    self._promised -= 1
                    self.release()
                raise
            self._promised -= 1
            if not 0 <= self.limit <= len(self.queue):
                return
            # A tell() took the room: it does not wait in line.
            sender = self._loop.create_future()
            senders.appendleft(sender)

    def release(self) -> None:
        """Wake as many waiting senders as there is room for."""
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
        """Accept no more messages; return those left, which nobody will read."""
        self.limit = -1
        self.detach()
        if self.urgent is not None:
            self.urgent.clear()
        return self.clear()

    def reopen(self) -> None:
        """Accept messages again: the actor came back with its supervisor."""
        self.limit = self.spec.capacity
