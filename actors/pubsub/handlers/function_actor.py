"""Handlers as actors: one subscription's callback with a mailbox of its own (P12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.handlers.breaker import BreakerState, BreakerStatus
from actors.pubsub.handlers.pipeline import UNOPENED
from actors.pubsub.model.types import LagCallback, PubSubMessage
from actors.runtime.actor import Actor
from actors.runtime.envelopes import CellHost, Envelope, Lagged
from supervisor import ExponentialBackoffRetryPolicy

if TYPE_CHECKING:
    from actors.pubsub.handlers.key_scheduler import KeyScheduler
    from actors.pubsub.handlers.worker_thread import WorkerThread

__all__ = ["COMES_BACK", "DrainLanes", "HandlerActor", "HandlerStatus", "Work"]

#: How a handler's actor comes back after a crash: outside the restart intensity, so that one that
#: crashes on every message takes nobody with it. The first delay is short: one that handled a
#: message before it crashed waits no longer than this, and must keep up with what comes meanwhile.
COMES_BACK: Final = ExponentialBackoffRetryPolicy(
    (BaseException,), retries=None, base_delay=0.005, max_delay=1, jitter=True
)


class HandlerActor(Actor[PubSubMessage]):
    """Runs a function for each message. What it raises costs that message only."""

    resilient = True

    def __init__(self, receive: Callable[[Any], Any], on_lagged: LagCallback | None = None) -> None:
        self._on_lagged = on_lagged
        # The function itself is the actor's receive: no frame of ours between the two.
        self.__dict__["receive"] = receive

    async def on_lagged(self, lagged: Lagged) -> None:
        """Tell the user that messages were shed before the next one."""
        await call_hook(self._on_lagged, lagged.count)


class Work(msgspec.Struct, frozen=True):
    """A message in a lane, with what it was decoded to where that is known."""

    message: PubSubMessage
    payload: Any = UNOPENED


class DrainLanes(Envelope):
    """Everything before it has been given to lanes or parked: let them finish, then stop."""

    __slots__ = ()

    def deliver(self, cell: CellHost) -> None:
        """Have the lanes finish."""
        cell.processed -= 1  # it is no message
        actor: Any = cell.actor
        actor.drain()


class HandlerStatus:
    """Where a handler stands; it outlives the incarnations of its actor.

    Attributes:
        breaker: its breaker; None: it has none.
        rota: the order of its lanes; None: it has no lanes, or they are not open.
        threads: those that its function runs in.
    """

    __slots__ = ("breaker", "rota", "threads")

    def __init__(self, breaker: BreakerState | None) -> None:
        self.breaker = breaker
        self.rota: KeyScheduler | None = None
        self.threads: list[WorkerThread] = []

    def describe(self) -> Mapping[str, Any]:
        """Return what the tree shows: nothing, as long as there is nothing to be said."""
        detail: dict[str, Any] = {}
        if self.rota is not None and self.rota.parked:
            detail["parked"] = self.rota.parked
        if self.breaker is not None and self.breaker.status is not BreakerStatus.CLOSED:
            detail["breaker"] = str(self.breaker.status)
        if overdue := sum(thread.overdue for thread in self.threads):
            detail["overdue_threads"] = overdue
        return detail
