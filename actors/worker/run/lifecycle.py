"""One run of a worker, from its start to its end; a worker that is entered again has a new one."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from actors.runtime.system import ActorSystem
from actors.worker.declare.registry import Hook, Registry, takes_worker
from actors.worker.observe.counters import Counters
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.run.backlog import Backlog
from actors.worker.run.components import RunComponents
from actors.worker.run.exit_codes import HOOK
from actors.worker.run.observer import Observer, Sampler
from actors.worker.run.settings import RunSettings
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


class Drained(msgspec.Struct, frozen=True):
    """How the drain of a worker ended.

    Attributes:
        in_time: whether everything was handled within the deadline.
        seconds: how long the drain took.
        left: messages that were still in mailboxes at its end.
    """

    in_time: bool
    seconds: float
    left: int


class WorkerRun:
    """Starts what ``declared`` declares, drains it, and stops it."""

    def __init__(self, declared: Registry[Any]) -> None:
        self._declared = declared
        self._hooks_ran = False
        self.stack = AsyncExitStack()  # what is closed at the end of the run
        self.system: ActorSystem | None = None  # None before the start, as the next
        self.components: RunComponents | None = None
        self.counters = Counters()
        self.observer = Observer(declared.name, self.counters)

    async def start(self, settings: RunSettings) -> None:
        """Start everything; if that fails after a start-up hook, run the shutdown hooks."""
        try:
            await self._start(settings)
        except BaseException:
            if self._hooks_ran:
                await self._undo_start(settings.drain_timeout)
            raise

    async def _start(self, settings: RunSettings) -> None:
        declared, observer = self._declared, self.observer
        intensity, period = settings.restart_limit
        sink = self.counters.events(settings.sink)
        system = ActorSystem(declared.name, intensity=intensity, period=period, sink=sink)
        observer.process = settings.process
        self.system = await self.stack.enter_async_context(system)
        observer.backlog = Backlog(system)
        observer.lag = lag = LagMeter(system.loop)
        self.stack.callback(lag.close)
        for hook in declared.startup_hooks:
            await self._call(hook)
            self._hooks_ran = True
        if declared.wants_context:
            declared.context  # noqa: B018 - raises if it is missing, before any message comes
        self.components = observer.components = RunComponents(
            declared, settings, system, self.counters
        )
        await self.components.start(self.stack)
        system.spawn(Sampler, observer, name="sampler", restart="permanent")
        observer.up_since = time.monotonic()

    async def _undo_start(self, timeout: float) -> None:
        """Stop what uses the hooks' resources, then run the shutdown hooks."""
        try:
            async with asyncio.timeout(timeout):
                if self.components is not None:
                    await self.components.stop(drain=False)
                await self._shut_down()
        except Exception as error:  # logged only: the caller raises why the start failed
            log.error("start_not_undone", error=repr(error), exc_info=error)

    async def drain(self, timeout: float, *, hurry: bool) -> Drained:
        """Handle what is left within ``timeout``; in a ``hurry`` only run the shutdown hooks."""
        assert self.system is not None
        assert self.components is not None
        begun = self.system.loop.time()
        try:
            async with asyncio.timeout(timeout) as limit:
                if not hurry:
                    await self.components.stop(drain=True)
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
        """Run all shutdown hooks, also those after one that raises."""
        errors = []
        for hook in self._declared.shutdown_hooks:
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
            result = hook(self._declared) if takes_worker(hook) else hook()
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            error.add_note(f"{HOOK}{getattr(hook, '__qualname__', hook)}")
            raise
