"""One run of a worker, from its start to its end; a worker that is entered again has a new one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from actors.runtime.system import ActorSystem
from actors.worker.declare.registry import Registry
from actors.worker.observe.counters import Counters
from actors.worker.observe.loop_lag import LagMeter
from actors.worker.observe.recent import Recent
from actors.worker.run.backlog import Backlog
from actors.worker.run.components import RunComponents
from actors.worker.run.exit_codes import one_sentence
from actors.worker.run.hooks import call_every_hook, call_hook
from actors.worker.run.observer import Observer, Sampler
from actors.worker.run.settings import RunSettings
from supervisor.log import get_logger

log = get_logger("mailslot.worker")

#: Seconds that cancelled handlers and actors have to end before the shutdown hooks are called.
_KILLING: Final = 1.0


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
        self._hook_seconds = 0.0
        self.stack = AsyncExitStack()  # what is closed at the end of the run
        self.system: ActorSystem | None = None  # None before the start, as the next
        self.components: RunComponents | None = None
        self.drained: Drained | None = None
        self.counters = Counters()
        self.observer = Observer(declared.name, self.counters)

    async def start(self, settings: RunSettings) -> None:
        """Start everything; if that fails after a start-up hook, run the shutdown hooks."""
        self._hook_seconds = settings.shutdown_timeout
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
        self.counters.over = settings.health.over
        observer.recent = Recent(settings.health.over, time.monotonic())
        self.stack.callback(lag.close)
        for hook in declared.startup_hooks:
            await call_hook(hook, declared)
            self._hooks_ran = True
        if declared.wants_context:
            declared.context  # noqa: B018 - raises if it is missing, before any message comes
        self.components = observer.components = RunComponents(
            declared, settings, system, self.counters, observer
        )
        await self.components.start(self.stack)
        system.spawn(Sampler, observer, name="sampler", restart="permanent")
        observer.up_since = time.monotonic()

    async def _undo_start(self, timeout: float) -> None:
        """Stop what uses the hooks' resources, then run the shutdown hooks.

        Errors are only logged: the caller raises why the start failed.
        """
        try:
            async with asyncio.timeout(timeout):
                if self.components is not None:
                    await self.components.stop(drain=False)
        except Exception as error:
            log.error("start_not_undone", error=repr(error), exc_info=error)
        finally:
            await self._shut_down(self._time(), hidden=True)

    async def leave(self, timeout: float, *, error: BaseException | None) -> None:
        """Handle what is left within ``timeout``, then run the shutdown hooks, whatever happened.

        The hooks have what the drain left of its time, and ``shutdown_timeout`` at least. If the
        body of the worker raised ``error``, nothing more is handled.

        Raises:
            CancelledError: the caller was cancelled, and everything with it.
            Exception: what the shutdown hooks raised.
        """
        ends = self._time() + timeout
        failed: BaseException | None = None
        try:
            await self._drain(timeout, hurry=error is not None)
        except BaseException as raised:
            failed = raised
        # An error of a hook must not hide a cancellation, or why the drain failed.
        hidden = failed is not None or isinstance(error, asyncio.CancelledError)
        await self._shut_down(ends, hidden=hidden)
        if failed is not None:
            raise failed

    async def _drain(self, timeout: float, *, hurry: bool) -> None:
        assert self.components is not None
        begun = self._time()
        try:
            async with asyncio.timeout(timeout) as limit:
                if not hurry:
                    await self.components.stop(drain=True)
        except TimeoutError:
            if not limit.expired():
                raise
        except asyncio.CancelledError:
            await self._kill()
            raise
        left = self.components.left()
        seconds = self._time() - begun
        self.drained = Drained(not limit.expired(), seconds, left)
        if limit.expired():
            log.error("drain_deadline_passed", seconds=round(seconds, 1), left=left)
            await self._kill()

    async def _kill(self) -> None:
        """Cancel everything that runs; go on without what does not end soon."""
        assert self.components is not None
        if self.observer.backlog is not None:
            self.observer.backlog.close()
        killing = asyncio.ensure_future(self.components.kill())
        self.stack.push_async_callback(asyncio.wait, {killing})
        ended, _ = await asyncio.wait({killing}, timeout=_KILLING)
        if ended:
            killing.result()
        else:
            log.error("handlers_ignore_cancellation", seconds=_KILLING)

    async def _shut_down(self, until: float, *, hidden: bool) -> None:
        """Run all shutdown hooks; if ``hidden``, errors are only logged."""
        until = max(until, self._time() + self._hook_seconds)
        try:
            await call_every_hook(self._declared.shutdown_hooks, self._declared, until)
        except Exception as error:
            if not hidden:
                raise
            log.error("shutdown_hook_failed", error=one_sentence(error), exc_info=error)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()
