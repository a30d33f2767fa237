"""A handler with ``concurrency``: the messages of one subscription side by side (P12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Final

from actors.pubsub.delivery.progress import ProgressOf, shed, taken, tracked
from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.handlers.function_actor import (
    HANDLER_RETRY_POLICY,
    DrainWorkers,
    FunctionActor,
    HandlerStatus,
    Work,
)
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.handlers.key_scheduler import NO_KEY, KeyScheduler
from actors.pubsub.handlers.keys import key_function
from actors.pubsub.handlers.pipeline import Run, guard, make_call, make_run
from actors.pubsub.handlers.worker_thread import WorkerThread
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.messages.envelopes import Lagged
from actors.runtime.messages.lost_messages import FailureSink
from actors.runtime.messages.overflow import Overflow
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

#: What the names of a concurrent handler's workers begin with.
WORKER_PREFIX: Final = "worker-"
# Seconds between two log lines about parked messages that are shed.
_QUIET: Final = 10.0


class ConcurrentActor(Actor[PubSubMessage]):
    """Gives messages to ``concurrency`` workers, and those of one key one after another (P12).

    Each worker is a child actor that has one message at a time. While all workers are busy,
    messages wait in this actor's mailbox. While one is idle, messages are taken from the mailbox,
    and those of a key that is running are parked. Parked messages count against the bound of the
    mailbox, and may fill half of it: beyond, one is shed or the next one waits, as the overflow
    policy says.

    Args:
        handler: the user's.
        status: where the scheduler and the threads are shown.
        time: the clock of the breaker.
        on_lagged: the user's hook.
        on_failure: takes the failures of the workers.
        progress: where it is noted what the workers have handled; None: nowhere.
    """

    resilient = True

    def __init__(
        self,
        handler: Handler,
        status: HandlerStatus,
        time: Callable[[], float],
        on_lagged: LagCallback | None,
        on_failure: FailureSink,
        progress: ProgressOf | None = None,
    ) -> None:
        self.handler = handler
        self.scheduler = status.scheduler = KeyScheduler(handler.concurrency)
        self._status = status
        self._time = time
        self._times = status.times
        self._on_lagged = on_lagged
        self._on_failure = on_failure
        self._progress = progress
        self._decode = handler.decoder
        self._key = key_function(handler.key)
        # A handler of many channels keeps the order of each, unless it has a key of its own.
        self._by_channel = handler.shared and handler.key is None
        self._threads: list[WorkerThread] = []
        self._workers: list[ActorRef[Any]] = []
        self._worker_done: asyncio.Future[None] | None = None
        self._draining = False
        self._throttle = Throttle(monotonic, _QUIET)

    async def on_start(self) -> None:
        """Spawn the workers."""
        self._status.threads = self._threads
        self._mailbox = self.context.self_ref._cell.mailbox
        self._most_parked = max(1, self._mailbox.spec.capacity // 2)
        self._workers = [self._spawn_worker(number) for number in range(self.handler.concurrency)]

    def _spawn_worker(self, number: int) -> ActorRef[Any]:
        name = f"{WORKER_PREFIX}{number}"
        thread = None
        if self.handler.in_thread:
            thread = WorkerThread(f"{self.context.path}/{name}")
            self._threads.append(thread)
        run = make_run(self.handler, make_call(self.handler, thread), thread)
        run = guard(run, self._status.breaker, self._time)
        if self._progress is not None:
            run = tracked(run, self._progress)
        return self.context.spawn(
            ActorSpec(
                FunctionActor,
                (self._receive_of(number, run, thread),),
                name=name,
                restart="permanent",
                retry_policy=HANDLER_RETRY_POLICY,
                on_failure=self._on_failure,
            )
        )

    def _receive_of(
        self, number: int, run: Run, thread: WorkerThread | None
    ) -> Callable[[Work], Any]:
        """Return the function that worker ``number`` calls for each message."""
        done, times = partial(self._done, number), self._times

        async def receive(work: Work) -> None:
            begun = 0.0 if times is None else monotonic()
            try:
                await run(work.message, work.payload)
            finally:
                if times is not None:
                    times.note_taken(work.received, begun)
                if thread is None:
                    done()
                else:  # past its time limit a thread runs on, and its worker is still busy
                    thread.when_free(done)

        return receive

    # -- messages ----------------------------------------------------------------------------------

    async def receive(self, message: PubSubMessage) -> None:
        """Give ``message`` to a worker, or park it."""
        if self._progress is not None:
            taken(message, self._progress)
        received = None if self._times is None else self._times.taken()
        scheduler = self.scheduler
        while scheduler.full:
            await self._wait_worker()
        key: Any = NO_KEY
        work = Work(message, received=received)
        if self._by_channel:
            key = message["channel"]
        elif self._key is not None:
            work, key = self._keyed(work, self._key)
        worker = scheduler.put(key, work)
        if worker is not None:
            self._workers[worker].tell(work)
            return
        self._set_limit()
        if scheduler.parked > self._most_parked:
            await self._overflow()

    def _keyed(self, work: Work, key: Callable[[Any], Any]) -> tuple[Work, Any]:
        if self._decode is None:
            return work, key(work.message)
        try:
            work = Work(work.message, self._decode(work.message["data"]), work.received)
        except Exception:
            return work, NO_KEY  # its worker decodes it again, and reports the error
        return work, key(work.payload)

    async def _overflow(self) -> None:
        scheduler, spec = self.scheduler, self._mailbox.spec
        if spec.overflow is Overflow.BLOCK:
            while scheduler.parked > self._most_parked:
                await self._wait_worker()
            return
        if spec.overflow is Overflow.DROP_NEWEST:
            work = scheduler.shed_newest()
        else:
            work = scheduler.shed_oldest()
        if self._progress is not None:
            shed(work.message, self._progress)
        self._set_limit()
        self._mailbox.shed += 1
        if self._throttle.passes(None) is not None:
            log.warning(
                "messages_shed",
                path=self.context.path,
                so_far=self._mailbox.shed,
                capacity=spec.capacity,
                overflow=str(spec.overflow),
                cause="more than half of the mailbox waits for keys that are running",
            )
        await call_hook(self._on_lagged, 1)

    def _done(self, number: int) -> None:
        """Give worker ``number`` its next message, if one is parked for it."""
        if self.context._closed:  # the workers stop: parked messages are for the next incarnation
            return
        work = self.scheduler.done(number)
        if work is not None:
            self._workers[number].tell(work)
            self._set_limit()
        if self._worker_done is not None and not self._worker_done.done():
            self._worker_done.set_result(None)
        if self._draining and not self.scheduler.busy:
            self.context.stop()

    async def _wait_worker(self) -> None:
        self._worker_done = asyncio.get_running_loop().create_future()
        await self._worker_done

    def _set_limit(self) -> None:
        """Lower the mailbox's bound by the number of parked messages."""
        mailbox = self._mailbox
        if not mailbox.closed:
            mailbox.limit = max(1, mailbox.spec.capacity - self.scheduler.parked)
            if mailbox.senders:
                mailbox.release()

    # -- the end -----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Stop once the workers have handled what they have, and what is parked."""
        self._draining = True
        if not self.scheduler.busy:
            self.context.stop()

    async def on_stop(self, reason: ExitReason) -> None:
        """End the threads, and put parked messages back into the mailbox."""
        for thread in self._threads:
            thread.close()
        parked = [work.message for work in self.scheduler.clear()]
        self._mailbox.queue.extendleft(reversed(parked))
        if self._draining and not reason.normal:
            self._mailbox.put_last(DrainWorkers())
        self._set_limit()
        if parked and reason.normal:
            log.warning("messages_not_handled", messages=len(parked), path=self.context.path)

    async def on_lagged(self, lagged: Lagged) -> None:
        """Call the user's hook: messages were shed before the next one."""
        await call_hook(self._on_lagged, lagged.count)
