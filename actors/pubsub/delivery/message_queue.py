"""The iterator's side: a bounded queue, read by ``async for`` and ``get_message``.

Readers take from ``queue`` themselves as long as there is something; everything else is here: the
wait, the time limit, the news between messages, and the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from actors.pubsub.delivery.mailbox_writer import MailboxWriter
from actors.pubsub.delivery.notices import GapNotice, begin_hook
from actors.pubsub.delivery.pending_hooks import AtWork, Hooks
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.envelopes import Envelope, Lagged
from actors.runtime.mailbox import Mailbox
from actors.runtime.overflow import MailboxSpec

__all__ = ["MessageQueue", "InboxInlet"]

# A reader that never has to wait would never let the loop run. So after this many messages there
# is a breath in the queue: the reader looks at the clock, and lets the loop run after this many
# seconds (A7); later with a fuller queue, because what fills it runs in the same loop.
QUANTUM = 64
_SLICE, _PRESSURE = 0.001, 0.004
# So many unclaimed Nones say that nobody calls get_message; there are never more.
_MOST_NONES = 10_000


class MessageQueue:
    """Messages on their way to whoever iterates.

    Attributes:
        nones: how many ``get_message`` calls are to return None: one for each ignored
            acknowledgement, and one for each message that a handler was through with.
        ended: returns whether iteration is over once the queue is empty.
        failure: why there will be nothing more, or None.
        closed: that was the user's wish: iteration ends.
    """

    def __init__(self, spec: MailboxSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = Mailbox(spec, loop)
        self.nones = 0
        self.on_lagged: LagCallback | None = None
        self.ended: Callable[[], bool] = lambda: True
        self.failure: BaseException | None = None
        self.closed = False
        self.hooks = Hooks(self.mailbox.queue, loop)
        self._polled = False
        self._since = 0.0
        self._breath = False
        self._loop = loop
        self._waiters: deque[asyncio.Future[None]] = deque()

    # -- writers -----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake a reader for each message that waits."""
        waiters = self._waiters
        for _ in range(min(len(waiters), len(self.mailbox.queue))):
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def wake_all(self) -> None:
        """Have every waiting reader look again."""
        waiters = self._waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    @property
    def counts_nones(self) -> bool:
        """Whether somebody may still call ``get_message`` for what handlers are through with."""
        return self._polled or self.nones < _MOST_NONES

    def expect_no_reader(self) -> None:
        """Nobody will call ``get_message``: nothing is owed to it."""
        self.nones = _MOST_NONES

    def owe_nones(self, count: int) -> None:
        """Have the next ``count`` ``get_message`` calls return None."""
        self.nones = min(self.nones + count, _MOST_NONES)
        if self._waiters:
            self.wake_all()

    def fail(self, error: BaseException) -> None:
        """End it: readers get what is queued, then ``error``."""
        if self.failure is None:
            self.failure = error
        self.wake_all()

    def close(self, error: BaseException) -> None:
        """End it: iteration ends after what is queued, ``get`` raises ``error``."""
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

    async def get(self, timeout: float | None) -> PubSubMessage | None:
        """Return the next message, or None after ``timeout`` seconds.

        None also comes at once for an acknowledgement that was ignored, and for each message that
        a handler consumed: callers that count on one answer for each message rely on it.
        """
        deadline = None if timeout is None else self._loop.time() + timeout
        self._polled = True
        while True:
            try:
                message = await self._take(deadline)
            except TimeoutError:  # a hook is at work still
                return None
            if message is not None:
                return message
            if self.nones > 0:
                self.nones -= 1
                if self.nones and self.nones % QUANTUM == 0:
                    await asyncio.sleep(0)
                return None
            if self.failure is not None:
                raise self.failure
            if deadline is not None and self._loop.time() >= deadline:
                return None
            await self._wait(deadline)

    async def _take(self, deadline: float | None = None) -> PubSubMessage | None:
        """Return a message if there is one, after telling the news before it.

        Raises:
            TimeoutError: that was not through by ``deadline``.
        """
        queue = self.mailbox.queue
        while queue:
            message = queue.popleft()
            if type(message) is dict:
                return cast(PubSubMessage, message)
            if type(message) is GapNotice and message.callback is None:
                message.take()  # there may be one for each of thousands of channels
            else:
                await self.tell(message, deadline)
        if self.mailbox.senders:
            self.mailbox.release()
        return None

    async def tell(self, news: Any, deadline: float | None = None) -> None:
        """Tell the user what came between two messages."""
        if news is _BREATH:
            if self._breath_is_due():
                await asyncio.sleep(0)
                self._since = self._loop.time()
            self.plan_breath()
        elif isinstance(news, AtWork):
            await self.hooks.go_on(news, deadline)
        else:
            rest = self._begin(news)
            if rest is not None:
                await self.hooks.run(rest, deadline)

    def _begin(self, news: Any) -> Coroutine[Any, Any, None] | None:
        if isinstance(news, Lagged):
            return begin_hook(self.on_lagged, news.count)
        assert isinstance(news, GapNotice)
        return begin_hook(news.callback, news.take())

    def plan_breath(self) -> None:
        """Have the reader look at the clock after the next messages."""
        queue = self.mailbox.queue
        if not self._breath and len(queue) > QUANTUM:
            self._breath = True
            queue.insert(QUANTUM, _BREATH)

    def _breath_is_due(self) -> bool:
        self._breath = False
        mailbox = self.mailbox
        allowed = _SLICE + _PRESSURE * len(mailbox.queue) / mailbox.spec.capacity
        return self._loop.time() - self._since > allowed

    async def _wait(self, deadline: float | None) -> None:
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
                self.wake()  # the message was meant for this one: wake another reader for it
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Breath(Envelope):
    """A place in the queue where the reader looks at the clock; there is one at a time."""

    __slots__ = ()


_BREATH = _Breath()


class InboxInlet(MailboxWriter):
    """The way into the message_queue."""

    __slots__ = ("_inbox",)

    def __init__(
        self,
        message_queue: MessageQueue,
        touched: list[MailboxWriter],
        path: str,
        pause: Callable[[Mailbox], None],
    ) -> None:
        super().__init__(message_queue.mailbox, touched, path, pause)
        self._inbox = message_queue

    def wake(self) -> None:
        """Wake readers."""
        self._inbox.plan_breath()
        self._inbox.wake()

    def own_places(self) -> int:
        """Return the number of gaps, of breaths, and of what is being told."""
        message_queue = self._inbox
        return self.news + message_queue._breath + message_queue.hooks.queued
