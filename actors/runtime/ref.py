"""The reference: others hold it instead of the actor. It survives restarts (A1)."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, Generic, TypeVar

from actors.runtime.cell import Cell
from actors.runtime.messages.ask import Ask, Expired
from actors.runtime.messages.envelopes import Envelope
from actors.runtime.messages.errors import ActorStopped
from supervisor import ExitReason
from supervisor.checks import require_loop

M_contra = TypeVar("M_contra", contravariant=True)


class ActorRef(Generic[M_contra]):
    """Takes messages for one actor, whichever incarnation of it runs."""

    __slots__ = ("__weakref__", "_cell", "_mailbox", "_queue")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._mailbox = cell.mailbox
        self._queue = cell.mailbox.queue

    @property
    def path(self) -> str:
        """Where it is in the tree; unique among the living."""
        return self._cell.path

    @property
    def alive(self) -> bool:
        """Whether it takes messages: it has not ended for good."""
        return not self._mailbox.closed

    @property
    def waiting(self) -> int:
        """How many user messages wait in its mailbox; counts them one by one."""
        return sum(type(message) not in Envelope.classes for message in self._queue)

    def tell(self, message: M_contra) -> None:
        """Put ``message`` into the mailbox and return at once (A5).

        A message for an actor that ended becomes a dead letter.

        Raises:
            MailboxFull: the mailbox is full and its overflow policy is ``fail`` or ``block``.
        """
        mailbox, queue = self._mailbox, self._queue
        if len(queue) < mailbox.limit:
            queue.append(message)
            if mailbox.waiter is not None:
                mailbox.wake()
        else:
            self._cell.post_full(message)

    async def send(self, message: M_contra) -> None:
        """Like :meth:`tell`, but wait for room where the overflow policy is ``block`` (A3).

        Senders that wait go on in the order of their calls.
        """
        if self._cell.blocks_when_full and self._mailbox.crowded:
            await self._mailbox.room()
        self.tell(message)

    async def ask(self, message: M_contra, timeout: float | None = 5.0) -> Any:
        """Send ``message`` and return what the actor's ``receive`` returns for it (A5).

        Where the overflow policy is ``block``, it waits for room in the mailbox first.

        Args:
            timeout: seconds to wait for the answer; None: as long as the actor lives.

        Raises:
            TimeoutError: no answer in time. The message may still be handled.
            ActorStopped: the actor has ended, or ends before it answers.
            ActorCrashed: the actor crashed on it.
            MailboxFull: the mailbox is full, or the message was shed from it.
            RuntimeError: the caller runs in another event loop than the actor.
        """
        cell, mailbox = self._cell, self._mailbox
        if asyncio.get_running_loop() is not cell.loop:
            require_loop(cell.loop, cell.path)
        if mailbox.limit < 0:
            raise ActorStopped(f"{cell.path} has ended ({cell.ended})")
        left = timeout
        if cell.blocks_when_full and mailbox.crowded:
            waited = await self._wait_for_room(timeout)
            left = None if timeout is None else timeout - waited
        reply: asyncio.Future[Any] = asyncio.Future(loop=cell.loop)
        bucket = cell.system.wheel.add(reply, left)
        try:
            # tell(), written out.
            queue = self._queue
            if len(queue) < mailbox.limit:
                queue.append(Ask(message, reply))
                waiter = mailbox.waiter
                if waiter is not None:
                    mailbox.waiter = None
                    if not waiter.done():
                        waiter.set_result(None)
            else:
                cell.post_full(Ask(message, reply))
            return await reply
        except Expired:
            raise TimeoutError(f"{cell.path} did not answer within {timeout} s") from None
        finally:
            bucket.discard(reply)

    async def _wait_for_room(self, timeout: float | None) -> float:
        """Wait for room, and return for how many seconds."""
        begun = self._cell.loop.time()
        try:
            async with asyncio.timeout(timeout):
                await self._mailbox.room()
        except TimeoutError:
            raise TimeoutError(
                f"{self.path} had no room in its mailbox within {timeout} s"
            ) from None
        return self._cell.loop.time() - begun

    async def started(self) -> None:
        """Wait until it runs: its ``on_start`` has returned.

        Raises:
            StartError, or the error that it ended with: it ended for good before it ran.
            ActorStopped: it was stopped before it ran.
        """
        require_loop(self._cell.loop, self._cell.path)
        await self._cell.wait_started()

    async def stop(self, *, drain: bool = False) -> ExitReason:
        """Stop it for good and return how it ended.

        It finishes the message in hand and runs ``on_stop``, within its ``shutdown`` seconds. The
        messages left in the mailbox become dead letters.

        Args:
            drain: let it first handle all messages that wait now, however long that takes.
        """
        require_loop(self._cell.loop, self._cell.path)
        self.request_stop(drain=drain)
        return await self.stopped()

    def request_stop(self, *, drain: bool = False) -> None:
        """Begin to :meth:`stop` it, and return at once."""
        self._cell.request_stop(drain=drain)

    async def stopped(self) -> ExitReason:
        """Wait until it has ended for good, and return how."""
        require_loop(self._cell.loop, self._cell.path)
        return await self._cell.wait_ended()

    def __repr__(self) -> str:
        return f"<ActorRef {self.path}{'' if self.alive else ' (ended)'}>"


def ref_of(cell: Cell) -> ActorRef[Any]:
    """Return the reference to ``cell``: the same object as long as anybody holds it."""
    # Held weakly, so that the two are no cycle: where actors come and go by the ten thousand a
    # second, garbage that only the cyclic collector frees is a large part of their cost.
    ref: ActorRef[Any] | None = None if cell.ref is None else cell.ref()
    if ref is None:
        ref = ActorRef(cell)
        cell.ref = weakref.ref(ref)
    return ref
