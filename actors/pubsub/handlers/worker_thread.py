"""Threads for plain functions that block: one for each lane, which is never in two at once.

The loop's own executor is no place for them: it is small, and name look-ups share it. These threads
are daemons: one that hangs for ever keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from actors.pubsub.handlers.function_actor import HandlerActor
from actors.pubsub.model.types import LagCallback
from supervisor import ExitReason

__all__ = ["WorkerThread", "ThreadActor"]

#: The context to run in, the function, its arguments, and who waits for what it returns.
_Job = tuple[contextvars.Context, Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]


class WorkerThread:
    """One thread, started with its first call and ended by :meth:`close`.

    Attributes:
        busy: whether a call is in it, also one that nobody waits for any more.
        overdue: whether that is one whose time is up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] | None = None
        self._waiters: list[Callable[[], None]] = []
        self.busy = False
        self.overdue = False

    async def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Return what ``fn`` returns in the thread, once that is free.

        Cancelled, it returns at once, and ``fn`` goes on: see :attr:`busy`.
        """
        await self.free()
        loop = asyncio.get_running_loop()
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(
                target=self._work, args=(self._jobs, loop), name=self._name, daemon=True
            ).start()
        future: asyncio.Future[Any] = loop.create_future()
        self.busy = True
        self._jobs.put((contextvars.copy_context(), fn, args, future))
        return await future

    def when_free(self, call: Callable[[], None]) -> None:
        """Call ``call`` in the loop once no call is in the thread; at once if none is."""
        if self.busy:
            self._waiters.append(call)
        else:
            call()

    async def free(self) -> None:
        """Wait until no call is in the thread."""
        while self.busy:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(lambda future=future: _wake(future))  # type: ignore[misc]
            await future

    def close(self) -> None:
        """Have the thread end after the call in it; nobody waits for that."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _work(self, jobs: SimpleQueue[_Job | None], loop: asyncio.AbstractEventLoop) -> None:
        while (job := jobs.get()) is not None:
            context, fn, args, future = job
            result, error = None, None
            try:
                result = context.run(fn, *args)
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(self._done, future, result, error)
            except RuntimeError:  # the loop is gone, and whoever waited with it
                return
            # Or they would be kept alive until the next call.
            del job, context, fn, args, future, result, error

    def _done(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self.busy = self.overdue = False
        if not future.done():
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):
                # A future cannot carry one: it would end the coroutine that awaits it.
                wrapped = RuntimeError("the function raised StopIteration")
                wrapped.__cause__ = error
                future.set_exception(wrapped)
            else:
                future.set_exception(error)
        waiters, self._waiters = self._waiters, []
        for call in waiters:
            call()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ThreadActor(HandlerActor):
    """Runs a function in a thread of its own for each message."""

    def __init__(
        self,
        receive: Callable[[Any], Any],
        on_lagged: LagCallback | None,
        thread: WorkerThread,
    ) -> None:
        super().__init__(receive, on_lagged)
        self._thread = thread

    async def on_stop(self, reason: ExitReason) -> None:
        """Let the thread go."""
        self._thread.close()
