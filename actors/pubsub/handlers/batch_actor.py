"""A handler with ``batch``: an actor that gives its function many messages in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.pubsub.delivery.progress import ProgressOf, tracked_batch
from actors.pubsub.handlers.batch import Failures, handle, handle_around, tells_which
from actors.pubsub.handlers.breaker import BreakerState
from actors.pubsub.handlers.function_actor import FunctionActor, RestOfBatch
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.handlers.pipeline import (
    Run,
    guard,
    is_undecodable,
    make_batch_steps,
    make_call,
    make_message_decode,
)
from actors.pubsub.handlers.worker_thread import WorkerThread
from actors.pubsub.model.types import LagCallback, PubSubMessage
from supervisor import ExitReason

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes


class BatchActor(FunctionActor):
    """Calls a function with the messages that are in the mailbox, ``batch.max`` at the most.

    A batch ends before a notice, such as a gap. An exception costs the messages of that batch, or
    those that the handler names by a BatchError.
    """

    def __init__(
        self,
        handler: Handler,
        breaker: BreakerState | None,
        time: Callable[[], float],
        on_lagged: LagCallback | None,
        thread: WorkerThread | None,
        progress: ProgressOf | None = None,
        times: HandlingTimes | None = None,
    ) -> None:
        assert handler.batch is not None
        super().__init__(self.receive_first, on_lagged)
        self._most, self._wait = handler.batch.max, handler.batch.wait
        self._gate = handler.gate
        self._times = times
        self._succeeded = True
        self._handle: Callable[[list[PubSubMessage]], Awaitable[Failures]]
        self._thread = thread
        steps = make_batch_steps(tells_which(make_call(handler, thread)), handler, thread)
        run = self._noting(guard(steps, breaker, time))
        decode = make_message_decode(handler)
        if handler.around is None:
            self._handle = partial(handle, run, decode)
        else:
            self._handle = partial(handle_around, run, decode, handler.around)
        if progress is not None:
            self._handle = tracked_batch(self._handle, progress)

    async def on_start(self) -> None:
        """Find the mailbox."""
        self._cell = self.context.self_ref._cell

    async def receive_first(self, message: PubSubMessage) -> None:
        """Handle ``message``, and with it what follows in the mailbox."""
        batch = [message]
        self._take(batch)
        if self._wait and len(batch) < self._most:
            await self._take_more(batch)
        self._cell.processed += len(batch) - 1
        try:
            if self._gate is not None and not self._gate.is_set():
                await self._gate.wait()
            failures = await self._measured(batch)
        except BaseException as error:
            # The message loop reports the first message.
            self._succeeded = True
            self._report(batch[1:], dict.fromkeys(range(len(batch) - 1), error))
            raise
        self._report(batch, failures)

    async def _measured(self, batch: list[PubSubMessage]) -> Failures:
        if self._times is None:
            return await self._handle(batch)
        begun = self._times.begin_call(len(batch))
        try:
            return await self._handle(batch)
        finally:
            self._times.end_call(begun)

    def _noting(self, run: Run) -> Run:
        async def noting(messages: Any, payloads: Any) -> Any:
            self._succeeded = False
            result = await run(messages, payloads)
            self._succeeded = True
            return result

        return noting

    def _report(self, batch: list[PubSubMessage], failures: Mapping[int, BaseException]) -> None:
        """Report what failed; for the breaker a batch is one call, which failed or succeeded."""
        counted = self._succeeded
        for place, error in sorted(failures.items()):
            message: Any = batch[place]
            if not is_undecodable(error):
                if counted:
                    message = RestOfBatch(message)
                counted = True
            self._cell.report_failure(message, error)

    # -- the mailbox -------------------------------------------------------------------------------

    def _take(self, batch: list[PubSubMessage]) -> None:
        """Move messages from the mailbox into ``batch``, up to the first notice."""
        mailbox = self._cell.mailbox
        queue = mailbox.queue
        while queue and len(batch) < self._most and type(queue[0]) is dict:
            batch.append(queue.popleft())
        if mailbox.senders:
            mailbox.release()

    async def _take_more(self, batch: list[PubSubMessage]) -> None:
        """Wait for more messages, until the batch is full, a notice comes, or the time is up."""
        mailbox, loop = self._cell.mailbox, self._cell.loop
        deadline = loop.time() + self._wait
        while len(batch) < self._most and not mailbox.queue and not mailbox.signal:
            waiter = mailbox.waiter = loop.create_future()
            timer = loop.call_at(deadline, mailbox.wake)
            try:
                await waiter
            except asyncio.CancelledError:
                mailbox.queue.extendleft(reversed(batch[1:]))
                raise
            finally:
                timer.cancel()
            if loop.time() >= deadline and not mailbox.queue:
                return
            self._take(batch)

    async def on_stop(self, reason: ExitReason) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.close()
