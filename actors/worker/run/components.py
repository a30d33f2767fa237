"""One run of a worker: what it starts, in order, and how it lets go of it.

start   client -> actors -> subscriptions -> probes
drain   unsubscribe, handlers finish -> actors stop, last one first -> shutdown hooks
close   everything that is left, cancelled if the deadline has passed
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.delivery.notices import call_back
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.types import Gap, GapCallback, Kind
from actors.redis.exceptions import AuthorizationError
from actors.runtime.actor import ActorSpec
from actors.runtime.ref import ActorRef
from actors.runtime.system import ActorSystem
from actors.worker.declare.handler_build import Wiring
from actors.worker.declare.middleware import compose
from actors.worker.declare.routes import KINDS, Route, actor_spec
from actors.worker.observe.counters import Counters
from actors.worker.run.broker import Broker, connect
from actors.worker.run.delivery_probe import Prober
from actors.worker.run.delivery_proof import Paths
from actors.worker.run.partition import Partition
from supervisor import TreeNode
from supervisor.log import get_logger

__all__ = ["RunComponents", "EngineOptions"]

log = get_logger("mailslot.worker")

_RIGHTS = (
    "give the user of the URL these channels and patterns, and mailslot:probe:* (ACL SETUSER NAME"
    " +subscribe +psubscribe +ssubscribe +publish +spublish &CHANNEL ...)"
)


class EngineOptions(msgspec.Struct, frozen=True):
    """What one run is made with.

    Attributes:
        broker: where the servers are.
        routes: all that is declared.
        actors: spawned before the first subscription.
        partition: which share of the routes is this process's.
        probe_interval: seconds for which a proof of delivery is fresh; None: no probes.
        missed_since: a process before this one was surely alive last then (Unix seconds), and what
            came since is missed; None: there was none.
        missed_reason: how that one ended.
        pubsub: options of the pub/sub objects.
        on_gap: hears of gaps of handlers that have no hook of their own.
        on_failure: the failure sink of handlers that have none.
    """

    broker: Broker
    routes: list[Route]
    actors: list[ActorSpec]
    partition: Partition
    probe_interval: float | None
    missed_since: float | None
    missed_reason: str
    pubsub: dict[str, Any]
    on_gap: GapCallback | None
    on_failure: HandlerFailureSink


class RunComponents:
    """What runs while a worker runs."""

    def __init__(
        self, app: Any, system: ActorSystem, counters: Counters, options: EngineOptions
    ) -> None:
        self.system = system
        self.options = options
        self.pubsubs: list[BasePubSub[Any]] = []
        self.paths: list[tuple[BasePubSub[Any], Paths]] = []
        self.client: Any = None
        self.routes = [route for route in options.routes if options.partition.has(route.name)]
        self._app = app
        self._journal = counters
        self._actors: list[ActorRef[Any]] = []
        self._probers: list[ActorRef[Any]] = []
        self._gate = asyncio.Event() if options.missed_since is not None else None

    # -- start -------------------------------------------------------------------------------------

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; what must be undone is put on ``stack``."""
        app, options = self._app, self.options
        self.client = client = await connect(options.broker, options.pubsub["start_timeout"])
        stack.push_async_exit(client)
        chain = compose(app.middlewares)
        wiring = Wiring(lambda: app.context, chain, self._gate)
        for spec in options.actors:
            ref = self.system.spawn(actor_spec(spec, wiring, app.context_type))
            self._actors.append(ref)
            await ref.started()
        subscriptions: dict[Kind, dict[Any, Handler]] = {}
        for route in self.routes:
            handler = self._counted(route.handler(wiring, app.context_type))
            subscriptions.setdefault(KINDS[route.kind], {})[route.name] = handler
        pubsub_options = {
            "system": self.system,
            "ignore_subscribe_messages": True,
            "unsubscription_timeout": 1.0,
            "on_gap": self._journal.gap_hook(options.on_gap),
            "on_failure": self._journal.failure_sink(options.on_failure),
            **options.pubsub,
        }
        for pubsub in options.broker.pubsubs(client, subscriptions, pubsub_options):
            try:
                await stack.enter_async_context(pubsub)
            except ExceptionGroup as group:
                for error in group.exceptions:
                    if isinstance(error, AuthorizationError):
                        error.add_note(_RIGHTS)
                raise
            pubsub.handlers_only()
            self.pubsubs.append(pubsub)
        await self._report_what_was_missed(subscriptions)
        stack.push_async_callback(self._stop_probes)
        self._start_probes()
        await asyncio.gather(*(prober.started() for prober in self._probers))

    def _counted(self, handler: Handler) -> Handler:
        if handler.on_gap is not None:
            handler.on_gap = self._journal.gap_hook(handler.on_gap)
        if handler.on_failure is not None:
            handler.on_failure = self._journal.failure_sink(handler.on_failure)
        return handler

    async def _report_what_was_missed(self, subscriptions: dict[Kind, dict[Any, Handler]]) -> None:
        """Tell each handler what the process before this one left unseen, and open the gate."""
        since, gate = self.options.missed_since, self._gate
        if since is None or gate is None:
            return
        until = time.time()
        default = self._journal.gap_hook(self.options.on_gap)
        for kind, handlers in subscriptions.items():
            for name, handler in handlers.items():
                gap = Gap(kind, name, since, until, self.options.missed_reason)
                await call_back(handler.on_gap or default, gap)
        if self.routes:
            log.warning(
                "gap",
                targets=len(self.routes),
                seconds=round(until - since, 3),
                reason=self.options.missed_reason,
            )
        gate.set()

    def _start_probes(self) -> None:
        interval = self.options.probe_interval
        if interval is None:
            return
        me = f"{os.getpid()}-{os.urandom(4).hex()}"
        for number, pubsub in enumerate(self.pubsubs):
            paths = Paths(interval)
            self.paths.append((pubsub, paths))
            name = "probe" if number == 0 else "sharded-probe"
            args = (pubsub, self.client, me, paths)
            spec = ActorSpec(Prober, args, name=name, restart="permanent")
            self._probers.append(self.system.spawn(spec))

    async def _stop_probes(self) -> None:
        """End the probes: before what they prove ends."""
        await asyncio.gather(*(prober.stop() for prober in self._probers))

    # -- drain -------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """End all subscriptions, and wait until handlers and actors are through with their work."""
        await self._stop_probes()
        await asyncio.gather(*(pubsub.drain() for pubsub in self.pubsubs))
        for ref in reversed(self._actors):
            await ref.stop(drain=True)

    async def abandon(self) -> None:
        """End what a start that failed had begun, in the order of a drain; nothing is drained."""
        await self._stop_probes()
        await asyncio.gather(*(pubsub.close() for pubsub in self.pubsubs))
        for ref in reversed(self._actors):
            await ref.stop()

    def left(self) -> int:
        """Return how many messages wait in mailboxes of handlers and actors."""
        tree = self.system.tree()
        nodes = [node for node in tree.children if node.kind == "actor"]
        nodes += [node for handlers in _handlers_of(tree) for node in handlers.children]
        refs = [self.system.lookup(one.path) for node in nodes for one in node.walk()]
        parked: int = sum(node.detail.get("parked", 0) for node in nodes)
        return parked + sum(ref.waiting for ref in refs if ref is not None)

    async def kill(self) -> None:
        """Cancel everything that runs, and wait for its end."""
        closing = [asyncio.ensure_future(pubsub.close()) for pubsub in self.pubsubs]
        # One turn, in which each takes note that its end is wanted: what is killed after that is
        # no failure of it.
        await asyncio.sleep(0)
        await self.system.stop(0.0)
        await asyncio.gather(*closing)


def _handlers_of(tree: TreeNode) -> list[TreeNode]:
    return [
        child for pubsub in tree.children for child in pubsub.children if child.id == "handlers"
    ]
