"""Calls a user's hook (``on_gap``, ``on_lagged``), and logs what the hook raises."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

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
