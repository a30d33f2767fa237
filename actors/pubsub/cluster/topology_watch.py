"""The topology watch: asks the cluster who serves what, on every signal and on a timer (P8)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import msgspec

from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.model import Topology
from actors.runtime.actor import Actor
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

__all__ = ["TopologyChecked", "TopologyWatch", "TopologyRequests"]

log = get_logger("mailslot.pubsub")

#: Seconds between two looks when all is well, and while a target has no source.
CALM, URGENT = 1.0, 0.1
#: Seconds until a look that only confirms what servers said already.
_CONFIRMED = 0.1
_JITTER = 0.2


class TopologyChecked(msgspec.Struct, frozen=True):
    """What the cluster looked like at ``asked_at`` (the loop's time when it was asked)."""

    topology: Topology
    asked_at: float


class Tick(Enum):
    """Reasons to look."""

    TIMER = "timer"
    NOW = "now"
    CONFIRM = "confirm"


class TopologyRequests:
    """Where a manager asks its watch for a look.

    Attributes:
        interval: seconds between two looks, jittered.
        prefer: the nodes to ask in any case.
        report: takes the result.
    """

    def __init__(self) -> None:
        self.interval = CALM
        self.prefer: Callable[[], Iterable[str]] = lambda: ()
        self.report: Callable[[TopologyChecked], None] = lambda _: None
        self.watch: ActorRef[Any] | None = None
        self._asked = False
        self._to_confirm = False

    def look(self) -> None:
        """Have a look taken as soon as possible; asked again before it began, it is one."""
        if not self._asked and self.watch is not None:
            self._asked = True
            self.watch.tell(Tick.NOW)

    def confirm(self) -> None:
        """Have a look taken in a moment: of many changes in a row, one for all.

        Reading what all nodes say takes some milliseconds, in which we hear nothing else: while
        slots move one after another, that is what a subscription would be late by.
        """
        if not self._asked and not self._to_confirm and self.watch is not None:
            self._to_confirm = True
            self.watch.tell(Tick.CONFIRM)

    def begun(self) -> None:
        """A look begins: whoever asks from now on wants another one."""
        self._asked = self._to_confirm = False


class TopologyWatch(Actor[Tick]):
    """Refreshes a cluster pool's topology."""

    def __init__(self, pool: ClusterConnectionPool, requests: TopologyRequests) -> None:
        self.pool = pool
        self.requests = requests

    async def on_start(self) -> None:
        """Begin with a look."""
        self.loop = self.context.system.loop
        self.requests.watch = self.context.self_ref
        self.requests.begun()
        self._throttle = Throttle(self.loop.time, 10.0)
        self.context.self_ref.tell(Tick.NOW)

    async def on_stop(self, reason: ExitReason) -> None:
        """Take no more requests."""
        self.requests.watch = None

    async def receive(self, message: Tick) -> None:
        """Look, report, and plan the next look."""
        if message is Tick.CONFIRM:
            self.context.timers.after(_CONFIRMED, Tick.TIMER)
            return
        self.requests.begun()
        asked_at = self.loop.time()
        try:
            topology = await self.pool.refresh(self.requests.prefer())
        except Exception as error:
            suppressed = self._throttle.passes("refresh")
            if suppressed is not None:
                log.warning("no_topology", error=str(error), suppressed=suppressed)
        else:
            self.requests.report(TopologyChecked(topology, asked_at))
        delay = self.requests.interval * random.uniform(1 - _JITTER, 1 + _JITTER)
        self.context.timers.after(delay, Tick.TIMER)
