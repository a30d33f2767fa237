"""Handlers with lanes: one subscription's messages handled side by side (P12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.handlers.function_actor import (
    COMES_BACK,
    DrainLanes,
    HandlerActor,
    HandlerStatus,
    Work,
)
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.handlers.key_scheduler import NO_KEY, KeyScheduler
from actors.pubsub.handlers.pipeline import Run, guard, make_call, make_decode, make_run
from actors.pubsub.handlers.worker_thread import WorkerThread
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.envelopes import Lagged
from actors.runtime.lost_messages import FailureSink
from actors.runtime.overflow import Overflow
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

__all__ = ["ConcurrentActor"]

log = get_logger("mailslot.pubsub")

# Seconds between two lines about what is shed of that which is parked.
_QUIET: Final = 10.0


class ConcurrentActor(Actor[PubSubMessage]):
    """Hands messages to ``concurrency`` lanes, those of one key one after another (P12).

    Each lane is an actor of its own, with one message at a time. While all of them are at work the
    further messages wait in this actor's mailbox; while one is idle they are looked at, and those
    whose key is at work are parked. These count against the mailbox's bound, and may be half of
    what waits: what is beyond is shed, or holds the next one back, as the overflow policy says.

    Args:
        handler: what the user gave.
        standing: where the lanes and their threads are shown.
        time: the clock of the breaker.
        on_lagged: hears of what was shed.
        on_failure: the failure sink of the lanes.
    """

    resilient = True

    def __init__(
        self,
        handler: Handler,
        standing: HandlerStatus,
        time: Callable[[], float],
        on_lagged: LagCallback | None,
        on_failure: FailureSink,
    ) -> None:
        self.handler = handler
        self._standing = standing
        self._time = time
        self._on_lagged = on_lagged
        self._on_failure = on_failure
        self._decode = make_decode(handler)
        self._key = _key_function(handler.key)
        self.rota = standing.rota = KeyScheduler(handler.concurrency)
        self._threads: list[WorkerThread] = []
        self._lanes: list[ActorRef[Any]] = []
        self._moved: asyncio.Future[None] | None = None
        self._draining = False
        self._throttle = Throttle(monotonic, _QUIET)

    async def on_start(self) -> None:
        """Open the lanes."""
        self._standing.threads = self._threads
        self._mailbox = self.context.self_ref._cell.mailbox
        self._most_parked = max(1, self._mailbox.spec.capacity // 2)
        self._lanes = [self._open_lane(number) for number in range(self.handler.concurrency)]

    def _open_lane(self, number: int) -> ActorRef[Any]:
        thread = None
        if self.handler.in_thread:
            thread = WorkerThread(f"{self.context.path}/lane-{number}")
            self._threads.append(thread)
        run = make_run(self.handler, make_call(self.handler, thread), thread)
        receive = self._lane(number, guard(run, self._standing.breaker, self._time), thread)
        return self.context.spawn(
            ActorSpec(
                HandlerActor,
                (receive,),
                name=f"lane-{number}",
                restart="permanent",
                retry_policy=COMES_BACK,
                on_failure=self._on_failure,
            )
        )

    def _lane(self, number: int, run: Run, thread: WorkerThread | None) -> Callable[[Work], Any]:
        def free() -> None:
            self._free(number)

        async def receive(work: Work) -> None:
            try:
                await run(work.message, work.payload)
            finally:
                if thread is None:
                    free()
                else:  # a lane whose thread goes on after its time limit is at work still
                    thread.when_free(free)

        return receive

    # -- messages ----------------------------------------------------------------------------------

    async def receive(self, message: PubSubMessage) -> None:
        """Give ``message`` to a lane, or park it."""
        rota = self.rota
        while rota.full:
            await self._move()
        key: Any = NO_KEY
        work = Work(message)
        if self._key is not None:
            work, key = self._keyed(work, self._key)
        lane = rota.put(key, work)
        if lane is not None:
            self._lanes[lane].tell(work)
            return
        self._set_limit()
        if rota.parked > self._most_parked:
            await self._overflow()

    def _keyed(self, work: Work, key: Callable[[Any], Any]) -> tuple[Work, Any]:
        """Return ``work`` with its payload, and its key."""
        if self._decode is None:
            return work, key(work.message)
        try:
            work = Work(work.message, self._decode(work.message["data"]))
        except Exception:
            return work, NO_KEY  # its lane says why
        return work, key(work.payload)

    async def _overflow(self) -> None:
        rota, spec = self.rota, self._mailbox.spec
        if spec.overflow is Overflow.BLOCK:
            while rota.parked > self._most_parked:
                await self._move()
            return
        if spec.overflow is Overflow.DROP_NEWEST:
            rota.shed_newest()
        else:
            rota.shed()
        self._set_limit()
        self._mailbox.shed += 1
        if self._throttle.passes(None) is not None:
            log.warning(
                "messages_shed",
                path=self.context.path,
                so_far=self._mailbox.shed,
                capacity=spec.capacity,
                overflow=str(spec.overflow),
                cause="more than half of the mailbox waits for keys that are at work",
            )
        await call_hook(self._on_lagged, 1)

    def _free(self, number: int) -> None:
        """Give lane ``number`` its next message, or have it idle."""
        if self.context._closed:  # the lanes stop, and what is parked stays for later
            return
        work = self.rota.done(number)
        if work is not None:
            self._lanes[number].tell(work)
            self._set_limit()
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)
        if self._draining and not self.rota.busy:
            self.context.stop()

    async def _move(self) -> None:
        """Wait until a lane is through with a message."""
        self._moved = asyncio.get_running_loop().create_future()
        await self._moved

    def _set_limit(self) -> None:
        """Have what is parked count against the bound."""
        mailbox = self._mailbox
        if not mailbox.closed:
            mailbox.limit = max(1, mailbox.spec.capacity - self.rota.parked)
            if mailbox.senders:
                mailbox.release()

    # -- the end -----------------------------------------------------------------------------------

    def drain(self) -> None:
        """End once the lanes are through with what there is."""
        self._draining = True
        if not self.rota.busy:
            self.context.stop()

    async def on_stop(self, reason: ExitReason) -> None:
        """Let threads go, and leave what is parked to the next incarnation."""
        for thread in self._threads:
            thread.close()
        parked = [work.message for work in self.rota.clear()]
        self._mailbox.queue.extendleft(reversed(parked))
        if self._draining and not reason.normal:
            self._mailbox.put_last(DrainLanes())
        self._set_limit()
        if parked and reason.normal:
            log.warning("messages_not_handled", messages=len(parked), path=self.context.path)

    async def on_lagged(self, lagged: Lagged) -> None:
        """Tell the user that messages were shed before the next one."""
        await call_hook(self._on_lagged, lagged.count)


def _key_function(key: Callable[[Any], Any] | str | None) -> Callable[[Any], Any] | None:
    if not isinstance(key, str):
        return key
    return lambda payload: payload[key] if isinstance(payload, dict) else getattr(payload, key)
