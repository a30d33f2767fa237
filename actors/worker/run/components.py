"""What one run of a worker starts, in order, and how it stops.

start   client -> actors -> subscriptions -> probes
drain   probes stop -> subscriptions end, handlers finish -> actors stop, the last one first
kill    everything that is left is cancelled
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.pubsub.api.base import BasePubSub
from actors.pubsub.api.introspection import handler_path
from actors.pubsub.delivery.user_hooks import call_hook
from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.types import Gap, Kind
from actors.redis.exceptions import AuthorizationError
from actors.runtime.actor import ActorSpec
from actors.runtime.ref import ActorRef
from actors.runtime.system import ActorSystem
from actors.worker.declare.handler_build import HandlerBuilder
from actors.worker.declare.middleware import compose
from actors.worker.declare.registry import Registry
from actors.worker.declare.routes import KINDS, Route, actor_spec
from actors.worker.fleet.members import FleetOptions
from actors.worker.observe.counters import Counters
from actors.worker.run.broker import Subscriptions, connect
from actors.worker.run.controls import resume_all
from actors.worker.run.delivery_probe import Prober
from actors.worker.run.delivery_proof import Paths
from actors.worker.run.settings import RunSettings
from supervisor import SpecError
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.worker.membership.start import FleetRun
    from actors.worker.membership.work import Work

log = get_logger("mailslot.worker")

_RIGHTS = (
    "give the user of the URL these channels and patterns, and mailslot:probe:* (ACL SETUSER NAME"
    " +subscribe +psubscribe +ssubscribe +publish +spublish &CHANNEL ...)"
)


class RunComponents:
    """The client, actors, subscriptions and probes of a running worker."""

    def __init__(
        self,
        declared: Registry[Any],
        settings: RunSettings,
        system: ActorSystem,
        counters: Counters,
        work: Work,
    ) -> None:
        self.system = system
        self.settings = settings
        self.pubsubs: list[BasePubSub[Any]] = []
        self.paths: list[tuple[BasePubSub[Any], Paths]] = []
        self.client: Any = None
        counters.path_of = self._path_of
        self._declared = declared
        self._counters = counters
        self._work = work
        self._actors: list[ActorRef[Any]] = []
        self._probers: list[ActorRef[Any]] = []
        # Closed until handlers have heard of the gap that the previous process left.
        self._gate = None if settings.previous is None else asyncio.Event()
        #: This process as a member; None: the worker belongs to no fleet.
        self.fleet: FleetRun | None = None

    # -- start -------------------------------------------------------------------------------------

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; ``stack`` closes it again."""
        declared, settings = self._declared, self.settings
        self.client = client = await connect(settings.broker, settings.pubsub["start_timeout"])
        stack.push_async_exit(client)
        chain = compose(declared.middlewares)
        builder = HandlerBuilder(lambda: declared.context, chain, self._gate, self._counters.times)
        spawn = self._spawner(builder)
        # Of a fleet, the member has actors that run once that holds their names.
        has = settings.partition.has if settings.fleet is None else lambda _: False
        for spec in declared.actors_of(has):
            ref = spawn(spec)
            self._actors.append(ref)
            await ref.started()
        handlers: dict[Kind, dict[Any, Handler]] = {}
        for route in declared.routes:
            self._add(handlers, route, [route.name], builder)
        for group in declared.groups:
            self._add(handlers, group.route, await group.find(), builder)
        if settings.fleet is None:
            await self._subscribe(stack, settings.broker.pubsubs(client, handlers, self._options()))
            await self._report_what_was_missed(handlers)
        else:
            await self._join(stack, settings.fleet, handlers, spawn)
        stack.push_async_callback(self._stop_probes)
        self._start_probes()
        await asyncio.gather(*(prober.started() for prober in self._probers))

    def _add(
        self,
        handlers: dict[Kind, dict[Any, Handler]],
        route: Route,
        names: Iterable[Any],
        builder: HandlerBuilder,
    ) -> None:
        """Give those of ``names`` that fall to this process one handler."""
        handler = self._counted(route.handler(builder, self._declared.context_type))
        known = handlers.setdefault(KINDS[route.kind], {})
        for name in names:
            if name in known:
                problem = f"{route.kind} {name!r} has several handlers, it can have one"
                raise SpecError(f"worker {self._declared.name!r}", [problem])
            if self.settings.partition.has(name):
                known[name] = handler

    def _spawner(self, builder: HandlerBuilder) -> Callable[[ActorSpec], ActorRef[Any]]:
        context = self._declared.context_type
        return lambda spec: self.system.spawn(actor_spec(spec, builder, context))

    async def _join(
        self,
        stack: AsyncExitStack,
        fleet: FleetOptions,
        handlers: Subscriptions,
        spawn: Callable[[ActorSpec], ActorRef[Any]],
    ) -> None:
        """Be a member of ``fleet``, whose members own all names together."""
        # Most workers belong to no fleet, and load nothing of it.
        from actors.worker.membership.start import FleetHooks, FleetRun  # noqa: PLC0415

        declared, settings = self._declared, self.settings
        broker = settings.broker
        pubsubs = broker.pubsubs(self.client, handlers, self._options(), gated=True)
        single = {
            name: partial(spawn, declared.actors[number])
            for number, name in declared.single_actors.items()
        }
        hooks = FleetHooks(single, declared.gain_hooks, declared.lose_hooks)
        run = FleetRun(fleet, self.client, self.system, is_cluster=broker.is_cluster)
        await run.start(stack, pubsubs, handlers, hooks, self._work)
        self.fleet = run
        await self._subscribe(stack, pubsubs)
        await run.joined(settings.pubsub["start_timeout"])

    def _options(self) -> dict[str, Any]:
        """Return the options of the pub/sub objects."""
        settings, counters = self.settings, self._counters
        return {
            "system": self.system,
            "ignore_subscribe_messages": True,
            "unsubscription_timeout": 1.0,
            "on_gap": counters.gap_hook(settings.on_gap),
            "on_failure": counters.failure_sink(settings.on_failure),
            **settings.pubsub,
        }

    async def _subscribe(self, stack: AsyncExitStack, pubsubs: list[BasePubSub[Any]]) -> None:
        for pubsub in pubsubs:
            try:
                await stack.enter_async_context(pubsub)
            except ExceptionGroup as group:
                for error in group.exceptions:
                    if isinstance(error, AuthorizationError):
                        error.add_note(_RIGHTS)
                raise
            pubsub.handlers_only()
            self.pubsubs.append(pubsub)

    def _counted(self, handler: Handler) -> Handler:
        if handler.on_gap is not None:
            handler.on_gap = self._counters.gap_hook(handler.on_gap)
        if handler.on_failure is not None:
            handler.on_failure = self._counters.failure_sink(handler.on_failure)
        return handler

    def _path_of(self, gap: Gap) -> str:
        """Return the path of the handler that ``gap`` is reported to; empty: nobody knows."""
        found = (handler_path(pubsub._known_tree, gap.kind, gap.name) for pubsub in self.pubsubs)
        return next((path for path in found if path), "")

    async def _report_what_was_missed(self, subscriptions: Subscriptions) -> None:
        """Tell each handler the gap that the previous process left, then open the gate."""
        previous, gate = self.settings.previous, self._gate
        if previous is None or gate is None:
            return
        since, until = previous.alive_at, time.time()
        default = self._counters.gap_hook(self.settings.on_gap)
        for kind, handlers in subscriptions.items():
            for name, handler in handlers.items():
                gap = Gap(kind, name, since, until, previous.reason)
                await call_hook(handler.on_gap or default, gap)
        if targets := sum(map(len, subscriptions.values())):
            seconds = round(until - since, 3)
            log.warning("gap", targets=targets, seconds=seconds, reason=previous.reason)
        gate.set()

    def _start_probes(self) -> None:
        interval = self.settings.probe_interval
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
        await asyncio.gather(*(prober.stop() for prober in self._probers))

    # -- stop --------------------------------------------------------------------------------------

    async def stop(self, *, drain: bool) -> None:
        """Stop everything in order; with ``drain``, handlers and actors empty their mailboxes."""
        await self._stop_probes()
        if drain:
            resume_all(self.system)
        if drain and self.fleet is not None:
            await self.fleet.leave()
        pubsubs = self.pubsubs
        await asyncio.gather(*(one.drain() if drain else one.close() for one in pubsubs))
        for ref in reversed(self._actors):
            await ref.stop(drain=drain)
        self._counters.flush()

    async def kill(self) -> None:
        """Cancel everything that runs, and wait until it has ended."""
        closing = [asyncio.ensure_future(pubsub.close()) for pubsub in self.pubsubs]
        # One turn of the loop, so that each pub/sub object knows that it is closing: what is
        # cancelled after that is not reported as a failure.
        await asyncio.sleep(0)
        await self.system.stop(0.0)
        await asyncio.gather(*closing)

    def left(self) -> int:
        """Return how many messages wait in the mailboxes of handlers and actors."""
        nodes = []
        for child in self.system.tree().children:
            if child.kind == "actor":
                nodes.append(child)
            for group in child.children:
                nodes += group.children if group.id == "handlers" else ()
        refs = [self.system.lookup(one.path) for node in nodes for one in node.walk()]
        parked: int = sum(node.detail.get("parked", 0) for node in nodes)
        return parked + sum(ref.waiting for ref in refs if ref is not None)
