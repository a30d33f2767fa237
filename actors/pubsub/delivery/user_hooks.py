"""Calls a user's hook (``on_gap``, ``on_lagged``), and logs what the hook raises.

An async hook between two messages of an iterator holds up the next message (P10). A reader that
comes to a notice starts the notice's hook and waits for the hook's end. When the reader's time is
up before that, the running hook becomes the first entry of the queue, and the next reader waits.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from actors.runtime.messages.envelopes import Envelope
from supervisor.log import get_logger

log = get_logger("mailslot.pubsub")


async def call_hook(hook: Callable[[Any], Any] | None, argument: Any) -> None:
    """Call ``hook``, and await it where it is ``async``; an exception of it is logged."""
    rest = start_hook(hook, argument)
    if rest is not None:
        await rest


def start_hook(
    hook: Callable[[Any], Any] | None, argument: Any
) -> Coroutine[Any, Any, None] | None:
    """Call ``hook``; return the coroutine that finishes it, or None if the hook has returned."""
    if hook is None:
        return None
    try:
        result = hook(argument)
    except (Exception, asyncio.CancelledError) as error:
        _log_failure(hook, argument, error)
        return None
    return _finish(hook, argument, result) if inspect.isawaitable(result) else None


async def _finish(hook: Any, argument: Any, result: Awaitable[Any]) -> None:
    try:
        await result
    except Exception as error:
        _log_failure(hook, argument, error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        _log_failure(hook, argument, error)  # the hook raised it; nobody cancelled this task


def _log_failure(hook: Any, argument: Any, error: BaseException) -> None:
    log.error("hook_failed", hook=repr(hook), argument=repr(argument), error=repr(error))


class RunningHook(Envelope):
    """A hook that still runs: what comes after it in the queue waits for its end."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task


class PendingHooks:
    """The hooks of one iterator.

    Attributes:
        queued: how many running hooks are in the iterator's queue.
    """

    def __init__(self, queue: deque[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.queued = 0
        self._queue = queue
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, rest: Coroutine[Any, Any, None], deadline: float | None) -> None:
        """Run ``rest``, the coroutine of a hook, and wait for it until ``deadline``.

        Raises:
            TimeoutError: the hook still runs at ``deadline`` (the loop's time).
        """
        task = self._loop.create_task(rest, name="mailslot: a hook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._wait(RunningHook(task), deadline)

    async def resume(self, hook: RunningHook, deadline: float | None) -> None:
        """Wait for a hook that an earlier reader left running; raises as :meth:`run`."""
        self.queued -= 1
        await self._wait(hook, deadline)

    async def _wait(self, hook: RunningHook, deadline: float | None) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(hook.task)
        except (asyncio.CancelledError, TimeoutError) as error:
            if isinstance(error, asyncio.CancelledError) and hook.task.cancelled():
                reader = asyncio.current_task()
                if reader is not None and not reader.cancelling():
                    return  # the end of the pub/sub object cancelled the hook, not the reader
            if not hook.task.done():
                self.queued += 1
                self._queue.appendleft(hook)
            raise

    def cancel(self) -> None:
        """Cancel all hooks that still run."""
        for task in self._tasks:
            task.cancel()
