"""Handlers that resume: which messages they have in hand, and which they are done with.

A message that failed is done: it goes to the failure sink. One that is cut short is not, because
its handler ends and with it, mostly, the process.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from actors.pubsub.delivery.progress import Progress, taken

T = TypeVar("T")

#: The progress of each channel that resumes, by the name that its messages show.
ProgressOf: TypeAlias = Mapping[Any, Progress]


def tracked(receive: Callable[..., Any], progress: ProgressOf) -> Callable[..., Awaitable[Any]]:
    """Return ``receive``, which takes a message and more, so that its progress is noted."""

    async def tracked_receive(message: Any, *more: Any) -> Any:
        found = taken(message, progress)
        try:
            result = receive(message, *more)
            if result is not None and inspect.isawaitable(result):
                result = await result
        except BaseException as error:
            if found is not None:
                _failed(*found, error)
            raise
        if found is not None:
            found[0].done(found[1])
        return result

    return tracked_receive


def tracked_batch(
    handle: Callable[[list[Any]], Awaitable[T]], progress: ProgressOf
) -> Callable[[list[Any]], Awaitable[T]]:
    """Return ``handle``, which takes many messages, so that their progress is noted."""

    async def tracked_handle(messages: list[Any]) -> T:
        found = [one for one in (taken(message, progress) for message in messages) if one]
        try:
            result = await handle(messages)
        except BaseException as error:
            for of_channel, name in found:
                _failed(of_channel, name, error)
            raise
        for of_channel, name in found:
            of_channel.done(name)
        return result

    return tracked_handle


def _failed(progress: Progress, name: Any, error: BaseException) -> None:
    if isinstance(error, Exception):
        progress.done(name)
    else:  # a cancellation, or the end of the program
        progress.cut_short(name)
