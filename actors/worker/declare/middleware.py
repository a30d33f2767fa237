"""The chain that every message passes before its handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from actors.pubsub.delivery.receive_times import ReceiveTimes
from actors.pubsub.model.types import PubSubMessage

__all__ = ["Middleware", "Next", "compose", "middleware_problems", "receipts_of"]

#: Passes the message on: to the next middleware, at the end to the handler.
Next: TypeAlias = Callable[[PubSubMessage], Awaitable[Any]]
#: ``async (message, next)``. Not calling ``next`` drops the message; raising fails it.
Middleware: TypeAlias = Callable[[PubSubMessage, Next], Awaitable[Any]]
#: Runs the chain around what it ends with.
Chain: TypeAlias = Callable[[PubSubMessage, Next], Awaitable[Any]]

_RECEIPTS = "receive_times"


def compose(chain: Sequence[Middleware]) -> Chain | None:
    """Return ``chain`` as one middleware, the first outermost; None for an empty one."""
    if not chain:
        return None
    *outer, run = chain
    for middleware in reversed(outer):
        receive_times = (*receipts_of(middleware), *receipts_of(run))
        run = functools.partial(_around, middleware, run)
        setattr(run, _RECEIPTS, receive_times)
    return run


def receipts_of(middleware: Middleware | None) -> Sequence[ReceiveTimes]:
    """Return the ``receive_times`` of ``middleware``: where receipt times are noted."""
    found: Sequence[ReceiveTimes] = getattr(middleware, _RECEIPTS, ())
    return found


def _around(outer: Middleware, inner: Chain, message: PubSubMessage, last: Next) -> Awaitable[Any]:
    return outer(message, lambda passed: inner(passed, last))


def middleware_problems(middleware: Any) -> list[str]:
    """Return what is wrong with ``middleware``."""
    name = getattr(middleware, "__qualname__", repr(middleware))
    call = getattr(middleware, "__call__", None)  # noqa: B004 - an async __call__ counts
    if not (inspect.iscoroutinefunction(middleware) or inspect.iscoroutinefunction(call)):
        return [f"middleware {name}: it must be a coroutine function: async (message, next)"]
    try:
        inspect.signature(middleware).bind(None, None)
    except TypeError:
        return [f"middleware {name}: it is called with two arguments: async (message, next)"]
    return []
