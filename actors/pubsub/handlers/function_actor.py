"""A handler's function as an actor with a mailbox of its own, in the loop or in a thread (P12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.handlers.breaker import BreakerState, BreakerStatus
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.actor import Actor
from actors.runtime.messages.envelopes import CellHost, Envelope, Lagged
from supervisor import ExitReason, ExponentialBackoffRetryPolicy

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes
    from actors.pubsub.handlers.key_scheduler import KeyScheduler
    from actors.pubsub.handlers.worker_thread import WorkerThread

#: Restarts a handler's actor after a crash, outside of the restart intensity: a handler that
#: crashes on every message ends no other one. The first delay is short, because messages come
#: meanwhile; it applies to an actor that handled a message before it crashed.
HANDLER_RETRY_POLICY: Final = ExponentialBackoffRetryPolicy(
    (BaseException,), retries=None, base_delay=0.005, max_delay=1, jitter=True
)


class FunctionActor(Actor[PubSubMessage]):
    """Calls a function for each message. An exception costs that message only."""

    resilient = True

    def __init__(self, receive: Callable[[Any], Any], on_lagged: LagCallback | None = None) -> None:
        self._on_lagged = on_lagged
        # The function itself is the actor's receive: no call of ours between the two. By setattr():
        # the look at __dict__ would make a dict of the attributes, and there may be many handlers.
        setattr(self, "receive", receive)  # noqa: B010

    async def on_lagged(self, lagged: Lagged) -> None:
        """Call the user's hook: messages were shed before the next one."""
        await call_hook(self._on_lagged, lagged.count)


class ThreadActor(FunctionActor):
    """Calls a function in a thread, and ends the thread with itself."""

    def __init__(
        self, receive: Callable[[Any], Any], on_lagged: LagCallback | None, thread: WorkerThread
    ) -> None:
        super().__init__(receive, on_lagged)
        self._thread = thread

    async def on_stop(self, reason: ExitReason) -> None:
        """End the thread."""
        self._thread.close()


class Work(msgspec.Struct, frozen=True):
    """A message for a worker of a concurrent handler.

    Attributes:
        message: the message.
        payload: its payload, if that is decoded already; UNSET: it is not.
        received: when it was received, if the handler is measured.
    """

    message: PubSubMessage
    payload: Any = msgspec.UNSET
    received: float | None = None


class RestOfBatch(msgspec.Struct, frozen=True):
    """A message that failed, and is no failed call of its own: the breaker does not count it."""

    message: PubSubMessage


class DrainWorkers(Envelope):
    """The end of a concurrent handler's mailbox: its workers finish, then the handler stops."""

    __slots__ = ()

    def deliver(self, cell: CellHost) -> None:
        """Have the actor drain its workers."""
        cell.processed -= 1  # this is no message
        actor: Any = cell.actor
        actor.drain()


class HandlerStatus:
    """What the tree shows of a handler; it outlives the incarnations of the handler's actor.

    Attributes:
        breaker: the handler's breaker; None: it has none.
        recovery: describes the handler's place in its channel's history; None: it has none.
        scheduler: what orders a concurrent handler's messages; None: it is not concurrent, or has
            not started.
        threads: those that the function runs in.
        times: what measures the handler; None: nothing does.
    """

    __slots__ = ("breaker", "recovery", "scheduler", "threads", "times")

    def __init__(
        self,
        breaker: BreakerState | None,
        recovery: Callable[[], Mapping[str, Any]] | None = None,
        times: HandlingTimes | None = None,
    ) -> None:
        self.breaker = breaker
        self.times = times
        self.recovery = recovery
        self.scheduler: KeyScheduler | None = None
        self.threads: list[WorkerThread] = []

    def describe(self) -> Mapping[str, Any]:
        """Return what is worth showing; mostly nothing."""
        detail: dict[str, Any] = {} if self.recovery is None else dict(self.recovery())
        if self.scheduler is not None and self.scheduler.parked:
            detail["parked"] = self.scheduler.parked
        if self.breaker is not None and self.breaker.status is not BreakerStatus.CLOSED:
            detail["breaker"] = str(self.breaker.status)
            if (failures := self.breaker.failures) is not None:
                detail["failures"] = failures.count
                detail["first_error"], detail["first_at"] = failures.first_error, failures.first_at
                detail["last_error"], detail["last_at"] = failures.last_error, failures.last_at
        if overdue := sum(thread.overdue for thread in self.threads):
            detail["overdue_threads"] = overdue
        return detail
