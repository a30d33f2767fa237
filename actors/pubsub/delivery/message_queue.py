"""The iterator's bounded queue, read by ``async for``, ``batches`` and ``get_message``.

A reader takes messages out of the queue itself as long as there are any. The rest is here: the
wait, the time limit, the notices between messages, and the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.delivery.notices import GapNotice
from actors.pubsub.delivery.pending_nones import PendingNones
from actors.pubsub.delivery.progress import InHand, Progress
from actors.pubsub.delivery.user_hooks import PendingHooks, RunningHook, start_hook
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.messages.envelopes import Envelope, Lagged
from actors.runtime.messages.mailbox import Mailbox
from actors.runtime.messages.overflow import MailboxSpec
from supervisor.checks import require_loop

# A reader that never has to wait would never let the event loop run. So a yield marker lies in the
# queue after this many messages. There the reader looks at the clock, and yields if it has read
# for so many seconds (A7); for longer with a fuller queue, since the socket's reader, which fills
# the queue, runs in the same loop.
_QUANTUM = 64
_SLICE, _PRESSURE = 0.001, 0.004
_ONLY_MESSAGES = {dict}


class MessageQueue:
    """The messages of all subscriptions without a handler, until somebody reads them.

    Attributes:
        pending_nones: how many ``get_message`` calls are to return None.
        hooks: async hooks that still run between two messages.
        on_lagged: the hook that is called with the number of messages shed.
        ended: returns whether iteration is over once the queue is empty.
        failure: why no more messages will come, or None.
        closed: whether the user closed the queue: iteration then ends without an error.
    """

    def __init__(self, spec: MailboxSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = Mailbox(spec, loop)
        self.pending_nones = PendingNones(self.wake_all)
        self.hooks = PendingHooks(self.mailbox.queue, loop)
        self.on_lagged: LagCallback | None = None
        self.ended: Callable[[], bool] = lambda: True
        self.failure: BaseException | None = None
        self.closed = False
        #: Whether the yield marker is in the queue.
        self.marked = False
        self._since = 0.0
        self.loop = self._loop = loop
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._popleft: Callable[[], Any] = self.mailbox.queue.popleft
        self._in_hand: InHand | None = None

    def track(self, progress: Mapping[Any, Progress]) -> Callable[[], Any]:
        """Note which messages the reader has in hand, and has handled, from now on.

        Args:
            progress: the progress of each channel that resumes.

        Returns:
            the function that takes the next entry out of the queue.
        """
        self._in_hand = InHand(self.mailbox.queue, progress)
        self._popleft = self._in_hand.popleft
        return self._popleft

    # -- writers -----------------------------------------------------------------------------------

    def wake_all(self) -> None:
        """Have every waiting reader look again."""
        self.wake(len(self._waiters))

    def wake(self, count: int) -> None:
        """Wake up to ``count`` readers."""
        waiters = self._waiters
        for _ in range(min(len(waiters), count)):
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End the queue: readers get what is queued, then ``error``."""
        if self.failure is None:
            self.failure = error
        self.wake_all()

    def close(self, error: BaseException) -> None:
        """End the queue: iteration ends after what is queued, ``get`` raises ``error``."""
        self.closed = self.failure is None
        self.hooks.cancel()
        self.fail(error)

    # -- readers -----------------------------------------------------------------------------------

    async def next(self) -> PubSubMessage:
        """Return the next message, for iteration; StopAsyncIteration at the end."""
        while True:
            message = await self._take()
            if message is not None:
                return message
            if self.failure is not None and not self.closed:
                raise self.failure
            if self.closed or self.ended():
                raise StopAsyncIteration
            await self._wait(None)

    async def next_batch(self, most: int) -> list[PubSubMessage]:
        """Return the next messages, ``most`` at the most; StopAsyncIteration at the end.

        Waits for the first message only. A notice, such as a gap, ends a batch: its hook is called
        before the message that follows it.
        """
        if self._in_hand is not None:
            self._in_hand.asked()
        await self._let_run()
        batch = [await self.next()]
        # Nothing more is awaited: a call that is cancelled takes no message with it.
        queue = self.mailbox.queue
        popleft = queue.popleft
        batch += [popleft() for _ in range(min(len(queue), most - 1))]
        if {*map(type, batch)} != _ONLY_MESSAGES:
            self._cut(batch)
        if self._in_hand is not None:
            self._in_hand.gave(batch[1:])
        return batch

    def _cut(self, batch: list[Any]) -> None:
        """Leave in ``batch`` the messages before the first notice, and put the rest back."""
        if _YIELD in batch:
            batch.remove(_YIELD)
            self.marked = False
        end = next((i for i, entry in enumerate(batch) if type(entry) is not dict), len(batch))
        self.mailbox.queue.extendleft(reversed(batch[end:]))
        del batch[end:]

    async def get(self, timeout: float | None) -> PubSubMessage | None:
        """Return the next message, or None: after ``timeout`` seconds, or for a pending None."""
        deadline = None if timeout is None else self._loop.time() + timeout
        nones = self.pending_nones
        nones.note_call()
        if self._in_hand is not None:
            self._in_hand.asked()
        while True:
            try:
                message = await self._take(deadline)
            except TimeoutError:  # a hook before the next message still runs
                return None
            if message is not None:
                return message
            if nones.take():
                if nones.count and nones.count % _QUANTUM == 0:
                    await asyncio.sleep(0)
                return None
            if self.failure is not None:
                raise self.failure
            if deadline is not None and self._loop.time() >= deadline:
                return None
            await self._wait(deadline)

    async def _take(self, deadline: float | None = None) -> PubSubMessage | None:
        """Return the next message, after the notices before it; None: the queue is empty.

        Raises:
            TimeoutError: a notice's hook still runs at ``deadline``.
        """
        queue = self.mailbox.queue
        while queue:
            message = self._popleft()
            if type(message) is dict:
                return cast(PubSubMessage, message)
            if type(message) is GapNotice and message.callback is None:
                message.take()  # there may be one for each of thousands of channels
            else:
                await self.handle(message, deadline)
        if self.mailbox.senders:
            self.mailbox.release()
        return None

    async def handle(self, notice: Any, deadline: float | None = None) -> None:
        """Do what a queue entry that is no message is for: call a hook, or let the loop run."""
        if notice is _YIELD:
            self.marked = False
            await self._let_run()
            self.mark()
        elif isinstance(notice, RunningHook):
            await self.hooks.resume(notice, deadline)
        else:
            if isinstance(notice, Lagged):
                rest = start_hook(self.on_lagged, notice.count)
            else:
                assert isinstance(notice, GapNotice)
                rest = start_hook(notice.callback, notice.take())
            if rest is not None:
                await self.hooks.run(rest, deadline)

    async def _let_run(self) -> None:
        """Let the event loop run if the reader has read for long enough (A7)."""
        mailbox = self.mailbox
        allowed = _SLICE + _PRESSURE * len(mailbox.queue) / mailbox.spec.capacity
        if self._loop.time() - self._since > allowed:
            await asyncio.sleep(0)
            self._since = self._loop.time()

    def mark(self) -> None:
        """Put the yield marker into a queue that is long enough to need one."""
        queue = self.mailbox.queue
        if not self.marked and len(queue) > _QUANTUM:
            self.marked = True
            queue.insert(_QUANTUM, _YIELD)

    async def _wait(self, deadline: float | None) -> None:
        if asyncio.get_running_loop() is not self._loop:
            require_loop(self._loop, "the pub/sub object")
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline, _expire, waiter)
        try:
            await waiter
            self._since = self._loop.time()
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake(1)  # a message woke this reader: wake another one for it
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Yield(Envelope):
    """The yield marker: a place in the queue where the reader looks at the clock."""

    __slots__ = ()


_YIELD = _Yield()


class QueueWriter(MailboxWriter):
    """Writes into the iterator's queue."""

    __slots__ = ("_queue",)

    def __init__(
        self,
        message_queue: MessageQueue,
        touched: list[MailboxWriter],
        path: str,
        pause: Callable[[Mailbox], None],
    ) -> None:
        super().__init__(message_queue.mailbox, touched, path, pause)
        self._queue = message_queue

    def wake(self) -> None:
        """Wake readers."""
        self._queue.mark()
        self._queue.wake(len(self.mailbox.queue))

    def notices(self) -> int:
        """Return the number of gap notices, yield markers and hooks that still run."""
        queue = self._queue
        return self.gaps + queue.marked + queue.hooks.queued
