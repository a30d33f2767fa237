"""One run of a worker, from its start to its end: what is made anew each time it is entered."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from actors.runtime.system import ActorSystem
from actors.worker.declare.registry import Hook, takes_worker
from actors.worker.observe.counters import Counters
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.run.backlog import Backlog
from actors.worker.run.components import EngineOptions, RunComponents
from actors.worker.run.exit_codes import HOOK
from actors.worker.run.observer import Observer, Sampler
from supervisor.log import get_logger

if TYPE_CHECKING:
    from actors.worker.run.app import Worker

__all__ = ["Drained", "WorkerRun", "Previous"]

log = get_logger("mailslot.worker")


class Drained(msgspec.Struct, frozen=True):
    """How a worker let go of its work.

    Attributes:
        in_time: whether all was done within the deadline.
        seconds: how long it took.
        left: messages that were still in mailboxes then.
    """

    in_time: bool
    seconds: float
    left: int


class Previous(msgspec.Struct, frozen=True):
    """The process that this one replaces.

    Attributes:
        alive_at: when it was surely alive last, in Unix seconds.
        reason: how it ended, in words.
    """

    alive_at: float
    reason: str


class WorkerRun:
    """One run of ``app``.

    Attributes:
        stop_asked: set by whoever wants it to end.
        stack: what is undone at the end.
        system: the actor system that it is, once it has begun to start.
        components: what runs on it.
        observer: makes snapshots of it.
    """

    def __init__(self, app: Worker[Any]) -> None:
        self._app = app
        self.stop_asked = asyncio.Event()
        self.stack = AsyncExitStack()
        self.system: ActorSystem | None = None
        self.components: RunComponents | None = None
        self.counters = Counters()
        self._hooks_ran = False
        self.observer = Observer(app.name, app.process, self.counters)

    async def start(self) -> None:
        """Start everything; what must be undone is put on ``stack``, and hooks are taken back."""
        try:
            await self._start()
        except BaseException:
            if self._hooks_ran:
                await self._take_back()
            raise

    async def _start(self) -> None:
        app, observer = self._app, self.observer
        intensity, period = app.restart_limit
        system = ActorSystem(
            app.name, intensity=intensity, period=period, sink=self.counters.events(app.sink)
        )
        observer.process = app.process
        self.system = await self.stack.enter_async_context(system)
        observer.backlog = Backlog(system)
        observer.lag = lag = LagMeter(system.loop)
        self.stack.callback(lag.close)
        for hook in app.startup_hooks:
            await self._call(hook)
            self._hooks_ran = True
        if app.wants_context:
            app.context  # noqa: B018 - raises, now instead of for each message
        self.components = observer.components = RunComponents(
            app, system, self.counters, self._options()
        )
        await self.components.start(self.stack)
        system.spawn(Sampler, observer, name="sampler", restart="permanent")
        observer.up_since = time.monotonic()

    async def _take_back(self) -> None:
        """Run the shutdown hooks, after what would use what they close; all within the deadline."""
        try:
            async with asyncio.timeout(self._app.drain_timeout):
                if self.components is not None:
                    await self.components.abandon()
                await self._shut_down()
        except Exception as error:
            # Why the start failed is what surfaces.
            log.error("not_taken_back", error=repr(error), exc_info=error)

    def _options(self) -> EngineOptions:
        app, previous = self._app, self._app.previous
        return EngineOptions(
            broker=app.broker,
            routes=app.routes,
            actors=app.actors_of(app.owns),
            partition=app.partition,
            probe_interval=app.probe_interval,
            missed_since=None if previous is None else previous.alive_at,
            missed_reason="" if previous is None else previous.reason,
            pubsub={**app.pubsub_options, "start_timeout": app.start_timeout},
            on_gap=app.on_gap,
            on_failure=app.on_failure,
        )

    async def drain(self, *, hurry: bool) -> Drained:
        """Let go of all work, within the deadline; in a ``hurry`` only the hooks are run."""
        assert self.system is not None
        assert self.components is not None
        begun = self.system.loop.time()
        try:
            async with asyncio.timeout(self._app.drain_timeout) as limit:
                if not hurry:
                    await self.components.drain()
                await self._shut_down()
        except TimeoutError:
            if not limit.expired():
                raise
        except asyncio.CancelledError:
            await self._kill()
            raise
        left = self.components.left()
        seconds = self.system.loop.time() - begun
        if limit.expired():
            log.error("drain_deadline_passed", seconds=round(seconds, 1), left=left)
            await self._kill()
        return Drained(not limit.expired(), seconds, left)

    async def _kill(self) -> None:
        assert self.components is not None
        if self.observer.backlog is not None:
            self.observer.backlog.close()
        await self.components.kill()

    async def _shut_down(self) -> None:
        """Run all shutdown hooks, those after one that raises, too."""
        errors = []
        for hook in self._app.shutdown_hooks:
            try:
                await self._call(hook)
            except Exception as error:
                errors.append(error)
        if len(errors) > 1:
            raise ExceptionGroup("shutdown hooks failed", errors)
        if errors:
            raise errors[0]

    async def _call(self, hook: Hook) -> None:
        try:
            result = hook(self._app) if takes_worker(hook) else hook()
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            error.add_note(f"{HOOK}{getattr(hook, '__qualname__', hook)}")
            raise
