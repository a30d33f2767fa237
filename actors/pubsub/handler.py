"""Handlers as actors: one subscription's callback with a mailbox of its own (P12)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from actors.pubsub.breaker import BreakerState
from actors.pubsub.handler_spec import Handler
from actors.pubsub.notices import call_back
from actors.pubsub.pipeline import make_call, make_decode
from actors.pubsub.types import LagCallback, PubSubMessage
from actors.runtime.actor import Actor
from actors.runtime.cell import Cell
from actors.runtime.failures import FailureSink
from actors.runtime.messages import Envelope, Lagged
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from actors.runtime.spec import ActorSpec

__all__ = ["DrainLanes", "HandlerActor", "LanesActor", "Work"]

# Messages that wait in a lane, beside the one in hand: what waits longer waits in the mailbox,
# where its bound is the user's.
_LANE = MailboxSpec(16, Overflow.BLOCK)


class HandlerActor(Actor[PubSubMessage]):
    """Runs a function for each message. What it raises costs that message only."""

    resilient = True

    def __init__(
        self,
        receive: Callable[[Any], Any],
        on_lagged: LagCallback | None = None,
        breaker: BreakerState | None = None,
    ) -> None:
        self._on_lagged = on_lagged
        self.breaker = breaker
        # The function itself is the actor's receive: no frame of ours between the two.
        self.__dict__["receive"] = receive

    async def on_lagged(self, lagged: Lagged) -> None:
        """Tell the user that messages were shed before the next one."""
        await call_back(self._on_lagged, lagged.count)


class Work(msgspec.Struct, frozen=True):
    """A message in a lane, with what it was decoded to."""

    payload: Any
    message: PubSubMessage


class LanesActor(Actor[PubSubMessage]):
    """Hands messages to ``concurrency`` lanes, those of one key always to the same (P12).

    Each lane is an actor of its own. A full lane holds back the ones after it, so that what waits
    does so in this actor's mailbox.
    """

    resilient = True

    def __init__(
        self,
        handler: Handler,
        run: Callable[[Work], Any],
        on_lagged: LagCallback | None,
        on_failure: FailureSink,
        breaker: BreakerState | None,
    ) -> None:
        self.handler = handler
        self.breaker = breaker
        self._on_lagged = on_lagged
        self._run = run
        self._on_failure = on_failure
        self._decode = make_decode(handler)
        self._lanes: list[ActorRef[Any]] = []
        self._turn = itertools.cycle(range(handler.concurrency))
        key = handler.key
        self._key: Callable[[Any], Any] | None = (
            (lambda payload: _field(payload, key)) if isinstance(key, str) else key
        )

    async def on_start(self) -> None:
        """Open the lanes."""
        spec = ActorSpec(
            HandlerActor,
            (self._run,),
            mailbox=_LANE,
            restart="permanent",
            on_failure=self._on_failure,
        )
        self._lanes = [
            self.context.spawn(msgspec.structs.replace(spec, name=f"lane-{number}"))
            for number in range(self.handler.concurrency)
        ]

    async def receive(self, message: PubSubMessage) -> None:
        """Give ``message`` to its lane, when that has room."""
        payload = message if self._decode is None else self._decode(message["data"])
        if self._key is None:
            lane = min(self._lanes, key=_depth, default=self._lanes[next(self._turn)])
        else:
            lane = self._lanes[hash(self._key(payload)) % len(self._lanes)]
        await lane.send(Work(payload, message))

    async def drain(self) -> None:
        """Wait until the lanes are through with what they have."""
        await asyncio.gather(*(lane.stop(drain=True) for lane in self._lanes))

    async def on_lagged(self, lagged: Lagged) -> None:
        """Tell the user that messages were shed before the next one."""
        await call_back(self._on_lagged, lagged.count)


def _depth(lane: ActorRef[Any]) -> int:
    return len(lane._queue)


def _field(payload: Any, name: str) -> Any:
    return payload[name] if isinstance(payload, dict) else getattr(payload, name)


class DrainLanes(Envelope):
    """Everything before it has been given to lanes: let them finish, then stop."""

    __slots__ = ()

    async def deliver(self, cell: Cell) -> None:
        """Wait for the lanes, and end."""
        assert isinstance(cell.actor, LanesActor)
        await cell.actor.drain()
        cell.request_stop(drain=False)


def lane_run(handler: Handler, guard: Callable[[Any], Any]) -> Callable[[Work], Any]:
    """Return what a lane does with its work."""
    call = make_call(handler)

    def run(work: Work) -> Any:
        return call(work.payload, work.message)

    return guard(run)  # type: ignore[no-any-return]
