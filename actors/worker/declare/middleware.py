"""The middleware chain that every message passes before its handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from actors.pubsub.delivery.receive_times import ReceiveTimes
from actors.pubsub.model.types import PubSubMessage

#: Passes a message on: to the next middleware, and at the end of the chain to the handler.
Next: TypeAlias = Callable[[PubSubMessage], Awaitable[Any]]
#: ``async (message, next)``. Not calling ``next`` drops the message; raising fails it.
Middleware: TypeAlias = Callable[[PubSubMessage, Next], Awaitable[Any]]
#: A composed chain; ``next`` is the handler.
Chain: TypeAlias = Middleware


def compose(chain: Sequence[Middleware]) -> Chain | None:
    """Return ``chain`` as one middleware, the first outermost; None for an empty one."""
    if not chain:
        return None
    *outer, run = chain
    for middleware in reversed(outer):
        receive_times = (*receive_times_of(middleware), *receive_times_of(run))
        run = functools.partial(_around, middleware, run)
        setattr(run, "receive_times", receive_times)  # noqa: B010 - mypy knows no such attribute
    return run


def receive_times_of(middleware: Middleware | None) -> Sequence[ReceiveTimes]:
    """Return where ``middleware`` wants the receive times of messages noted; empty: nowhere."""
    found: Sequence[ReceiveTimes] = getattr(middleware, "receive_times", ())
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
