"""One run for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from actors.redis.exceptions import ConnectionError  # noqa: A004 - the library's, not the builtin

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs ``func`` for all callers, one run at a time.

    No caller gets a result that is older than its call: whoever calls while a run is under way
    shares the next run. So there are at most two runs, one under way and one that waits for it.
    """

    def __init__(self, func: Callable[[], Awaitable[T]]) -> None:
        self._func = func
        self._latest: asyncio.Task[T] | None = None
        self._tasks: set[asyncio.Task[T]] = set()
        self._begun = False

    @property
    def busy(self) -> bool:
        """Whether a run is under way, or waits."""
        return bool(self._tasks)

    def start(self) -> asyncio.Task[T]:
        """Return the task of a run that has not begun yet. Do not cancel it: callers share it."""
        latest = self._latest
        if latest is not None and not latest.done() and not self._begun:
            return latest
        before = None if latest is None or latest.done() else latest
        self._begun = False
        task = asyncio.get_running_loop().create_task(self._run(before))
        self._latest = task
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def __call__(self) -> T:
        """Wait for a run that begins after this call, and return its result or raise its error.

        Raises:
            ConnectionError: :meth:`close` was called before the run ended.
        """
        task = self.start()
        # Not `await task`: the cancellation of one caller would cancel the run of all.
        await asyncio.wait([task])
        if task.cancelled():
            raise ConnectionError("the cluster's connection pool was left meanwhile")
        return task.result()

    async def close(self) -> None:
        """Cancel all runs and wait for their end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._begun = True
        return await self._func()

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieve the error, all callers may be gone: asyncio logs one that nobody retrieves.
            task.exception()
