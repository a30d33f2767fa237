"""Calls the start-up and shutdown hooks of a worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from actors.worker.declare.registry import Hook, takes_worker
from actors.worker.run.exit_codes import HOOK


async def call_hook(hook: Hook, worker: Any) -> None:
    """Call ``hook`` and await its result; a note on what it raises names the hook."""
    try:
        result = hook(worker) if takes_worker(hook) else hook()
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        error.add_note(f"{HOOK}{_name(hook)}")
        raise


async def call_every_hook(hooks: Sequence[Hook], worker: Any, until: float) -> None:
    """Call ``hooks`` in order: also those after a hook that raises, hangs or is cancelled.

    Each hook may take an equal share of the time that is left until ``until``, by the clock of the
    event loop; what a hook leaves of its share goes to the next ones.

    Raises:
        TimeoutError: a hook took longer, and was cancelled.
        ExceptionGroup: several hooks failed.
        BaseException: what a hook raised; a cancellation, once all hooks were called.
    """
    time = asyncio.get_running_loop().time
    errors: list[Exception] = []
    ended: BaseException | None = None
    for number, hook in enumerate(hooks):
        share = max(0.0, until - time()) / (len(hooks) - number)
        try:
            async with asyncio.timeout(share) as limit:
                await call_hook(hook, worker)
        except TimeoutError as error:
            errors.append(_late(hook, share) if limit.expired() else error)
        except Exception as error:
            errors.append(error)
        except BaseException as error:
            ended = error
    if ended is not None:
        for one in errors:
            ended.add_note(f"{type(one).__name__} before: {one}")
        raise ended
    if len(errors) > 1:
        raise ExceptionGroup("shutdown hooks failed", errors)
    if errors:
        raise errors[0]


def _late(hook: Hook, share: float) -> TimeoutError:
    error = TimeoutError(
        f"a shutdown hook was cancelled after {share:.1f} s, its share of the time that all"
        " shutdown hooks have: raise shutdown_timeout, or make the hook faster"
    )
    error.add_note(f"{HOOK}{_name(hook)}")
    return error


def _name(hook: Hook) -> Any:
    return getattr(hook, "__qualname__", hook)
