"""Hooks between two messages of an iterator: heard out, whoever waits for them (P10).

QUEUED --a reader comes to it--> AT WORK --through--> gone
|   ^
the reader's time is up v   | the next reader
QUEUED AGAIN, first of all
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from actors.runtime.envelopes import Envelope

__all__ = ["AtWork", "Hooks"]


class AtWork(Envelope):
    """A hook that is not through yet: what comes after it in the queue waits for it."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task


class Hooks:
    """The hooks of one iterator.

    Attributes:
        queued: how many at work stand in the queue.

    Args:
        queue: the iterator's.
        loop: runs them.
    """

    def __init__(self, queue: deque[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.queued = 0
        self._queue = queue
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, rest: Coroutine[Any, Any, None], deadline: float | None) -> None:
        """Have ``rest`` of a hook run, and wait for it as :meth:`go_on` does."""
        task = self._loop.create_task(rest, name="mailslot: a hook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._wait(AtWork(task), deadline)

    async def go_on(self, hook: AtWork, deadline: float | None) -> None:
        """Wait for a hook that an earlier reader did not wait for to its end.

        Raises:
            TimeoutError: it is not through by ``deadline`` (the loop's time).
        """
        self.queued -= 1
        await self._wait(hook, deadline)

    async def _wait(self, hook: AtWork, deadline: float | None) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(hook.task)
        except (asyncio.CancelledError, TimeoutError) as error:
            if isinstance(error, asyncio.CancelledError) and hook.task.cancelled():
                reader = asyncio.current_task()
                if reader is not None and not reader.cancelling():
                    return  # the hook was cancelled, by the end of it all, and not its reader
            if not hook.task.done():
                self.queued += 1
                self._queue.appendleft(hook)
            raise

    def cancel(self) -> None:
        """End all that are at work."""
        for task in self._tasks:
            task.cancel()
