"""A thread for a plain function that blocks: one for each worker of a handler.

The event loop's own executor would not do: it is small, and name look-ups share it. These threads
are daemons: one that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

#: The context to run in, the function, its arguments, and the future of its result.
_Job = tuple[contextvars.Context, Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]


class WorkerThread:
    """A thread that runs one call at a time; started by the first call, ended by :meth:`close`.

    Attributes:
        busy: whether a call runs in the thread, even if its caller waits no more.
        overdue: whether the time limit of that call is up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] | None = None
        self._waiters: list[Callable[[], None]] = []
        self.busy = False
        self.overdue = False

    async def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run ``fn`` in the thread once no other call runs there, and return its result.

        When cancelled, this returns at once and ``fn`` runs on: the thread stays :attr:`busy`.
        """
        await self.wait_free()
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
        """Call ``call`` in the event loop once no call runs in the thread; at once if none does."""
        if self.busy:
            self._waiters.append(call)
        else:
            call()

    async def wait_free(self) -> None:
        """Wait until no call runs in the thread."""
        while self.busy:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(lambda future=future: _wake(future))  # type: ignore[misc]
            await future

    def close(self) -> None:
        """End the thread after the call that runs in it, without waiting for that."""
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
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            # Kept, these would live until the next call.
            del job, context, fn, args, future, result, error

    def _done(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self.busy = self.overdue = False
        if not future.done():
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):
                # A future refuses StopIteration: it would end the coroutine that awaits it.
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
