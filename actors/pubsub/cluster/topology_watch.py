"""The topology watch: looks at who serves what, on a timer and on request (P8)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from enum import Enum
from math import inf
from typing import Any

import msgspec

from actors.redis.cluster.cluster_pool import ClusterConnectionPool
from actors.redis.topology.model import Topology
from actors.runtime.actor import Actor
from actors.runtime.ref import ActorRef
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

#: Seconds between two looks while every target has a source, and no message comes; the same while
#: messages come; and while a target has no source.
IDLE, CALM, URGENT = 3.0, 1.0, 0.1
#: Seconds between two looks where replicas are consumed from: a replica that changes its primary
#: delivers nothing any more, and at first only the replica itself says so.
_REPLICAS = 0.4
#: Seconds between two looks in which each node on which nothing is subscribed is asked once.
_UNUSED = 10.0
#: Consumers of one cluster that may each look every second; more of them look less often, up to
#: every so many seconds.
_CONSUMERS, _LONGEST = 50, 10.0
#: Seconds for which a target without a source makes looks urgent.
_URGENT_FOR = 10.0
_JITTER = 0.2


def calm_interval(
    nodes: int, used: int, consumers: int, *, idle: bool = False, replicas: bool = False
) -> float:
    """Return the seconds between two looks while every target has a source (P6b).

    Args:
        nodes: how many nodes the cluster has.
        used: on how many of them something is subscribed.
        consumers: how many clients are subscribed on a node.
        idle: whether no message has come for a while.
        replicas: whether channels are consumed from replicas.
    """
    crowded = min(CALM * consumers / _CONSUMERS, _LONGEST)
    calm = max(IDLE if idle else _REPLICAS if replicas else CALM, crowded)
    return calm if used else max(calm, _UNUSED / max(nodes, 1))


class TopologyChecked(msgspec.Struct, frozen=True):
    """What the cluster looked like at ``asked_at`` (the loop's time when it was asked)."""

    topology: Topology
    asked_at: float


class WatchTick(Enum):
    """Reasons to look."""

    TIMER = "timer"
    REQUESTED = "requested"


class TopologyRequests:
    """Through this object a manager asks its topology watch for looks.

    Attributes:
        urgent: whether a target has no live source.
        idle: whether no message has come for a while.
        replicas: whether channels are consumed from replicas.
        unused: whether nothing was subscribed when the last look ended.
        used: returns the ids of the nodes that something is subscribed on.
        report: called with the result of each look.
    """

    def __init__(self) -> None:
        self.urgent = False
        self.idle = False
        self.replicas = False
        self.unused = True
        self.used: Callable[[], Collection[str]] = lambda: ()
        self.report: Callable[[TopologyChecked], None] = lambda _: None
        self.watch: ActorRef[Any] | None = None
        self._asked = False

    def look(self) -> None:
        """Have a look taken soon; requests that come before the look begins share it."""
        if not self._asked and self.watch is not None:
            self._asked = True
            self.watch.tell(WatchTick.REQUESTED)

    def begun(self) -> None:
        """Note that a look begins: requests from now on want another one."""
        self._asked = False


class TopologyWatch(Actor[WatchTick]):
    """Refreshes a cluster pool's topology, never more often than every ``URGENT`` seconds."""

    def __init__(self, pool: ClusterConnectionPool, requests: TopologyRequests) -> None:
        self.pool = pool
        self.requests = requests
        self._looked_at = -inf
        self._urgent_since: float | None = None
        self._looking: asyncio.Task[None] | None = None
        # Whether somebody has asked since the look in hand began.
        self._wanted = False

    async def on_start(self) -> None:
        """Begin with a look."""
        self.loop = self.context.system.loop
        self.requests.watch = self.context.self_ref
        self.requests.begun()
        self._throttle = Throttle(self.loop.time, 10.0)
        self.context.self_ref.tell(WatchTick.TIMER)

    async def on_stop(self, reason: ExitReason) -> None:
        """Take no more requests, and end the look in hand: nobody wants its answer any more."""
        self.requests.watch = None
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def receive(self, message: WatchTick) -> None:
        """Begin a look, or plan one: looks keep their distance."""
        if self._looking is not None and not self._looking.done():
            self._wanted = True
            return
        self._wanted = False
        now = self.loop.time()
        pause = CALM if self.requests.urgent and not self._is_urgent(now) else URGENT
        left = self._looked_at + pause - now
        if left > 0:
            self.context.timers.after(left, WatchTick.TIMER)
            return
        # A task of its own, so that the actor can be stopped while no node answers.
        self._looking = asyncio.get_running_loop().create_task(self._look())
        self._looking.add_done_callback(self._look_ended)

    def _look_ended(self, look: asyncio.Task[None]) -> None:
        if look.cancelled():
            return
        if error := look.exception():
            self.context.crash(error)
        elif self._wanted:
            self.context.self_ref.tell(WatchTick.REQUESTED)

    async def _look(self) -> None:
        """Look, report, and plan the next look."""
        self.requests.begun()
        asked_at = self._looked_at = self.loop.time()
        urgent = self._is_urgent(asked_at)
        try:
            topology = await self.pool.refresh(self.requests.used(), urgent=urgent)
        except Exception as error:
            suppressed = self._throttle.passes("refresh")
            if suppressed is not None:
                log.warning("no_topology", error=str(error), suppressed=suppressed)
        else:
            self.requests.report(TopologyChecked(topology, asked_at))
        nodes, used = len(self.pool.topology.nodes), self.requests.used()
        self.requests.unused = not used
        calm = calm_interval(
            nodes,
            len(used),
            self.pool.consumers,
            idle=self.requests.idle,
            replicas=self.requests.replicas,
        )
        interval = URGENT if self._is_urgent(self.loop.time()) else calm
        delay = interval * random.uniform(1 - _JITTER, 1 + _JITTER)
        self.context.timers.after(delay, WatchTick.TIMER)

    def _is_urgent(self, now: float) -> bool:
        if not self.requests.urgent:
            self._urgent_since = None
            return False
        if self._urgent_since is None:
            self._urgent_since = now
        return now - self._urgent_since < _URGENT_FOR
